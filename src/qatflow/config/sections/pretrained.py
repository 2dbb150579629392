"""The sections of the float weights and of a teacher."""

from typing import Literal

from pydantic import Field

from qatflow.config.sections import bounds
from qatflow.config.sections.base import (
    BATCH_SIZE,
    CHECKPOINT_SECONDS,
    CHECKPOINT_STEPS,
    Name,
    Precision,
    Section,
    Sha256,
    Text,
)
from qatflow.config.sections.model import ModelSection


class FloatTrainingSection(Section):
    """Float training of new weights, or fine-tuning."""

    epochs: int = Field(6, ge=1, le=bounds.EPOCHS, description="Number of passes over the training pictures.")
    batch_size: int | None = Field(None, ge=1, le=bounds.BATCH, description=BATCH_SIZE)
    learning_rate: float | None = Field(
        None,
        ge=bounds.LEAST_RATE,
        le=bounds.LARGEST_RATE,
        description="Highest learning rate, reached after the warm-up; then cosine decay to zero. null: for new "
        "weights 0.1 at a batch size of 128 and in proportion for others (without batch-norm always 0.1); with "
        "fine_tune 0.003, or if the last layer is new 0.01, and 0.1 for that layer.",
    )
    warmup_epochs: float = Field(
        0.5, ge=0, le=bounds.EPOCHS, description="Number of epochs in which the learning rate rises from zero."
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Nesterov momentum of SGD.")
    weight_decay: float = Field(
        1.0e-4, ge=0, le=bounds.LARGEST_DECAY, description="Factor of the L2 penalty on the kernels."
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Label smoothing of the cross entropy.")
    precision: Precision = Field(
        "float32",
        description="Precision that layers compute in. Weights, statistics and the loss stay in float32. "
        "mixed_bfloat16 is for GPUs from Ampere on, mixed_float16 (with a scaled loss) for GPUs from Volta on. Both "
        "are slower on a CPU.",
    )
    augmentation: Literal["none", "flip", "shift", "shift_flip", "crop_flip"] = Field(
        "flip",
        description="Random changes of the training pictures. flip: left-right mirroring; shift: a shift by up to a "
        "sixteenth of the side; crop_flip: a random part of the picture (0.08 to 1 of its area, 3/4 to 4/3 times as "
        "wide as high) and mirroring, as in PaddleSlim's ImageNet reader, not with resize pad.",
    )
    checkpoint_steps: int = Field(200, ge=1, le=bounds.STEPS, description=CHECKPOINT_STEPS)
    checkpoint_seconds: float = Field(60.0, ge=0.001, le=bounds.LONGEST_SECONDS, description=CHECKPOINT_SECONDS)


class PretrainedSection(Section):
    """The float weights that quantisation starts from."""

    name: Name = Field("MobileNetV1", description="Name of the weights, which are in pretrain/<name>_pretrained/.")
    source: Literal["train", "model", "keras-applications", "file", "url"] = Field(
        "train",
        description="Where the weights come from. train: they are trained here on the data; model: they come with "
        "model.file or model.function; keras-applications: Keras' official ImageNet weights; file: a local file; url: "
        "a file that is downloaded.",
    )
    path: Text | None = Field(
        None,
        description="For source file: the weights as tf-keras writes them, alone or in a whole model, in a .h5 or "
        ".keras file or a SavedModel folder. Only the arrays are read.",
    )
    url: Text | None = Field(None, description="For source url: address of a .h5 or .keras file. sha256 is required.")
    mirror: Text | None = Field(
        None,
        description="For source keras-applications: address of a copy of Keras' folder. null: "
        "https://storage.googleapis.com/tensorflow/keras-applications.",
    )
    sha256: Sha256 | None = Field(None, description="Expected SHA-256 of the file, checked if it is set.")
    fine_tune: bool = Field(
        False,
        description="Train the weights on the data before quantisation, as set in `train` below. Needed if the data "
        "have other classes than the weights, which then get a new last layer. If the weights have the right classes "
        "and no epoch improves their validation accuracy, they stay as they were.",
    )
    expected_top1: float | None = Field(
        None,
        ge=0,
        le=100,
        description="Published top-1 accuracy of the weights, in percent. If they are far below it on the validation "
        "pictures, the run stops and says which normalisation of the pictures would fit. null: not checked.",
    )
    top1_tolerance: float = Field(
        3.0, ge=0, le=100, description="How far below expected_top1 the weights may be, in percentage points."
    )
    seed: int | None = Field(
        None, ge=0, lt=bounds.SEEDS, description="Seed of the float training. null: the seed of the configuration."
    )
    train: FloatTrainingSection = Field(default_factory=FloatTrainingSection)


class TeacherSection(Section):
    """A larger network that the student learns from."""

    model: ModelSection = Field(default_factory=ModelSection)
    pretrained: PretrainedSection = Field(default_factory=PretrainedSection)
