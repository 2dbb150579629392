"""From the exported graph to the int8 .tflite that the device runs."""
