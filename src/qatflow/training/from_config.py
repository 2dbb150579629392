"""The settings of a training from the configuration, with the defaults where a section says null.

Float training has the section `pretrained.train`; training for int8, and the candidates of a search, `compress`.
"""

from dataclasses import dataclass

from qatflow.config.sections.compress import CompressSection
from qatflow.config.sections.pretrained import FloatTrainingSection
from qatflow.training.batch import default_batch, few_steps
from qatflow.training.settings import TrainingSettings

FLOAT_SECTION = "pretrained.train"
NEW_RATE = 0.1
"""Peak rate for new weights of a network without batch-norm, whatever the batch: in proportion to a small batch it
learned much less (config/README.md, Few pictures)."""
NEW = NEW_RATE / 128
"""Peak rate per picture of a step, for new weights: proportional to the batch (Goyal et al. 2017, arXiv:1706.02677)."""
TRAINED = 0.003 / 128
"""The same for weights that are trained already, with the right classes (config/README.md, Few pictures)."""
OTHER_CLASSES = 0.01 / 128
"""The same for trained weights with a new last layer, since they have to learn other classes."""
NEW_HEAD = NEW / OTHER_CLASSES
"""Factor of the rate of that new last layer to the rate of the others."""
INT8 = 0.005 / 128
"""Rate per picture of a step, for int8 with batch-norm trained: a twentieth of the peak rate of float training."""
INT8_FROZEN = 3e-6 / 25
"""The same with batch-norm frozen: real ImageNet weights gain at this rate, and are lost at thirty times as much
(benchmarks/imagenet_weights.md)."""
FAR_ABOVE = 10.0
"""Factor to the default rate for int8, above which a configured rate causes a warning."""


@dataclass(frozen=True)
class PlannedTraining:
    """How a training will be done.

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
) -> PlannedTraining:
    """Return how float weights will be trained.

    Args:
        section: pretrained.train.
        pictures: training pictures.
        seed: of order, augmentation and dropout.
        loaded: whether the weights are trained already, so that they are fine-tuned.
        new_head: name of a last layer that has new weights all the same.
        batch_norm: whether the network has batch-norm.
    """
    batch = section.batch_size or default_batch(pictures)
    default = batch * (NEW if not loaded else TRAINED if new_head is None else OTHER_CLASSES)
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
        section=FLOAT_SECTION,
        new_layer=new_head if chosen and loaded else None,
        new_layer_rate=NEW_HEAD if chosen and loaded and new_head else 1.0,
    )
    why_batch = f"{FLOAT_SECTION}.batch_size" if section.batch_size else f"of {pictures} training pictures"
    line = f"batches of {batch} ({why_batch}), learning rate {rate:.3g} ({_why_rate(section, loaded)})"
    if settings.new_layer is not None:
        line += f", {settings.new_layer_rate * rate:.3g} for the new last layer, {new_head}"
    return PlannedTraining(settings, _without_empty(line, few_steps(batch, pictures, FLOAT_SECTION)))


def int8_training(
    section: CompressSection, pictures: int, epochs: int, seed: int, evaluate_every: int
) -> PlannedTraining:
    """Return how a network will be trained with the settings of training for int8.

    Args:
        section: the configuration's compress section.
        pictures: training pictures.
        epochs: passes over them.
        seed: of order, augmentation and dropout.
        evaluate_every: epochs between evaluations on the validation pictures; 0: never.
    """
    batch = section.batch_size or default_batch(pictures)
    rate = section.learning_rate or int8_rate(batch, section.freeze_batch_norm)
    elsewhere = {"config", "overrides", "export", "batch_size", "learning_rate", "equalize_channels"}
    settings = TrainingSettings(
        **section.model_dump(exclude=elsewhere),
        batch_size=batch,
        learning_rate=rate,
        epochs=epochs,
        warmup_epochs=0.0,
        label_smoothing=0.0,
        seed=seed,
        evaluate_every=evaluate_every,
    )
    messages = _without_empty(
        f"batches of {batch}, learning rate {rate:.3g}",
        few_steps(batch, pictures, settings.section),
        high_rate_warning(rate, batch, section.freeze_batch_norm),
    )
    return PlannedTraining(settings, messages)


def int8_rate(batch_size: int, freeze_batch_norm: bool) -> float:
    """Return the default rate for int8, proportional to the batch (Goyal et al. 2017, arXiv:1706.02677, §2.1)."""
    return batch_size * (INT8_FROZEN if freeze_batch_norm else INT8)


def high_rate_warning(rate: float, batch_size: int, freeze_batch_norm: bool) -> str:
    """Return a warning if a rate for int8 is far above the default; else an empty text."""
    default = int8_rate(batch_size, freeze_batch_norm)
    if rate <= FAR_ABOVE * default:
        return ""
    norm = "kept as it is" if freeze_batch_norm else "trained"
    return (
        f"warning: compress.learning_rate {rate:.3g} is {rate / default:.0f} times the default of {default:.2g} "
        f"(batches of {batch_size}, batch-norm {norm}); rates this high have ruined good weights"
    )


def _why_rate(section: FloatTrainingSection, loaded: bool) -> str:
    if section.learning_rate is not None:
        return f"{FLOAT_SECTION}.learning_rate"
    return "the weights are trained already" if loaded else "the weights are new"


def _without_empty(*messages: str) -> tuple[str, ...]:
    return tuple(filter(None, messages))
