"""What the ssh client prints when it fails, what the user can do about it, and whether it may pass."""

from qatflow.device.shell.trouble import OF_THE_SHELL, Known

BACK = "check the board's power and network, and run again"
KNOWN: tuple[Known, ...] = (
    (
        "remote host identification has changed",
        "another machine has this address, or the board was set up again. If that is so, remove its old key from "
        "known_hosts (`ssh-keygen -R`), and log in once by hand",
        "no",
    ),
    (
        "host key verification failed",
        "ssh does not know this board's key: log in once by hand, compare the fingerprint, and answer yes",
        "no",
    ),
    ("no matching host key", "ssh and the board share no kind of key: update the older of both", "no"),
    (
        "permission denied (",
        "the board does not accept this key: copy it there with `ssh-copy-id`, or name another one in "
        "device.identity. A key with a passphrase must be in ssh-agent (`ssh-add`): no password is ever asked for",
        "no",
    ),
    ("too many authentication failures", "name the right key in device.identity", "no"),
    ("unprotected private key file", "make the key private: `chmod 600`", "no"),
    ("bad permissions", "make the key private: `chmod 600`", "no"),
    ("could not resolve hostname", "check device.host, and the name in your ssh configuration", "no"),
    ("bad configuration option", "correct your ssh configuration", "no"),
    ("bad owner or permissions", "correct the permissions of your ssh configuration", "no"),
    ("connection refused", "start the board's ssh server, and check device.host and device.port", "once seen"),
    ("no route to host", BACK, "once seen"),
    ("network is unreachable", BACK, "once seen"),
    ("connection timed out", BACK, "once seen"),
    ("during banner exchange", BACK, "once seen"),
    ("not responding", BACK, "yes"),
    ("connection reset", BACK, "yes"),
    ("connection closed", BACK, "yes"),
    ("kex_exchange_identification", BACK, "yes"),
    ("broken pipe", BACK, "yes"),
    ("closed by remote host", BACK, "yes"),
    *OF_THE_SHELL,
)
"""Texts of OpenSSH 8 to 10."""
