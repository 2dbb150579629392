"""The way to the device tried before a training: a program of its own, which `start.py` runs."""
