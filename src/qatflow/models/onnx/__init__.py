"""ONNX classifiers, float or quantised, made into graphs. Only arrays and names are read."""
