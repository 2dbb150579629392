"""Do host and device agree?"""

from collections.abc import Sequence

import numpy as np

from qatflow.base.errors import UserError
from qatflow.device.results.report import Agreement
from qatflow.device.run.tolerance import amount


class DisagreementError(UserError):
    """Host and device disagree.

    Attributes:
        picture: position of the first picture on which they do.
    """

    def __init__(self, message: str, picture: int) -> None:
        """Keep the picture beside the message."""
        super().__init__(message)
        self.picture = picture


def compare(
    host: np.ndarray,
    device: np.ndarray,
    tolerance: float,
    classes: Sequence[str] = (),
    what: str = "output",
    unit: str = "(absolute)",
) -> Agreement:
    """Compare the outputs of host and device for the same pictures.

    Args:
        host: [n, classes], float32, int8 or uint8.
        device: the same shape and type.
        tolerance: greatest absolute difference allowed, in the outputs' units; 0 asks for equal bits.
        classes: names of the classes, for the message.
        what: what is compared, for the message.
        unit: of a difference, in words that follow a number.

    Returns:
        How well they agree.

    Raises:
        DisagreementError: they do not; it names the first picture, class and both values. NaN agrees with the same NaN
            only.
        UserError: the device did not return what the host's model returns.
    """
    if host.shape != device.shape or host.dtype != device.dtype:
        raise UserError(
            f"the device returned {device.dtype} {device.shape} for the {what}, the host {host.dtype} {host.shape}: "
            "is the same model there?"
        )
    same = bits(host) == bits(device)
    difference = np.abs(host.astype(np.float64) - device.astype(np.float64))
    agree = same | (difference <= tolerance) if tolerance > 0 else same
    if not agree.all():
        picture, index = map(int, np.argwhere(~agree)[0])
        name = f" ({classes[index]})" if index < len(classes) else ""
        numbers = difference[~np.isnan(difference)]
        most = f" by up to {amount(numbers.max(), unit)}" if numbers.size else ""
        wanted = f"a difference of at most {amount(tolerance, unit)}" if tolerance > 0 else "equal bits"
        raise DisagreementError(
            f"host and device disagree on the {what} of picture {picture}, class {index}{name}: "
            f"host {host[picture, index]:.9g}, device {device[picture, index]:.9g}; {wanted} was asked for, and "
            f"{(~agree).any(axis=1).sum()} of {len(host)} pictures differ{most}",
            picture,
        )
    return Agreement(len(host), bool(same.all()), float(difference[~same].max(initial=0.0)), unit, tolerance, "")


def bits(values: np.ndarray) -> np.ndarray:
    """Return the bits of each value, as an unsigned integer of its size."""
    return np.ascontiguousarray(values).view(np.dtype(f"u{values.dtype.itemsize}"))
