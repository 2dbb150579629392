"""The section of quantisation-aware training."""

from typing import Any, Literal

from pydantic import Field

from qatflow.config.sections import bounds
from qatflow.config.sections.base import BATCH_SIZE, CHECKPOINT_SECONDS, CHECKPOINT_STEPS, Precision, Section, Text


class CompressSection(Section):
    """Quantisation-aware training. The strategies are in the YAML file that `config` names."""

    config: Text = Field(
        "config/compress/quantization.yaml",
        description="The compress YAML: a file in PaddleSlim's grammar with the strategies and the compressor.",
    )
    overrides: dict[Text, Any] = Field(
        {},
        description="Values that replace those of the compress YAML, by key. A key is written with dots from the top "
        "of the YAML, or as its last part alone, like weight_quantize_type: it is then the compressor's key, or that "
        "of every strategy that has it. A key that nothing in the YAML has is an error.",
    )
    export: Literal["end_epoch", "best"] = Field(
        "end_epoch",
        description="Which epoch's model is exported. end_epoch: the one after the YAML's end_epoch; best: the one "
        "with the best validation accuracy up to then.",
    )
    batch_size: int | None = Field(None, ge=1, le=bounds.BATCH, description=BATCH_SIZE)
    learning_rate: float | None = Field(
        None,
        ge=bounds.LEAST_RATE,
        le=bounds.LARGEST_RATE,
        description="Learning rate at the first step, with cosine decay to zero. null: proportional to the batch "
        "size, 0.005 for 128 pictures; with freeze_batch_norm, 3e-6 for 25.",
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Nesterov momentum of SGD.")
    weight_decay: float = Field(
        1.0e-4, ge=0, le=bounds.LARGEST_DECAY, description="Factor of the L2 penalty on the kernels."
    )
    equalize_channels: bool = Field(
        True,
        description="With weight_quantize_type abs_max or lsq: before training, scale the channels of each kernel to "
        "the same range and compensate in the batch-norm behind it. The float model's outputs stay the same, and one "
        "scale then fits all channels of a kernel.",
    )
    freeze_batch_norm: bool = Field(
        False,
        description="In training, use batch-norm's stored statistics unchanged. Good for short fine-tuning.",
    )
    augmentation: Literal["none", "flip", "shift", "shift_flip", "crop_flip"] = Field(
        "flip", description="Random changes of the training pictures, as in pretrained.train.augmentation."
    )
    precision: Precision = Field(
        "float32",
        description="Precision of the epochs before quantisation starts (start_epoch), as in "
        "pretrained.train.precision. Fake-quantised layers and their quantisers always compute in float32.",
    )
    keep_checkpoints: int = Field(
        2, ge=1, le=bounds.CHECKPOINTS, description="Number of checkpoints that are kept in the work folder."
    )
    checkpoint_steps: int = Field(200, ge=1, le=bounds.STEPS, description=CHECKPOINT_STEPS)
    checkpoint_seconds: float = Field(60.0, ge=0.001, le=bounds.LONGEST_SECONDS, description=CHECKPOINT_SECONDS)


RECIPE_KEYS = ("config", "overrides")
"""Keys that name the recipe; jobs get the recipe itself."""
NOT_OF_CANDIDATES = ("export", "equalize_channels")
"""Keys that the training of a search's candidate does not read."""
