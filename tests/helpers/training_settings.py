"""Settings of a short training."""

from qatflow.training.settings import TrainingSettings

SETTINGS = TrainingSettings(
    epochs=3, batch_size=128, learning_rate=0.05, warmup_epochs=0.0, momentum=0.9, weight_decay=0.0,
    label_smoothing=0.0, augmentation="none", freeze_batch_norm=False, seed=1,
)  # fmt: skip
