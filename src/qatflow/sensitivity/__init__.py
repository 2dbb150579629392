"""What the quantisation of a single layer costs: each layer is exchanged by itself, and the outputs are compared."""
