"""The name of a quantised model: `int8`, or the bits of its weights and activations, as `W4A8`."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from qatflow.base.sums import read_checked, read_sealed
from qatflow.tflite.read import WIDE_FORM, operators

BITS = {"INT2": 2, "INT4": 4, "INT8": 8, "UINT8": 8, "INT16": 16}
PLAIN = (8,)


@dataclass(frozen=True)
class Precision:
    """The widths of a model's integers, each in ascending order.

    Attributes:
        weights: of the layers' kernels.
        activations: of the tensors in between.
    """

    weights: tuple[int, ...]
    activations: tuple[int, ...]

    @staticmethod
    def of_json(value: Mapping[str, Iterable[int]]) -> "Precision":
        """Return the precision from the mapping that `dataclasses.asdict` returns."""
        return Precision(**{name: tuple(bits) for name, bits in value.items()})

    @property
    def short(self) -> str:
        """Return `int8`, `W4A8`, `W2…8A8` or `W8A16`."""
        return "int8" if self == INT8 else f"W{_span(self.weights)}A{_span(self.activations)}"

    @property
    def words(self) -> str:
        """Return `int8`, or `4-bit weights, int8 activations`."""
        if self == INT8:
            return "int8"
        weights = "int8" if self.weights == PLAIN else f"{_span(self.weights)}-bit"
        return f"{weights} weights, {' and '.join(f'int{bits}' for bits in self.activations)} activations"


INT8 = Precision(PLAIN, PLAIN)
ABOUT = "optimization.json"


def precision_of(model: Path) -> Precision:
    """Return the widths of a .tflite file; optimization.json beside it, where it is, has those of the kernels.

    Raises:
        UserError: one of them has changed since it was written.
    """
    about = model.with_name(ABOUT)
    known = read_sealed(about) if about.is_file() else {}
    return precision(read_checked(model), known.get("weight_bits", ()))


def precision(content: bytes, weight_bits: Collection[int] = ()) -> Precision:
    """Return the widths of a .tflite file; int8 where no layer with weights computes in integers.

    Args:
        content: the file.
        weight_bits: of its kernels, whose integers may have fewer bits than their type; empty: those of the types.
    """
    outputs = [(one, one.outputs[0]) for one in operators(content)]
    integers = [
        BITS[tensor.dtype] for _, tensor in outputs if tensor.dtype in BITS and not tensor.name.endswith(WIDE_FORM)
    ]
    kernels = [one.kernel.dtype for one, tensor in outputs if one.kernel is not None and tensor.dtype in BITS]
    return Precision(
        _sorted(weight_bits or [BITS[kind] for kind in kernels if kind in BITS]) or PLAIN, _sorted(integers) or PLAIN
    )


def _sorted(bits: Collection[int]) -> tuple[int, ...]:
    return tuple(sorted(set(bits)))


def _span(bits: tuple[int, ...]) -> str:
    return str(bits[0]) if len(bits) == 1 else f"{bits[0]}…{bits[-1]}"
