"""The settings of the training loop that the configuration's compress section says."""

from qatflow.compress.learning_rate import default_rate
from qatflow.config.sections.compress import CompressSection
from qatflow.training.batch import default_batch
from qatflow.training.settings import TrainingSettings


def training_settings(
    section: CompressSection, pictures: int, epochs: int, seed: int, evaluate_every: int
) -> TrainingSettings:
    """Return the settings.

    Args:
        section: the configuration's compress section.
        pictures: of training.
        epochs: passes over the training pictures.
        seed: of order, augmentation and dropout.
        evaluate_every: epochs between evaluations on the validation pictures; 0: never.
    """
    batch = section.batch_size or default_batch(pictures)
    elsewhere = {"config", "overrides", "export", "batch_size", "learning_rate", "equalize_channels"}
    return TrainingSettings(
        **section.model_dump(exclude=elsewhere),
        batch_size=batch,
        learning_rate=section.learning_rate or default_rate(batch, section.freeze_batch_norm),
        epochs=epochs,
        warmup_epochs=0.0,
        label_smoothing=0.0,
        seed=seed,
        evaluate_every=evaluate_every,
    )
