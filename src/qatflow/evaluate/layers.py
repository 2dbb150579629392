"""Compares each layer of the int8 model with the float one: scales, clipping, and the noise of quantisation."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qatflow.base.errors import UserError
from qatflow.base.measure import ACCURACY, Measure
from qatflow.base.sums import read_sealed
from qatflow.inference.pictures import PreparedPictures
from qatflow.sensitivity.forms import INTEGERS, layer_name
from qatflow.sensitivity.measure import Sensitivities, read_sensitivities
from qatflow.tflite.precision import BITS
from qatflow.tflite.read import Operator, operators
from qatflow.tflite.tensors import Tensors

BINS, MARGIN = 32, 8
"""Parts of a histogram: within the range of the integers, of 8 bits eight steps each, and beyond it on either side."""


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
        rounding_db: the same with the noise of rounding and clipping the float model's own values to the output's grid:
            what this tensor's scale costs, whatever came before.
        histogram: share of the float values in each of `BINS` equal parts of the grid's range, with `MARGIN` parts of
            the same width on either side; the first and the last also have all values beyond.
        bits: of the grid's integers.
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
    rounding_db: float
    histogram: tuple[float, ...]
    bits: int = 8

    @property
    def grid_range(self) -> tuple[float, float]:
        """The least and the greatest value of the grid."""
        half = 2 ** (self.bits - 1)
        return (-half - self.zero_point) * self.scale, (half - 1 - self.zero_point) * self.scale


def inspect_layers(float_model: bytes, int8_model: bytes, pictures: np.ndarray) -> list[InspectedLayer]:
    """Return the layers of an int8 model, in the order of execution.

    Args:
        float_model: float .tflite of the same network, whose tensors have the same names and shapes.
        int8_model: int8 .tflite.
        pictures: float32 [n, height, width, channels].

    Raises:
        UserError: the two models share no tensor.
    """
    compared = Compared.of(float_model, int8_model)
    return compared.layers([compared.begin()(pictures)])


def inspect_prepared(float_model: bytes, int8_model: bytes, pictures: PreparedPictures) -> list[InspectedLayer]:
    """Return what `inspect_layers` does for prepared pictures; the number of processes does not change a bit of it."""
    compared = Compared.of(float_model, int8_model)

    def begin() -> Callable[[np.ndarray, np.ndarray], list[Measures]]:
        measure = compared.begin()
        return lambda inputs, labels: measure(inputs)

    return compared.layers(pictures.each(begin))


Measures = dict[str, "Measured"]
"""What one picture gives, by the name of the int8 tensor."""


@dataclass(frozen=True)
class Compared:
    """A float and an int8 model of one network.

    Attributes:
        float_model: .tflite.
        int8_model: .tflite.
        by_output: operators of the int8 model by the name of their int8 output.
        pairs: names of the float tensors, by those of the int8 ones.
    """

    float_model: bytes
    int8_model: bytes
    by_output: Mapping[str, Operator]
    pairs: Mapping[str, str]

    @staticmethod
    def of(float_model: bytes, int8_model: bytes) -> "Compared":
        """Find the tensors that both have; raises UserError where there is none."""
        by_output = {
            operator.outputs[0].name: operator
            for operator in operators(int8_model)
            if operator.outputs[0].dtype in INTEGERS
        }
        index = Tensors(float_model).index
        float_names = {name: layer_name(name) for name in by_output}
        pairs = {name: float_name for name, float_name in float_names.items() if float_name in index}
        if not pairs:
            raise UserError("the float and the int8 model share no tensor: are they of one network?")
        return Compared(float_model, int8_model, by_output, pairs)

    def begin(self) -> Callable[[np.ndarray], list[Measures]]:
        """Load both, and return a function from pictures, float32 [n, …], to what each of them gives."""
        reference, quantised = Tensors(self.float_model), Tensors(self.int8_model)

        def one(picture: np.ndarray) -> Measures:
            reference.run(picture)
            quantised.run(picture)
            return {
                name: Measured.of(reference.value(float_name), quantised.value(name), self.by_output[name].outputs[0])
                for name, float_name in self.pairs.items()
            }

        return lambda pictures: [one(picture) for picture in pictures]

    def layers(self, parts: Iterable[list[Measures]]) -> list[InspectedLayer]:
        """Return the layers in the order of execution, from what the pictures give, in their order."""
        sums = {name: Measured() for name in self.pairs}
        for part in parts:
            for picture in part:  # one after another: sums of floats depend on the order
                sums = {name: total.plus(picture[name]) for name, total in sums.items()}
        return [_layer(self.by_output[name], self.pairs[name], total) for name, total in sums.items()]


def read_layers(path: Path) -> list[InspectedLayer]:
    """Return the layers of a layers.json, in the order of execution."""
    return [
        InspectedLayer(**{**entry, "histogram": tuple(entry["histogram"])}) for entry in read_sealed(path)["layers"]
    ]


def read_layer_sensitivities(path: Path) -> Sensitivities | None:
    """Return what the layers of a layers.json cost, alone and left out; None where that was not measured."""
    return read_sensitivities(read_sealed(path).get("sensitivities"))


def table(layers: Iterable[InspectedLayer]) -> str:
    """Return the layers as lines of text, the noisiest first."""
    lines = [f"{'layer':<28} {'operator':<18} {'SQNR dB':>8} {'clipped %':>9} {'scale':>10} {'float range':>22}"]
    lines += [
        f"{layer.name:<28} {layer.operator:<18} {layer.sqnr_db:>8.1f} {100 * layer.clipped:>9.3f} {layer.scale:>10.3g} "
        f"{layer.float_low:>10.3g} … {layer.float_high:<9.3g}"
        for layer in sorted(layers, key=lambda layer: layer.sqnr_db)
    ]
    return "\n".join(lines)


def sensitivity_table(sensitivities: Sensitivities, measure: Measure = ACCURACY) -> str:
    """Return what each layer's quantisation costs as lines of text, the worst first."""
    whole = f"all layers quantised: KL {sensitivities.kl:.3g}, {measure.name} {_points(sensitivities.drop)} points"
    head = f"{'layer':<28} {'operator':<18} {'KL alone':>9} {'points':>7} {'KL of all but it':>17} {'points':>7}"
    rows = [
        f"{layer.name:<28} {layer.operator:<18} {layer.alone_kl:>9.3g} {_points(layer.alone_drop):>7} "
        f"{layer.without_kl:>17.3g} {_points(layer.without_drop):>7}"
        for layer in sensitivities.worst_first
    ]
    return "\n".join([f"{whole} (of {sensitivities.pictures} pictures)", head, *rows])


