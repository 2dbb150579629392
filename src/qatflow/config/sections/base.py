"""Types that the sections share."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from qatflow.config.sections import bounds

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")]  # a file name with _float_opt behind it


Text = Annotated[str, Field(pattern=r"^[^{}\x00-\x1f\x7f]+$")]  # Snakemake reads {x} as a wildcard


SEEDS = bounds.SEEDS
"""Seeds are below this."""


TfdsName = Annotated[str, Field(pattern=r"^tfds:[A-Za-z0-9_./:*-]+$")]


Function = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]


Mean = Annotated[float, Field(ge=-bounds.PIXELS, le=bounds.PIXELS)]


Deviation = Annotated[float, Field(ge=bounds.LEAST_STD, le=bounds.LARGEST_STD)]


Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]


BATCH_SIZE = (
    "Pictures a step. null: 128, or where an epoch would have fewer than eight steps 64, 32 or 16: 16 for up to 224 "
    "training pictures, 128 from 897 on."
)


CHECKPOINT_STEPS = "Steps between checkpoints within an epoch."


CHECKPOINT_SECONDS = (
    "Seconds after which the next step ends with a checkpoint, whatever checkpoint_steps says: a kill costs no more "
    "training than this."
)


STATE_KEYS = ("keep_checkpoints", "checkpoint_steps", "checkpoint_seconds")
"""Keys of a training that say how its state is kept, and change no result."""


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Section(BaseModel):
    """What all sections share: unknown keys are errors, values are not coerced, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def resolved(config: BaseModel) -> dict[str, Any]:
    """Return a configuration, or a compress YAML, with all defaults as plain JSON values."""
    return config.model_dump(mode="json", by_alias=True)
