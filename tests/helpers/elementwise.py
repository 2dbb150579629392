"""A graph of every operation on single values and pairs of values, each with a tensor of its own."""

from typing import Any

import numpy as np

from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    Add,
    Concat,
    Conv2D,
    Dense,
    Elu,
    Exp,
    Gelu,
    HardSigmoid,
    HardSwish,
    Input,
    LeakyRelu,
    Maximum,
    Minimum,
    Mish,
    Multiply,
    Operation,
    PRelu,
    Relu,
    Relu6,
    Reshape,
    Selu,
    Sigmoid,
    Softplus,
    Softsign,
    Subtract,
    Tanh,
    ThresholdedRelu,
)

SHAPE = (6, 5, 3)
CHANNELS = 4

PAIRS: dict[str, Operation] = {
    "add": Add(),
    "add_relu": Add("relu"),
    "multiply": Multiply(),
    "subtract": Subtract(),
    "subtract_relu6": Subtract(activation="relu6"),
    "maximum": Maximum(),
    "minimum": Minimum(),
}
"""Operations of two tensors."""

CONSTANTS: dict[str, tuple[Operation, Any]] = {
    "add_number": (Add(), [3.0]),
    "add_channels": (Add("relu6"), [1.0, -2.0, 0.25, 0.0]),
    "add_tiny": (Add(), [1e-4]),
    "add_huge": (Add(), [500.0]),
    "add_place": (Add(), np.linspace(-2, 2, 30).reshape(6, 5, 1)),
    "scale_number": (Multiply(), [-0.5]),
    "scale_tiny": (Multiply(), [1e-3]),
    "scale_channels": (Multiply(), [1.0, -2.0, 0.25, 0.0]),
    "subtract_number": (Subtract(), [1.5]),
    "from_number": (Subtract(constant_first=True), [1.5]),
    "from_channels": (Subtract(constant_first=True, activation="relu"), [[[1.0, -2.0, 0.25, 0.0]]]),
    "at_least": (Maximum(), [-0.7]),
    "at_least_channels": (Maximum(), [-0.7, 0.0, 0.3, -9.0]),
    "at_most": (Minimum(), [0.9]),
}
"""Operations of a tensor and a constant."""

SPREAD = ("add_huge", "add_tiny", "scale_tiny")
"""Those whose results are far from those of the others, so that a common scale would hide one or the other."""

SINGLE: dict[str, Operation] = {
    "relu": Relu(),
    "relu6": Relu6(),
    "leaky": LeakyRelu(0.2),
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
    "prelu": PRelu(),
    "hard_swish": HardSwish(),
    "hard_sigmoid": HardSigmoid(1 / 6, 0.5),
    "hard_sigmoid_keras": HardSigmoid(0.2, 0.5),
    "hard_sigmoid_other": HardSigmoid(0.9, -0.3),
}
"""Functions with an int8 form."""

IN_FLOAT: dict[str, Operation] = {
    "thresholded": ThresholdedRelu(0.4),
    "elu": Elu(),
    "elu_other": Elu(0.3),
    "selu": Selu(),
    "exp": Exp(),
    "softplus": Softplus(),
    "softsign": Softsign(),
    "mish": Mish(),
    "gelu": Gelu(False),
}
"""Functions that run in float."""


def every_operation() -> Graph:
    """Each operation reads `x`, or `x` and `y`, the outputs of two convolutions; all tensors are outputs."""
    conv = Conv2D((1, 1), "same")
    nodes = [Node("input", Input(SHAPE)), Node("x", conv, ("input",)), Node("y", conv, ("input",))]
    random = np.random.default_rng(2)
    weights = {
        "x/kernel": random.normal(0, 0.8, (3, 3, SHAPE[-1], CHANNELS)).astype(np.float32),
        "y/kernel": random.normal(0, 0.3, (1, 1, SHAPE[-1], CHANNELS)).astype(np.float32),
        "prelu/alpha": np.asarray([0.3, -0.2, 0.0, 1.5], np.float32),
    }
    nodes += [Node(name, operation, ("x", "y")) for name, operation in PAIRS.items()]
    for name, (operation, constant) in CONSTANTS.items():
        nodes.append(Node(name, operation, ("x",)))
        weights[f"{name}/constant"] = np.asarray(constant, np.float32)
    nodes += [Node(name, operation, ("x",)) for name, operation in {**SINGLE, **IN_FLOAT}.items()]
    return Graph(tuple(nodes), tuple(node.name for node in nodes[1:]), weights)


def classifier(shape: tuple[int, int, int]) -> Graph:
    """Each operation that has an int8 form, of pictures of that shape; each logit is a sum of some of their values.

    The strides leave few places, so that few values share a logit.
    """
    names = [*PAIRS, *(name for name in CONSTANTS if name not in SPREAD), *SINGLE]
    whole = every_operation()
    rows, columns = -(-shape[0] // 16), -(-shape[1] // 16)
    nodes = [Node("input", Input(shape))]
    random = np.random.default_rng(3)
    weights = {name: values for name, values in whole.weights.items() if name.split("/")[0] in names}
    weights["add_place/constant"] = random.uniform(-2, 2, (rows, columns, 1)).astype(np.float32)
    for name, window in (("x", 5), ("y", 3)):
        nodes.append(Node(name, Conv2D((16, 16), "same"), ("input",)))
        weights[f"{name}/kernel"] = random.normal(0, 0.6, (window, window, shape[2], CHANNELS)).astype(np.float32)
    nodes += [node for node in whole.nodes if node.name in names]
    nodes.append(Node("joined", Concat(), tuple(names)))
    values = rows * columns * CHANNELS * len(names)
    nodes += [Node("flat", Reshape((values,)), ("joined",)), Node("logits", Dense(), ("flat",))]
    picked = np.zeros((values, 10), np.float32)
    picked[np.arange(values), np.arange(values) % 10] = random.choice([-0.01, 0.01], values)
    weights["logits/kernel"] = picked
    return Graph(tuple(nodes), ("logits",), weights, aliases={"image": "input", "fc_0.tmp_2": "logits"})


def pictures(count: int = 3) -> np.ndarray:
    """Pictures for it, float32."""
    return np.random.default_rng(7).normal(0, 1.5, (count, *SHAPE)).astype(np.float32)