def _points(drop: float) -> str:
    return f"{0.0 - 100 * drop:+.2f}"


@dataclass(frozen=True)
class Measured:
    """Sums over the values of a tensor, for one or more pictures.

    Attributes:
        signal: of the squares of the float values.
        noise: of the squares of the differences.
        rounding: of the squares of the differences between the float values and these on the grid.
        clipped: number of clipped values.
        count: number of values.
        low: least float value.
        high: greatest.
        histogram: number of float values in each part, int64 [BINS + 2 · MARGIN].
    """

    signal: float = 0.0
    noise: float = 0.0
    rounding: float = 0.0
    clipped: int = 0
    count: int = 0
    low: float = np.inf
    high: float = -np.inf
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(BINS + 2 * MARGIN, np.int64))

    @staticmethod
    def of(real: np.ndarray, integers: np.ndarray, tensor: Any) -> "Measured":
        """Return the sums of one picture's values."""
        scale, zero_point = float(tensor.scale[0]), int(tensor.zero_point[0])
        real = real.astype(np.float64)
        noise = float(((real - (integers.astype(np.float64) - zero_point) * scale) ** 2).sum())
        steps = real / scale + zero_point
        low, high = np.iinfo(integers.dtype).min, np.iinfo(integers.dtype).max
        beyond = ((integers == high) & (steps > high + 0.5)) | ((integers == low) & (steps < low - 0.5))
        rounding = float(((np.clip(np.rint(steps), low, high) - steps) ** 2).sum()) * scale**2
        return Measured(
            float((real**2).sum()), noise, rounding, int(beyond.sum()), real.size, float(real.min()), float(real.max()),
            _histogram(steps, high),
        )  # fmt: skip

    def plus(self, other: "Measured") -> "Measured":
        """Return the sums over the pictures of both."""
        return Measured(
            self.signal + other.signal,
            self.noise + other.noise,
            self.rounding + other.rounding,
            self.clipped + other.clipped,
            self.count + other.count,
            min(self.low, other.low),
            max(self.high, other.high),
            self.histogram + other.histogram,
        )


def _layer(operator: Operator, name: str, sums: Measured) -> InspectedLayer:
    kernel = operator.kernel
    output = operator.outputs[0]
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
        sqnr_db=_decibels(sums.signal, sums.noise),
        rounding_db=_decibels(sums.signal, sums.rounding),
        histogram=tuple((sums.histogram / sums.count).tolist()),
        bits=BITS[output.dtype],
    )


def _histogram(steps: np.ndarray, high: int) -> np.ndarray:
    """Return how many values are in each part; `steps` are float values in steps of the grid, which ends at `high`."""
    parts = np.floor((steps.ravel() + high + 1.5) * (BINS / (2 * high + 2))) + MARGIN
    last = BINS + 2 * MARGIN - 1
    return np.bincount(np.clip(parts, 0, last).astype(np.int64), minlength=last + 1)


def _decibels(signal: float, noise: float) -> float:
    tiny = np.finfo(np.float64).tiny
    return float(10 * np.log10(max(signal, tiny) / max(noise, tiny)))
