"""Where int8 kernels of ARM and x86 round differently, and the scales at which they do not.

Of the kernels that we write, these differ. The formulas follow XNNPACK's and TensorFlow Lite's source, and give every
value that LiteRT 2.3.0 gives on x86_64 and in the emulator (`tests/device/test_rounding.py`):

* MUL: x86 rounds the float32 product to the nearest integer, ties to even; ARM rounds the exact one, ties up.
* MEAN: ARM adds the zero points in one fused operation, x86 rounds the product before.
* HARD_SWISH: of negative values, ARM rounds ties up and the last bit down, x86 away from and towards zero.
* TANH: the table comes from the C library's float function, whose last bit is its own.

Every other int8 kernel that we write gives the same integers on both, also in ties. Almost all scales are
harmless; where one is not, the next float32 numbers are tried until the kernels agree for every possible input.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, frexp

import numpy as np

Grid = tuple[float, int]
"""Scale and zero point of an int8 tensor."""

INTEGERS = range(-128, 128)
FLOAT32_BITS = 24
MARGIN = 2.0 ** (1 - FLOAT32_BITS)
"""Twice the largest relative error of a float32 operation."""
LIBRARY_ERROR = 2.0**-21
"""Relative error of a float function of a C library that is allowed for: 4 units in the last place."""
ULPS = 256
WIDER = 2048
WIDER_STEP = 2.0**-16
COARSE = 64
COARSE_STEP = 2.0**-9


def products_agree(first: Grid, second: Grid, output: Grid, operand: Sequence[int] | None = None) -> bool:
    """Return whether MUL gives the same integers on ARM and x86 for all inputs.

    No product may be so near to a tie that the rounding of float32 decides.

    Args:
        first: grid of an input.
        second: grid of the other.
        output: grid of the output.
        operand: integers of the second input, if it is a constant.
    """
    integers = tuple(INTEGERS) if operand is None else tuple(sorted(set(operand)))
    multiplier = float(np.float32(np.float32(first[0]) * np.float32(second[0])) / np.float32(output[0]))
    ties = _ties(output[1])
    # a product is an integer, and at most one of them lies so near to a tie
    products = np.rint(ties / multiplier)
    near = np.abs(products * multiplier - ties) <= MARGIN * np.abs(ties)
    possible = _possible_products(first[1], second[1], integers)
    limit = len(possible) // 2
    near &= np.abs(products) <= limit
    return not possible[products[near].astype(int) + limit].any()


@lru_cache(maxsize=256)
def _possible_products(first: int, second: int, integers: tuple[int, ...]) -> np.ndarray:
    """Return for each integer from −n to n whether it is a product of two inputs less their zero points."""
    products = np.outer(np.arange(-128, 128) - first, np.asarray(integers) - second).ravel()
    limit = int(np.abs(products).max())
    possible = np.zeros(2 * limit + 1, bool)
    possible[products + limit] = True
    return possible


def means_agree(source: Grid, output: Grid, count: int) -> bool:
    """Return whether MEAN over `count` values gives the same integers on ARM and x86 for all inputs."""
    scale = np.float32(source[0]) / np.float32(output[0])
    multiplier = np.float32(scale * (np.float32(1) / np.float32(count)))
    shift = np.float32(count * source[1])
    unfused = np.float32(output[1]) - shift * multiplier
    fused = np.float32(output[1] - float(shift) * float(multiplier))
    if unfused == fused == 0:
        return True
    # the sums next to the ties; all others are too far from one for any rounding
    error = MARGIN * 4 * (abs(float(fused)) + 256)
    width = ceil(error / float(multiplier)) + 1
    nearest = np.rint((_ties(0) - float(fused)) / float(multiplier)).astype(np.int64)
    sums = np.clip(nearest[:, None] + np.arange(-width, width + 1), -128 * count, 127 * count).astype(np.float32)
    x86 = np.rint(sums * multiplier + unfused)
    arm = np.rint((sums.astype(np.float64) * float(multiplier) + float(fused)).astype(np.float32))
    return bool(np.array_equal(np.clip(x86, -128, 127), np.clip(arm, -128, 127)))


def tangents_agree(source: Grid) -> bool:
    """Return whether TANH, in steps of 1/128, gives the same integers with any good C library for all inputs."""
    steps = 128 * np.tanh((np.arange(-128, 128) - source[1]) * source[0])
    return not bool((np.abs(steps - np.floor(steps) - 0.5) <= LIBRARY_ERROR * np.abs(steps)).any())


def hard_swishes_agree(source: Grid, output: Grid) -> bool:
    """Return whether HARD_SWISH gives the same integers on ARM and x86 for all inputs."""
    return bool(np.array_equal(hard_swish(source, output, arm=True), hard_swish(source, output, arm=False)))


def hard_swish(source: Grid, output: Grid, *, arm: bool) -> np.ndarray:
    """Return the output's integers for the inputs −128 … 127, in TensorFlow Lite's 16-bit arithmetic.

    Args:
        source: grid of the input.
        output: grid of the output.
        arm: whether ARM's vector instructions round, or plain C++, which x86 runs.
    """
    fine = np.float32(np.float32(1 / 128) * np.float32(source[0]))
    to_output, output_exponent = _multiplier(np.float32(fine / np.float32(output[0])))
    to_gate, gate_exponent = _multiplier(np.float32(fine / np.float32(3 / 32768)))
    values = (np.arange(-128, 128) - source[1]) << 7
    scaled = _high_half(values, to_output)
    gate = _saturated(values << max(gate_exponent - 1, 0)) if gate_exponent > 0 else values
    gate = _high_half(gate, to_gate)
    gate = _saturated(gate << 1) if gate_exponent > 0 else _shifted(gate, -gate_exponent, arm)
    product = ((gate + 32768) >> 1) * scaled
    product = product >> 15 if arm else np.sign(product) * (np.abs(product) >> 15)
    return np.clip(_shifted(product, max(-output_exponent, 0), arm) + output[1], -128, 127)


def _multiplier(value: np.float32) -> tuple[int, int]:
    """Return a positive number as a 16-bit fraction of 2^15, and the exponent of 2 that it is multiplied by."""
    fraction, exponent = frexp(float(value))
    wide = int(np.floor(fraction * 2.0**31 + 0.5))
    if wide == 2**31:
        wide, exponent = wide // 2, exponent + 1
    return min((wide + (1 << 15)) >> 16, 32767), exponent


def _high_half(values: np.ndarray, factor: int) -> np.ndarray:
    return _saturated((values * factor * 2 + (1 << 15)) >> 16)


def _saturated(values: np.ndarray) -> np.ndarray:
    return np.clip(values, -32768, 32767)


def _shifted(values: np.ndarray, bits: int, up: bool) -> np.ndarray:
    """Return values / 2^bits, rounded to the nearest integer, ties up or away from zero."""
    if bits == 0:
        return values
    half = 1 << (bits - 1)
    return (values + half) >> bits if up else np.sign(values) * ((np.abs(values) + half) >> bits)


def _ties(zero_point: int) -> np.ndarray:
    """Return the values, in steps of the output, that lie between two integers of it."""
    return np.arange(-128, 127) - zero_point + 0.5


@dataclass(frozen=True)
class Check:
    """A kernel whose rounding depends on scales.

    Attributes:
        name: of its output.
        keys: of all scales that it depends on.
        adjustable: those of them that may be changed, the best first.
        agrees: whether ARM and x86 agree with these scales.
    """

    name: str
    keys: frozenset[Hashable]
    adjustable: tuple[Hashable, ...]
    agrees: Callable[[Mapping[Hashable, float]], bool]


def settle(scales: MutableMapping[Hashable, float], checks: Sequence[Check]) -> list[str]:
    """Change scales as little as possible so that every kernel rounds in the same way on ARM and x86.

    Args:
        scales: float32 values by key; changed in place.
        checks: the kernels, in order of execution.

    Returns:
        Names of the outputs for which no scale does.
    """
    return [check.name for check in checks if not check.agrees(scales) and not _settle_one(scales, checks, check)]


def _settle_one(scales: MutableMapping[Hashable, float], checks: Sequence[Check], check: Check) -> bool:
    for key in check.adjustable:
        held = [other for other in checks if key in other.keys and (other is check or other.agrees(scales))]
        before = scales[key]
        for scales[key] in _near(before):
            if all(other.agrees(scales) for other in held):
                return True
        scales[key] = before
    return False


def _near(scale: float) -> Iterator[float]:
    """Yield float32 numbers near a scale: both neighbours by turns, then larger ones further apart."""
    up = down = np.float32(scale)
    for _ in range(ULPS):
        up, down = np.nextafter(up, np.float32(np.inf)), np.nextafter(down, np.float32(0))
        yield from (float(up), float(down))
    for count, step in ((WIDER, WIDER_STEP), (COARSE, COARSE_STEP)):
        yield from (float(np.float32(scale * (1 + number * step))) for number in range(1, count + 1))
