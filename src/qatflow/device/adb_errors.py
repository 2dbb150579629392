"""What adb and a device's shell say when they fail, and what the user can do about it."""

# Part of the message (lower case) → advice. Texts are those of adb 29 and 34 and of Android's shell (toybox, mksh).
ADVICE = (
    ("no devices/emulators found", "connect the device, enable USB debugging, and check that `adb devices` lists it"),
    ("' not found", "check device.serial against what `adb devices` lists"),
    ("unauthorized", "unlock the device and confirm the question whether this computer may debug it"),
    ("failed to authenticate", "unlock the device and confirm the question whether this computer may debug it"),
    ("offline", "wait, or unplug and plug the cable (network devices: `adb disconnect`, then `adb connect`)"),
    ("more than one device", "set device.serial to one of those that `adb devices` lists"),
    ("connection refused", "start the device's adb daemon, and check the address"),
    ("cannot connect to daemon", "another program uses adb's port: stop it, or set ANDROID_ADB_SERVER_PORT"),
    ("no space left on device", "free some space on the device"),
    ("read-only file system", "the folder for the run cannot be written there: restart the device"),
    ("permission denied", "the device does not allow it in that folder; is it mounted noexec?"),
    ("couldn't read from device", "the device went away: check the cable and run again"),
    ("failed to read copy response", "the device went away: check the cable and run again"),
    ("error: closed", "the device went away: check the cable and run again"),
)


def explain(message: str) -> str:
    """Return the line of adb's message that tells the reason, with advice where it is a known one."""
    lines = [line.strip() for line in message.splitlines() if line.strip() and not line.startswith("* daemon")]
    for line in lines:
        for part, advice in ADVICE:
            if part in line.lower():
                return f"{line}: {advice}"
    return next((line for line in lines if "error" in line), lines[-1] if lines else "no message")
