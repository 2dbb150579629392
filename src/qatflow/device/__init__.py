"""The model on a device: the LiteRT runtime, the demo program, the devices, and the results of runs on them."""
