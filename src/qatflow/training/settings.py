"""The settings of a training run."""

from dataclasses import dataclass

from qatflow.config.sections.base import Precision
from qatflow.data.augment import Augmentation


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of the loop; `qatflow.config.sections` describes each in full.

    Attributes:
        epochs: passes over the training pictures.
        batch_size: pictures per step.
        learning_rate: at its peak.
        warmup_epochs: epochs over which the rate rises from zero.
        momentum: of Nesterov's accelerated SGD.
        weight_decay: L2 factor; weight_decay · kernel is added to the gradient of a kernel.
        label_smoothing: of the cross entropy.
        augmentation: name of the data pipeline's augmentation.
        freeze_batch_norm: keep batch-norm as it is.
        seed: of order, augmentation and dropout.
        section: section of the configuration that has the settings, for messages.
        precision: what layers compute in before they are quantised.
        evaluate_every: epochs between evaluations on the validation pictures; 0: never.
        checkpoint_steps: steps between checkpoints within an epoch.
        checkpoint_seconds: seconds after which a checkpoint is due, whatever the steps.
        keep_checkpoints: number of checkpoints kept.
        new_layer: name of a layer with new weights behind trained ones; None: there is none.
        new_layer_rate: factor of its learning rate to that of the others.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    warmup_epochs: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    augmentation: Augmentation
    freeze_batch_norm: bool
    seed: int
    section: str = "compress"
    precision: Precision = "float32"
    evaluate_every: int = 1
    checkpoint_steps: int = 200
    checkpoint_seconds: float = 60.0
    keep_checkpoints: int = 2
    new_layer: str | None = None
    new_layer_rate: float = 1.0

    @property
    def shaping(self) -> dict[str, object]:
        """What a saved state must agree with to be continued: all settings but those of duration and frequency."""
        free = {"section", "epochs", "evaluate_every", "checkpoint_steps", "checkpoint_seconds", "keep_checkpoints"}
        return {key: value for key, value in vars(self).items() if key not in free}
