"""A small graph around one example of each operation."""

from math import prod

import numpy as np

from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    OPERATIONS,
    Attention,
    AveragePool,
    BatchNorm,
    Conv2D,
    Conv2DTranspose,
    Crop,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Elu,
    Gelu,
    GlobalAveragePool,
    GlobalMaxPool,
    GroupNorm,
    HardSigmoid,
    Input,
    LayerNorm,
    LeakyRelu,
    MaxPool,
    Operation,
    Pad,
    Padding,
    Pair,
    Permute,
    PictureDropout,
    Reshape,
    Resize,
    SpatialDropout,
    ThresholdedRelu,
    UpSample,
)

SHAPE = (6, 4, 4)
WINDOW: tuple[Pair, Pair, Padding] = ((2, 2), (2, 2), "valid")

EXAMPLES: dict[str, Operation] = {
    "Conv2D": Conv2D((1, 1), "same"),
    "DepthwiseConv2D": DepthwiseConv2D((1, 1), "same"),
    "Conv2DTranspose": Conv2DTranspose((2, 2), "same"),
    "BatchNorm": BatchNorm(1e-3, 0.9),
    "LeakyRelu": LeakyRelu(0.1),
    "HardSigmoid": HardSigmoid(0.2, 0.5),
    "ThresholdedRelu": ThresholdedRelu(0.5),
    "Elu": Elu(),
    "Gelu": Gelu(approximate=False),
    "LayerNorm": LayerNorm(1e-3),
    "GroupNorm": GroupNorm(2, 1e-3),
    "Attention": Attention(1, 1.0),
    "UpSample": UpSample((2, 2), bilinear=False),
    "Resize": Resize(3, 8, bilinear=True),
    "Crop": Crop((1, 0), (0, 1)),
    "Pad": Pad((1, 0), (0, 1)),
    "Permute": Permute((1, 0, 2)),
    "AveragePool": AveragePool(*WINDOW),
    "MaxPool": MaxPool(*WINDOW),
    "GlobalAveragePool": GlobalAveragePool(keepdims=False),
    "GlobalMaxPool": GlobalMaxPool(keepdims=False),
    "Reshape": Reshape((24, 4)),
    "Dropout": Dropout(0.1),
    "PictureDropout": PictureDropout(0.1),
    "SpatialDropout": SpatialDropout(0.1),
}
"""Operations that need arguments; all others have none."""

KERNELS = {
    "Conv2D": ("kernel", (3, 3, 4, 4)),
    "DepthwiseConv2D": ("depthwise_kernel", (3, 3, 4, 1)),
    "Conv2DTranspose": ("kernel", (3, 3, 4, 4)),
    "Dense": ("kernel", (4, 4)),
}
THREE = ("Attention",)
TWO = ("Add", "Multiply", "Subtract", "Maximum", "Minimum", "Concat")


def example(name: str) -> Operation:
    """An example of an operation."""
    made: Operation = EXAMPLES[name] if name in EXAMPLES else OPERATIONS[name]()
    return made


def around(name: str, operation: Operation) -> Graph:
    """A convolution, the operation behind it, and a dense layer behind that; each reads several tensors if it does."""
    from qatflow.graph.shapes import shapes

    shape = (SHAPE[0] * SHAPE[1], SHAPE[2]) if name in THREE else SHAPE
    nodes = [Node("input", Input(SHAPE)), Node("conv", Conv2D((1, 1), "same"), ("input",))]
    random = np.random.default_rng(0)

    def values(*sizes: int) -> np.ndarray:
        return random.normal(0, 0.5, sizes).astype(np.float32)

    weights = {"conv/kernel": values(1, 1, 4, 4)}
    sources = ["conv"]
    for place in range(2, 4 if name in THREE else 3 if name in TWO else 2):
        nodes.append(Node(f"conv{place}", Conv2D((1, 1), "same"), ("input",)))
        weights[f"conv{place}/kernel"] = values(1, 1, 4, 4)
        sources.append(f"conv{place}")
    if name in THREE:
        nodes += [Node(f"{source}_rows", Reshape(shape), (source,)) for source in sources]
        sources = [f"{source}_rows" for source in sources]
    nodes.append(Node("made", operation, tuple(sources)))
    if name in KERNELS:
        role, sizes = KERNELS[name]
        weights[f"made/{role}"] = values(*sizes)
    if name == "PRelu":
        weights["made/alpha"] = values(4)
    if name == "Rescale":
        weights |= {"made/factor": np.full(4, 0.5, np.float32), "made/offset": np.full(4, 0.25, np.float32)}
    if name in ("BatchNorm", "LayerNorm", "GroupNorm"):
        weights |= {f"made/{role}": np.ones(4, np.float32) for role in ("gamma", "beta")}
    if name == "BatchNorm":
        weights |= {f"made/moving_{role}": np.ones(4, np.float32) for role in ("mean", "variance")}
    made = shapes(Graph(tuple(nodes), ("made",), weights))["made"]
    nodes += [Node("flat", Reshape((prod(made),)), ("made",)), Node("dense", Dense(), ("flat",))]
    weights["dense/kernel"] = values(prod(made), 3)
    return Graph(tuple(nodes), ("dense",), weights)
