"""Types and descriptions that the sections share."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from qatflow.config.sections import bounds

Name = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")
]  # also the beginning of a file name, like <name>_float_opt


Text = Annotated[str, Field(pattern=r"^[^{}\x00-\x1f\x7f]+$")]  # no braces: Snakemake reads {x} as a wildcard


Host = Annotated[str, Field(pattern=r"^[^{}\s\x00-\x1f\x7f-][^{}\s\x00-\x1f\x7f]*$")]  # not an option of ssh


SEEDS = bounds.SEEDS
"""Seeds are below this."""


TfdsName = Annotated[str, Field(pattern=r"^tfds:[A-Za-z0-9_./:*-]+$")]


Function = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]


Mean = Annotated[float, Field(ge=-bounds.LARGEST_VALUE, le=bounds.LARGEST_VALUE)]


Deviation = Annotated[float, Field(ge=1 / bounds.LARGEST_VALUE, le=bounds.LARGEST_VALUE)]


Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]


BATCH_SIZE = (
    "Pictures per training step. null: 128, or less if an epoch would then have fewer than eight steps: 16 for up to "
    "224 training pictures, 32, 64, and 128 from 897 on."
)


CHECKPOINT_STEPS = "Number of steps between checkpoints within an epoch."


CHECKPOINT_SECONDS = (
    "Seconds after which the next step also writes a checkpoint, whatever checkpoint_steps is. A killed run loses at "
    "most this much training."
)


STATE_KEYS = ("keep_checkpoints", "checkpoint_steps", "checkpoint_seconds")
"""Keys of a training section that set how its state is saved. They do not change the result."""


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Section(BaseModel):
    """The base of all sections: unknown keys are errors, values are not converted, and sections are immutable."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def resolved(config: BaseModel) -> dict[str, Any]:
    """Return a configuration or a compress YAML, with all defaults, as plain JSON values."""
    return config.model_dump(mode="json", by_alias=True)
