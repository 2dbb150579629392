"""The sections of evaluation and of the accuracy gate."""

from typing import Literal

from pydantic import Field

from qatflow.config.sections import bounds
from qatflow.config.sections.base import Section


class EvaluateSection(Section):
    """Figures on the host."""

    threads: int = Field(1, ge=1, le=64, description="Threads of LiteRT when latency is measured.")
    repeats: int = Field(100, ge=1, le=bounds.RUNS, description="Timed runs of one picture.")


class AccuracySection(Section):
    """What int8 may cost."""

    max_drop: float | None = Field(
        1.0,
        ge=0,
        le=100,
        description="Largest loss of top-1 against float, in percentage points on the validation pictures, with which "
        "the model may go to the device, and with which method auto does without training. The gate closes where the "
        "loss is surely above it: where the lower end of its 95 % interval is. null: any.",
    )
    worse_than_ptq: Literal["refuse", "allow"] = Field(
        "refuse",
        description="Whether a trained model may go to the device that is surely worse than the one quantised after "
        "training: by the rule of max_drop, with the limit 0.",
    )
    undecided: Literal["pass", "refuse"] = Field(
        "pass",
        description="Whether the model may go to the device where the validation pictures are too few to decide: where "
        "the limit lies within the 95 % interval of the loss. pass: yes, and the gate says how many more pictures "
        "would decide, as a warning where the measured loss is above the limit. With method auto: pass ships "
        "quantisation after training, refuse trains.",
    )
