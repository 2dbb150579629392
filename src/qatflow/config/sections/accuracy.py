"""The sections of the evaluation on the host and of the accuracy gate."""

from typing import Literal

from pydantic import Field

from qatflow.config.sections import bounds
from qatflow.config.sections.base import Section


class EvaluateSection(Section):
    """Evaluation on the host."""

    threads: int = Field(1, ge=1, le=64, description="Number of LiteRT threads when latency is measured.")
    repeats: int = Field(100, ge=1, le=bounds.RUNS, description="Number of timed runs of one picture.")


class AccuracySection(Section):
    """How much accuracy int8 may lose."""

    max_drop: float | None = Field(
        1.0,
        ge=0,
        le=100,
        description="Largest allowed loss of top-1 accuracy against float, in percentage points on the validation "
        "pictures. The accuracy gate stops the model before the device if the loss is significantly larger: if the "
        "lower end of its 95 % confidence interval is above max_drop. With method auto, the same rule decides whether "
        "to train. For data.source unlabeled: the share of pictures, in percent, on which int8 may answer differently "
        "from float. null: no limit.",
    )
    worse_than_ptq: Literal["refuse", "allow"] = Field(
        "refuse",
        description="What happens if the trained model is significantly worse than the one quantised after training, "
        "by the rule of max_drop with a limit of 0. refuse: it does not go to the device; allow: it does.",
    )
    undecided: Literal["pass", "refuse"] = Field(
        "pass",
        description="What happens if there are too few validation pictures to decide: if the limit lies within the 95 "
        "% confidence interval of the loss. pass: the model goes to the device, and the gate says how many more "
        "pictures would decide, as a warning if the measured loss is above the limit; refuse: it does not. With "
        "method auto, pass takes the model quantised after training, and refuse trains.",
    )
