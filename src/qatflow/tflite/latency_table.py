"""A table of the latency of each operator on a device, and its prediction for a whole model."""

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
    """Latencies of operators, as `device/run/operator_latency.py` measures them.

    Attributes:
        unit: instructions per inference, or milliseconds.
        device: the device, as described by `DeviceDescription`.
        threads: of the run-time.
        call: cost of an inference beyond its operators; 0 if the operators' own times were measured.
        operators: latency of each operator, by `SingleOperator.key`.
        warnings: why the times may be longer than the device can achieve.
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
        """Return the latency of one inference of a .tflite model: the sum of the call and of each operator.

        Raises:
            UserError: the table lacks an operator of the model.
        """
        total = self.call
        for operator in single_operators(content):
            if operator.key not in self.operators:
                raise UserError(
                    f"the latency table of device {self.device['name']} has no entry for {operator.output} "
                    f"({operator.key}): measure it again, with the settings of the model"
                )
            total += self.operators[operator.key]
        return total


def write_table(path: Path, table: LatencyTable) -> None:
    """Write the table as JSON."""
    write_sealed(path, {"format_version": FORMAT, **asdict(table)})


def read_table(path: Path) -> LatencyTable:
    """Read what `write_table` wrote.

    Raises:
        UserError: there is no such file, or it is not such a table.
    """
    try:
        value = read_sealed(path)
        if value.pop("format_version") != FORMAT:
            raise UserError(f"{path} has another format: remove it to measure it again")
        return LatencyTable(**{**value, "warnings": tuple(value["warnings"])})
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error!r}): remove it to measure it again") from error
