"""The model on a device: the run-time library, the demo program, devices, and what they are measured to do."""
