"""A table of how long each operator takes on a device, and what it predicts for a model made of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from qatflow.base.errors import UserError
from qatflow.base.sums import read_sealed, write_sealed
from qatflow.tflite.single_operator import single_operators

FORMAT = 1
Unit = Literal["instructions", "ms"]


@dataclass(frozen=True)
class LatencyTable:
    """Latencies of operators, as `device/measure_latency.py` finds them.

    Attributes:
        unit: instructions of one inference, or milliseconds.
        device: what measured them, as `DeviceDescription` tells it.
        threads: of the run-time.
        call: what an inference costs beside its operators; 0 where their own times were measured.
        operators: latency of each, by `SingleOperator.key`.
        warnings: why times are longer than the device can do.
        provenance: what made the table.
    """

    unit: Unit
    device: Mapping[str, Any]
    threads: int
    call: float
    operators: Mapping[str, float]
    warnings: tuple[str, ...]
    provenance: Mapping[str, Any]

    def predict(self, content: bytes) -> float:
        """Return the latency of one inference of a .tflite model: that of the call and of each operator, summed.

        Raises:
            UserError: the table lacks an operator of the model.
        """
        total = self.call
        for operator in single_operators(content):
            if operator.key not in self.operators:
                raise UserError(
                    f"the table of latencies, of device {self.device['name']}, has no {operator.output} "
                    f"({operator.key}): measure it again, with the settings that the model is made with"
                )
            total += self.operators[operator.key]
        return total


def write_table(path: Path, table: LatencyTable) -> None:
    """Write the table as JSON."""
    write_sealed(path, {"format_version": FORMAT, **asdict(table)})


def read_table(path: Path) -> LatencyTable:
    """Read what `write_table` wrote.

    Raises:
        UserError: there is no such file, or it is none.
    """
    try:
        value = read_sealed(path)
        if value.pop("format_version") != FORMAT:
            raise UserError(f"{path} has another format: remove it, and it is measured again")
        return LatencyTable(**{**value, "warnings": tuple(value["warnings"])})
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error!r}): remove it, and it is measured again") from error
