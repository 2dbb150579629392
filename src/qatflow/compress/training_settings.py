"""The settings of the training loop that the configuration's compress section says."""

from qatflow.compress.learning_rate import default_rate
from qatflow.config.model import CompressSection
from qatflow.training.settings import TrainingSettings


def training_settings(section: CompressSection, epochs: int, seed: int, evaluate_every: int) -> TrainingSettings:
    """Return the settings.

    Args:
        section: the configuration's compress section.
        epochs: passes over the training pictures.
        seed: of order, augmentation and dropout.
        evaluate_every: epochs between evaluations on the validation pictures; 0: never.
    """
    return TrainingSettings(
        **section.model_dump(exclude={"config", "overrides", "export", "learning_rate", "equalize_channels"}),
        learning_rate=section.learning_rate or default_rate(section.batch_size, section.freeze_batch_norm),
        epochs=epochs,
        warmup_epochs=0.0,
        label_smoothing=0.0,
        seed=seed,
        evaluate_every=evaluate_every,
    )
