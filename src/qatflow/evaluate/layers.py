"""Compares each layer of the int8 model with the float one: scales, clipping, and the noise of quantisation."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qatflow.base.errors import UserError
from qatflow.base.sums import read_sealed
from qatflow.tflite.read import WEIGHTED, Operator, operators
from qatflow.tflite.tensors import Tensors

QUANTISED_INPUT = "/int8"
"""Suffix of the name of a float tensor's int8 form."""


@dataclass(frozen=True)
class InspectedLayer:
    """One int8 tensor and the operator that computes it, over all inspected pictures.

    Attributes:
        name: of the layer.
        operator: builtin name.
        weight_scale_low: least scale of its kernel; None where it has none.
        weight_scale_high: greatest scale of its kernel; the same where the kernel has one scale.
        scale: step of its output.
        zero_point: of its output.
        float_low: least value of the float model's tensor.
        float_high: greatest value.
        clipped: share of the int8 values that are −128 or 127 while the float value is beyond it.
        sqnr_db: ratio of signal to quantisation noise, 10 · log10(Σ float² / Σ (float − int8)²), in dB; the noise is
            the total that quantisation has added up to this layer.
    """

    name: str
    operator: str
    weight_scale_low: float | None
    weight_scale_high: float | None
    scale: float
    zero_point: int
    float_low: float
    float_high: float
    clipped: float
    sqnr_db: float


def inspect_layers(float_model: bytes, int8_model: bytes, pictures: np.ndarray) -> list[InspectedLayer]:
    """Return the layers of an int8 model, the noisiest first.

    Args:
        float_model: float .tflite of the same network, whose tensors have the same names and shapes.
        int8_model: int8 .tflite.
        pictures: float32 [n, height, width, channels].

    Raises:
        UserError: the two models share no tensor.
    """
    by_output = {
        operator.outputs[0].name: operator for operator in operators(int8_model) if operator.outputs[0].dtype == "INT8"
    }
    reference, quantised = Tensors(float_model), Tensors(int8_model)
    float_names = {name: name.removesuffix(QUANTISED_INPUT) for name in by_output}
    pairs = {name: float_name for name, float_name in float_names.items() if float_name in reference.index}
    if not pairs:
        raise UserError("the float and the int8 model share no tensor: are they of one network?")
    sums = {name: _Sums() for name in pairs}
    for picture in pictures:
        reference.run(picture)
        quantised.run(picture)
        for name, float_name in pairs.items():
            sums[name].add(reference.value(float_name), quantised.value(name), by_output[name].outputs[0])
    layers = [_layer(by_output[name], pairs[name], total) for name, total in sums.items()]
    return sorted(layers, key=lambda layer: layer.sqnr_db)


def read_layers(path: Path) -> list[InspectedLayer]:
    """Return the layers of a layers.json, the noisiest first."""
    return [InspectedLayer(**entry) for entry in read_sealed(path)["layers"]]


def table(layers: Iterable[InspectedLayer]) -> str:
    """Return the layers as lines of text."""
    lines = [f"{'layer':<28} {'operator':<18} {'SQNR dB':>8} {'clipped %':>9} {'scale':>10} {'float range':>22}"]
    lines += [
        f"{layer.name:<28} {layer.operator:<18} {layer.sqnr_db:>8.1f} {100 * layer.clipped:>9.3f} {layer.scale:>10.3g} "
        f"{layer.float_low:>10.3g} … {layer.float_high:<9.3g}"
        for layer in layers
    ]
    return "\n".join(lines)


class _Sums:
    def __init__(self) -> None:
        self.signal = self.noise = 0.0
        self.clipped = self.count = 0
        self.low, self.high = np.inf, -np.inf

    def add(self, real: np.ndarray, integers: np.ndarray, tensor: Any) -> None:
        scale, zero_point = float(tensor.scale[0]), int(tensor.zero_point[0])
        real = real.astype(np.float64)
        self.signal += float((real**2).sum())
        self.noise += float(((real - (integers.astype(np.float64) - zero_point) * scale) ** 2).sum())
        steps = real / scale + zero_point
        beyond = ((integers == 127) & (steps > 127.5)) | ((integers == -128) & (steps < -128.5))
        self.clipped += int(beyond.sum())
        self.count += real.size
        self.low, self.high = min(self.low, float(real.min())), max(self.high, float(real.max()))


def _layer(operator: Operator, name: str, sums: _Sums) -> InspectedLayer:
    kernel = operator.inputs[1] if operator.name in WEIGHTED else None
    output = operator.outputs[0]
    noise = max(sums.noise, np.finfo(np.float64).tiny)
    return InspectedLayer(
        name=name,
        operator=operator.name,
        weight_scale_low=None if kernel is None else float(kernel.scale.min()),
        weight_scale_high=None if kernel is None else float(kernel.scale.max()),
        scale=float(output.scale[0]),
        zero_point=int(output.zero_point[0]),
        float_low=sums.low,
        float_high=sums.high,
        clipped=sums.clipped / sums.count,
        sqnr_db=float(10 * np.log10(max(sums.signal, np.finfo(np.float64).tiny) / noise)),
    )
