"""The path of a graph to the device, tried before a training starts: programs of their own, which `start.py` runs."""
