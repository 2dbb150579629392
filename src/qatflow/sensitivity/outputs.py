"""What a classifier's outputs say: where its logits are, and how far those of two models are from each other."""

from dataclasses import dataclass

import numpy as np

from qatflow.tflite.read import operators


@dataclass(frozen=True)
class End:
    """The end of a .tflite classifier.

    Attributes:
        logits: name of the tensor with its logits.
        independent: whether each is the logit of a probability of its own (sigmoids); else a softmax follows.
    """

    logits: str
    independent: bool


def end_of(content: bytes) -> End:
    """Return where the logits of a float classifier are; a model without softmax or sigmoids ends in them."""
    listed = operators(content)
    made_by = {tensor.name: operator for operator in listed for tensor in operator.outputs}
    last = listed[-1]
    while last.name == "RESHAPE" and last.source is not None and last.source.name in made_by:
        last = made_by[last.source.name]
    if last.name in ("SOFTMAX", "LOGISTIC") and last.source is not None:
        return End(last.source.name, last.name == "LOGISTIC")
    return End(listed[-1].outputs[0].name, False)


def divergence(reference: np.ndarray, other: np.ndarray, *, independent: bool) -> float:
    """Return the Kullback-Leibler divergence KL(reference ‖ other) of two vectors of logits, in nats.

    Args:
        reference: logits.
        other: of the same shape.
        independent: each is the logit of a Bernoulli variable of its own, whose divergences are added up; else all
            are the logits of one softmax.
    """
    real, changed = (values.astype(np.float64).ravel() for values in (reference, other))
    if independent:
        real, changed = (np.stack([values, np.zeros_like(values)]) for values in (real, changed))
    else:
        real, changed = real[:, None], changed[:, None]
    log_p, log_q = (values - np.logaddexp.reduce(values, axis=0) for values in (real, changed))
    return float(max((np.exp(log_p) * (log_p - log_q)).sum(), 0.0))
