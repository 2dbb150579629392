"""Devices: emulator and adb behind one interface, the bundle sent to them, parity with the host."""
