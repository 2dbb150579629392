"""The quantisers of weights and activations, one a file, and the training model that has them in it."""
