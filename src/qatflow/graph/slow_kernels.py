"""What kernels that LiteRT has no fast form of cost on a device, as training and the run on a device warn of it."""

WIDE_COST = (
    "LiteRT has no fast kernels for activations of 16 bits: a network of them takes 56 to 111 times as long on a CPU "
    "as with 8 bits (benchmarks/wide_activations.md)"
)
INT4_COST = (
    "LiteRT unpacks INT4 kernels of convolutions at each call, and computes them without XNNPACK: MobileNetV1 1.0 "
    "takes 4.8 times as long on a CPU as with the same integers stored as int8 (benchmarks/widths.md)"
)
