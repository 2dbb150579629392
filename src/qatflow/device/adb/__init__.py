"""A phone or board over adb."""
