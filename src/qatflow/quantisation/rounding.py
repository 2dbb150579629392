"""AdaRound: whether a weight is rounded up or down is trained, so that the layer's output stays what it was.

Nagel et al. 2020, arXiv:2004.10568. The integer of a weight w is ⌊w / s⌋ + h(V), with a rectified sigmoid h that ends
at 0 or 1: a regulariser, whose exponent is annealed, pushes it there. The target is what the float layer puts out, with
the activation function; the input is what the layers before give when they are quantised.

Each output channel has a loss of its own, so channels are trained in blocks that know nothing of each other. That
bounds the memory, and the number of processes changes nothing. Matrix products must run in one thread
(OPENBLAS_NUM_THREADS=1): BLAS adds in another order with several.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from qatflow.base.processes import in_order

ZETA, GAMMA = 1.1, -0.1
"""Ends of the sigmoid before it is clipped to 0 … 1 (§3.2)."""
WEIGHT_OF_REGULARISER = 0.01
WARM_UP = 0.2
"""Share of the steps without the regulariser."""
FIRST_BETA, LAST_BETA = 20.0, 2.0
"""The exponent before and after annealing, by a cosine."""
RATE, DECAY_1, DECAY_2, EPSILON = 0.01, 0.9, 0.999, 1e-8
"""Of Adam (Kingma and Ba 2015, arXiv:1412.6980)."""
BATCH = 256
"""Outputs of a channel in a step."""
AT_ONCE = 2**18
"""Weights of a block of channels."""
KILLED = "a process that trained the rounding was killed, most likely because memory ran out: give the job fewer cores"

Clip = Literal["relu", "relu6"] | None
"""The activation function behind a layer, as far as it clips."""
Loss = tuple[float, np.ndarray]
"""A value, and its gradient."""
CLIPS: Mapping[Clip, tuple[float, float]] = {None: (-np.inf, np.inf), "relu": (0.0, np.inf), "relu6": (0.0, 6.0)}


@dataclass(frozen=True)
class Samples:
    """A layer as a matrix product, at some places of some pictures: out = inputs · kernel · gain + offset.

    Groups read inputs of their own: one of a convolution or a dense layer, one for each channel of a depthwise one.

    Attributes:
        inputs: what the layer reads when those before it are quantised, float32 [groups, places, reads].
        targets: what the float layer computes there before its activation function, float32 [groups, places, makes].
        kernel: float32 [groups, reads, makes].
        scale: of the integers, float32 [groups, 1, makes].
        gain: of the batch-norm behind the layer, which has no activation function between, float32 [groups, 1, makes].
        offset: bias and the rest of the batch-norm, float32 [groups, 1, makes].
        clip: the activation function.
        bits: width of the integers, −(2^(bits−1)−1) … 2^(bits−1)−1.
    """

    inputs: np.ndarray
    targets: np.ndarray
    kernel: np.ndarray
    scale: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    clip: Clip
    bits: int

    def outputs(self, integers: np.ndarray) -> np.ndarray:
        """Return what the layer computes with these integers before its activation function, as `targets`."""
        results: np.ndarray = self.inputs @ (integers * self.scale * self.gain).astype(np.float32) + self.offset
        return results

    def errors(self, integers: np.ndarray) -> np.ndarray:
        """Return the mean squared error of each output channel behind the activation, float64 [groups, 1, makes]."""
        low, high = CLIPS[self.clip]
        difference = np.clip(self.outputs(integers), low, high) - np.clip(self.targets, low, high)
        errors: np.ndarray = (difference.astype(np.float64) ** 2).mean(axis=1, keepdims=True)
        return errors

    def followed_by(self, gain: np.ndarray, offset: np.ndarray) -> "Samples":
        """Return the layer with another batch-norm or bias behind it, each of [channels]."""
        own = [values.reshape(self.gain.shape).astype(np.float32) for values in (gain, offset)]
        return replace(self, gain=own[0], offset=own[1])

    def at(self, places: np.ndarray) -> "Samples":
        """Return these places, by their numbers."""
        return replace(self, inputs=self.inputs[:, places], targets=self.targets[:, places])

    def part(self, groups: slice, makes: slice) -> "Samples":
        """Return some groups, and of these some output channels."""
        return Samples(
            self.inputs[groups], self.targets[groups, :, makes], self.kernel[groups, :, makes],
            self.scale[groups, :, makes], self.gain[groups, :, makes], self.offset[groups, :, makes],
            self.clip, self.bits,
        )  # fmt: skip


def rectified_sigmoid(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return h(V) = clip(σ(V) (ζ − γ) + γ, 0, 1), equation 23, and its derivative."""
    sigmoid = 1 / (1 + np.exp(-v))
    stretched = sigmoid * (ZETA - GAMMA) + GAMMA
    slope = np.where((stretched > 0) & (stretched < 1), (ZETA - GAMMA) * sigmoid * (1 - sigmoid), 0)
    return np.clip(stretched, 0, 1), slope


