"""The settings of float training: those of the section `pretrained.train`, with defaults where it says null."""

from dataclasses import dataclass

from qatflow.config.sections.pretrained import FloatTrainingSection
from qatflow.training.batch import default_batch, few_steps
from qatflow.training.settings import TrainingSettings

SECTION = "pretrained.train"
NEW_RATE = 0.1
"""Peak rate for new weights of a network without batch-norm, whatever the batch: in proportion to a small batch it
learned much less (config/README.md, Few pictures)."""
NEW = NEW_RATE / 128
"""Peak rate a picture of a step, for new weights: in proportion to the batch (Goyal et al. 2017, arXiv:1706.02677)."""
TRAINED = 0.003 / 128
"""The same for weights that are trained already, with the right classes (config/README.md, Few pictures)."""
OTHER = 0.01 / 128
"""The same for trained weights whose last layer is new, since they have to learn other classes."""
HEAD = NEW / OTHER
"""How many times as fast that new last layer learns."""


@dataclass(frozen=True)
class FloatTraining:
    """How float training is done.

    Attributes:
        settings: of the loop.
        messages: lines to print before it: which batch and rate were chosen, and why; warnings.
    """

    settings: TrainingSettings
    messages: tuple[str, ...]


def float_training(
    section: FloatTrainingSection,
    pictures: int,
    seed: int,
    *,
    loaded: bool,
    new_head: str | None,
    batch_norm: bool = True,
) -> FloatTraining:
    """Return how it is done.

    Args:
        section: pretrained.train.
        pictures: of training.
        seed: of order, augmentation and dropout.
        loaded: whether the weights are trained already, so that they are fine-tuned.
        new_head: name of a last layer that has new weights all the same.
        batch_norm: whether the network has batch-norm.
    """
    batch = section.batch_size or default_batch(pictures)
    default = batch * (NEW if not loaded else TRAINED if new_head is None else OTHER)
    if not loaded and not batch_norm:
        default = NEW_RATE
    rate = section.learning_rate or default
    chosen = section.learning_rate is None
    settings = TrainingSettings(
        **section.model_dump(exclude={"batch_size", "learning_rate"}),
        batch_size=batch,
        learning_rate=rate,
        freeze_batch_norm=False,
        seed=seed,
        section=SECTION,
        new_layer=new_head if chosen and loaded else None,
        new_layer_rate=HEAD if chosen and loaded and new_head else 1.0,
    )
    messages = [
        f"batches of {batch}{_why_batch(section, pictures)}, learning rate {rate:.3g}{_why_rate(section, loaded)}"
    ]
    if settings.new_layer is not None:
        messages[0] += f", {settings.new_layer_rate * rate:.3g} for the new last layer, {new_head}"
    return FloatTraining(settings, tuple(filter(None, [*messages, few_steps(batch, pictures, SECTION)])))


def _why_batch(section: FloatTrainingSection, pictures: int) -> str:
    return f" ({SECTION}.batch_size)" if section.batch_size else f" (of {pictures} training pictures)"


def _why_rate(section: FloatTrainingSection, loaded: bool) -> str:
    if section.learning_rate is not None:
        return f" ({SECTION}.learning_rate)"
    return f" ({'the weights are trained already' if loaded else 'the weights are new'})"
