"""What activations of 16 bits cost on a device, as training and the run on a device warn of it."""

WIDE_COST = (
    "LiteRT has no fast kernels for activations of 16 bits: a network of them takes 50 to 110 times as long on a CPU "
    "as with 8 bits (benchmarks/wide_activations.md)"
)
