"""The section of training for int8."""

from typing import Any, Literal

from pydantic import Field

from qatflow.config.sections import bounds
from qatflow.config.sections.base import BATCH_SIZE, CHECKPOINT_SECONDS, CHECKPOINT_STEPS, Precision, Section, Text


class CompressSection(Section):
    """Training for int8: the page's compress.py arguments. The strategies are in the YAML that `config` names."""

    config: Text = Field(
        "config/compress/quantization.yaml", description="PaddleSlim-style YAML with strategies and compressor."
    )
    overrides: dict[Text, Any] = Field(
        {},
        description="Keys of that YAML with values in place of its own: with dots from its top, or the last part alone "
        "(weight_quantize_type: channel_wise_abs_max), which is that of the compressor or of every strategy that has "
        "it. A key that nothing in the YAML can have is an error.",
    )
    export: Literal["end_epoch", "best"] = Field(
        "end_epoch",
        description="Which epoch's model is exported: the YAML's end_epoch, or of those up to it the one that did best "
        "on the validation pictures.",
    )
    batch_size: int | None = Field(None, ge=1, le=bounds.BATCH, description=BATCH_SIZE)
    learning_rate: float | None = Field(
        None,
        ge=bounds.LEAST_RATE,
        le=bounds.LARGEST_RATE,
        description="Learning rate at the first step; cosine decay to zero. null: in proportion to the batch, 0.005 at "
        "128 pictures; with freeze_batch_norm 3e-6 at 25.",
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Nesterov momentum of SGD.")
    weight_decay: float = Field(1.0e-4, ge=0, le=bounds.LARGEST_DECAY, description="L2 factor on the kernels.")
    equalize_channels: bool = Field(
        True,
        description="With weight_quantize_type abs_max: first bring the channels of each kernel to one range, which "
        "the batch-norm behind it makes up for. The float function stays the same; one scale then fits all channels.",
    )
    freeze_batch_norm: bool = Field(
        False, description="Keep batch-norm's statistics and use them in training; right for short fine-tuning."
    )
    augmentation: Literal["none", "flip", "shift", "shift_flip", "crop_flip"] = Field(
        "flip", description="As in pretrained.train.augmentation."
    )
    precision: Precision = Field(
        "float32",
        description="As in pretrained.train.precision, of the epochs before quantisation begins (start_epoch); "
        "fake-quantised layers and their quantisers are in float32.",
    )
    keep_checkpoints: int = Field(2, ge=1, le=bounds.CHECKPOINTS, description="Checkpoints kept in the work folder.")
    checkpoint_steps: int = Field(200, ge=1, le=bounds.STEPS, description=CHECKPOINT_STEPS)
    checkpoint_seconds: float = Field(60.0, ge=0.001, le=bounds.LONGEST_SECONDS, description=CHECKPOINT_SECONDS)