def inverse(h: np.ndarray) -> np.ndarray:
    """Return the V of h(V) = h, for 0 ≤ h ≤ 1."""
    v: np.ndarray = -np.log((ZETA - GAMMA) / (h - GAMMA) - 1)
    return v


def regulariser(h: np.ndarray, beta: float) -> tuple[float, np.ndarray]:
    """Return Σ (1 − |2h − 1|^β), equation 24, and its gradient in h."""
    centred = 2 * h - 1
    power = np.abs(centred) ** (beta - 1)
    return float((1 - power * np.abs(centred)).sum()), -2 * beta * power * np.sign(centred)


def annealed(step: int, steps: int) -> float | None:
    """Return the exponent β of a step, counted from 0; None while there is no regulariser."""
    done = step / steps
    if done < WARM_UP:
        return None
    along = (done - WARM_UP) / (1 - WARM_UP)
    return LAST_BETA + 0.5 * (FIRST_BETA - LAST_BETA) * (1 + np.cos(np.pi * along))


def loss(samples: Samples, low: np.ndarray, room: np.ndarray, v: np.ndarray, beta: float | None) -> Loss:
    """Return the loss of equation 25 with its gradient in V.

    Σ over channels of the mean of (f(target) − f(output))², and 0.01 times the regulariser.

    Args:
        samples: the layer.
        low: integers rounded down, [groups, reads, makes].
        room: 1 where the next integer is one that the width has, else 0.
        v: the trained values, [groups, reads, makes].
        beta: exponent of the regulariser; None: without.
    """
    h, slope = rectified_sigmoid(v)
    least, most = CLIPS[samples.clip]
    out = samples.outputs(low + h * room)
    difference = np.clip(out, least, most) - np.clip(samples.targets, least, most)
    back = difference * ((out > least) & (out < most)) * np.float32(2 / out.shape[1])
    gradient = (samples.inputs.transpose(0, 2, 1) @ back) * (samples.scale * samples.gain)
    value = float((difference.astype(np.float64) ** 2).sum()) / out.shape[1]
    if beta is not None:
        added, towards = regulariser(h, beta)
        value += WEIGHT_OF_REGULARISER * added
        gradient = gradient + np.float32(WEIGHT_OF_REGULARISER) * towards
    return value, gradient * slope * room


def trained(samples: Samples, plain: np.ndarray, steps: int, seed: int) -> np.ndarray:
    """Return the integers after training, float32 [groups, reads, makes], of all channels at once.

    A channel whose error over all samples is not smaller than with the plain integers keeps those.

    Args:
        samples: the layer.
        plain: the nearest integers, of the same shape.
        steps: of Adam, each on the same 256 places of every channel.
        seed: of the choice of the places.
    """
    end = 2 ** (samples.bits - 1) - 1
    steps_of_kernel = samples.kernel / samples.scale
    floor = np.floor(steps_of_kernel)
    low, high = np.clip(floor, -end, end), np.clip(floor + 1, -end, end)
    room = high - low
    v = inverse(np.clip(steps_of_kernel - floor, 0, 1)).astype(np.float32)
    first, second = np.zeros_like(v), np.zeros_like(v)
    random, places = np.random.default_rng(seed), samples.inputs.shape[1]
    for step in range(steps):
        chosen = random.integers(0, places, BATCH)
        batch = samples.at(chosen)
        _, gradient = loss(batch, low, room, v, annealed(step, steps))
        first += (1 - DECAY_1) * (gradient - first)
        second += (1 - DECAY_2) * (gradient * gradient - second)
        size = RATE * np.sqrt(1 - DECAY_2 ** (step + 1)) / (1 - DECAY_1 ** (step + 1))
        v -= np.float32(size) * first / (np.sqrt(second) + np.float32(EPSILON))
    integers = low + room * (rectified_sigmoid(v)[0] >= 0.5)
    return np.where(samples.errors(integers) < samples.errors(plain), integers, plain)


def adaround(samples: Samples, plain: np.ndarray, steps: int, seed: int, processes: int = 1) -> np.ndarray:
    """Return the integers after training, float32 [groups, reads, makes]; blocks of channels by several processes.

    Args:
        samples: the layer.
        plain: the nearest integers, of the same shape.
        steps: of Adam.
        seed: of the choice of the samples in each step.
        processes: their number; it does not change the integers.
    """
    found = np.empty_like(samples.kernel)
    blocks = list(_blocks(samples.kernel.shape))

    def begin() -> Callable[[tuple[slice, slice]], np.ndarray]:
        return lambda block: trained(samples.part(*block), plain[block[0], :, block[1]], steps, seed)

    done = in_order(blocks, begin, min(processes, len(blocks)), KILLED)
    for (groups, makes), integers in zip(blocks, done, strict=True):
        found[groups, :, makes] = integers
    return found


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Yield parts of the groups and output channels, with about `AT_ONCE` weights each."""
    groups, reads, makes = shape
    columns = max(1, min(makes, AT_ONCE // reads))
    together = max(1, AT_ONCE // (reads * columns))
    for group in range(0, groups, together):
        for column in range(0, makes, columns):
            yield slice(group, group + together), slice(column, column + columns)
