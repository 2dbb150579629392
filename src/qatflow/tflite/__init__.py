"""TensorFlow Lite models: written from a graph, read back, executed with LiteRT. No TensorFlow here."""
