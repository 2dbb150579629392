"""The sections of the float weights, and of a teacher."""

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
    """Float training, where the pretrained weights are made here."""

    epochs: int = Field(6, ge=1, le=bounds.EPOCHS, description="Passes over the training pictures.")
    batch_size: int | None = Field(None, ge=1, le=bounds.BATCH, description=BATCH_SIZE)
    learning_rate: float | None = Field(
        None,
        ge=bounds.LEAST_RATE,
        le=bounds.LARGEST_RATE,
        description="Peak learning rate; warm-up, then cosine decay to zero. null: in proportion to the batch, 0.1 at "
        "128 pictures for new weights (without batch-norm whatever the batch); with fine_tune 0.003, or where the last "
        "layer is new 0.01, and 0.1 for that layer.",
    )
    warmup_epochs: float = Field(
        0.5, ge=0, le=bounds.EPOCHS, description="Epochs over which the learning rate rises from zero."
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Nesterov momentum of SGD.")
    weight_decay: float = Field(1.0e-4, ge=0, le=bounds.LARGEST_DECAY, description="L2 factor on the kernels.")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Label smoothing of the cross entropy.")
    precision: Precision = Field(
        "float32",
        description="What layers compute in; weights, statistics and the loss stay in float32. mixed_bfloat16: on GPUs "
        "from Ampere on; mixed_float16: on those from Volta on, with a scaled loss. Slower on a CPU.",
    )
    augmentation: Literal["none", "flip", "shift", "shift_flip", "crop_flip"] = Field(
        "flip",
        description="flip: random left-right mirror; shift: random shift by up to a sixteenth of the side; crop_flip: "
        "a random part of the picture (0.08 to 1 of its area, 3/4 to 4/3 as wide as high), and mirror, as "
        "PaddleSlim's ImageNet reader; not with resize pad.",
    )
    checkpoint_steps: int = Field(200, ge=1, le=bounds.STEPS, description=CHECKPOINT_STEPS)
    checkpoint_seconds: float = Field(60.0, ge=0.001, le=bounds.LONGEST_SECONDS, description=CHECKPOINT_SECONDS)


class PretrainedSection(Section):
    """The float weights that compression starts from."""

    name: Name = Field("MobileNetV1", description="The weights are kept in pretrain/<name>_pretrained/.")
    source: Literal["train", "model", "keras-applications", "file", "url"] = Field(
        "train",
        description="train: trained here on the data; model: those that model.file or model.function has; "
        "keras-applications: the official ImageNet weights; file: a file here; url: a file that is downloaded.",
    )
    path: Text | None = Field(
        None,
        description="Weights for source file, as tf-keras writes them, alone or in a whole model: .h5, .keras or a "
        "SavedModel folder. Arrays are all that is read.",
    )
    url: Text | None = Field(None, description="Address of an .h5 or .keras file, for source url. sha256 is required.")
    mirror: Text | None = Field(
        None,
        description="keras-applications: address of a copy of Keras' folder, used in place of "
        "https://storage.googleapis.com/tensorflow/keras-applications.",
    )
    sha256: Sha256 | None = Field(None, description="Expected SHA-256 of the file; checked when given.")
    fine_tune: bool = Field(
        False,
        description="Train the weights on the data, as `train` below says, before they are compressed. Needed where "
        "the data have other classes than the weights, which then get a new last layer. Where no epoch does better on "
        "the validation pictures than the weights as they came, and these have the right classes, they are kept.",
    )
    expected_top1: float | None = Field(
        None,
        ge=0,
        le=100,
        description="Published top-1 of the weights, in percent. The run stops where they are far below it on the "
        "validation pictures, and says which normalisation of the pictures would fit. null: not checked.",
    )
    top1_tolerance: float = Field(
        3.0, ge=0, le=100, description="How far below expected_top1 the weights may be, in percentage points."
    )
    seed: int | None = Field(
        None, ge=0, lt=bounds.SEEDS, description="Seed of the float training; null: that of the configuration."
    )
    train: FloatTrainingSection = Field(default_factory=FloatTrainingSection)


class TeacherSection(Section):
    """A larger network for a student to follow."""

    model: ModelSection = Field(default_factory=ModelSection)
    pretrained: PretrainedSection = Field(default_factory=PretrainedSection)
