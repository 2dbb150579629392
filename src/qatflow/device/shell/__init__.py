"""A device that is reached through its shell, whatever carries the commands and files."""
