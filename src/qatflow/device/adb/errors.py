"""What adb prints when it fails, what the user can do about it, and whether it may pass."""

from qatflow.device.shell.trouble import OF_THE_SHELL, Known

CONNECT = "connect the device, enable USB debugging, and check that `adb devices` lists it"
CONFIRM = "unlock the device and allow USB debugging from this computer"
AWAY = "the device went away: check the cable and run again"
# Texts of adb 29 to 36.
KNOWN: tuple[Known, ...] = (
    ("no devices/emulators found", CONNECT, "once seen"),
    ("more than one device", "set device.serial to one of those that `adb devices` lists", "no"),
    ("' not found", "check device.serial against what `adb devices` lists", "once seen"),
    ("unauthorized", CONFIRM, "no"),
    ("failed to authenticate", CONFIRM, "no"),
    ("permissions for device", "give your user access by udev (package android-sdk-platform-tools-common)", "no"),
    ("authorizing", CONFIRM, "yes"),
    ("still connecting", AWAY, "yes"),
    ("offline", "wait, or unplug and replug the cable (network devices: `adb disconnect`, then `adb connect`)", "yes"),
    ("connection refused", "start the device's adb daemon, and check the address", "once seen"),
    ("cannot connect to daemon", "another program uses adb's port: stop it, or set ANDROID_ADB_SERVER_PORT", "no"),
    ("failed to start daemon", "another program uses adb's port: stop it, or set ANDROID_ADB_SERVER_PORT", "no"),
    ("failed to connect to", "no adb daemon answers there: check the address, restart the device", "once seen"),
    *OF_THE_SHELL,
    ("couldn't read from device", AWAY, "yes"),
    ("failed to read copy response", AWAY, "yes"),
    ("failed to read stat response", AWAY, "yes"),
    ("connection reset", AWAY, "yes"),
    ("error: closed", AWAY, "yes"),
    ("connect failed: closed", AWAY, "yes"),
)
