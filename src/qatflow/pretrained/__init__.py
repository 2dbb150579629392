"""Float weights to start from: trained here, from Keras, or from a file."""
