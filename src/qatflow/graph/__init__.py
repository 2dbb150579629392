"""The vocabulary of a network: nodes, tensors, scales, and the folder that stores them."""
