"""The typed configuration: one class a section, each field with its meaning, unit, default and range.

This module is the source of the defaults, of `config/schema.json` (for editors and the workflow catalog) and of the
checks in `qatflow.config.load`. A value that is not written in a YAML file has the default given here.
"""

from typing import Any, Literal

from pydantic import Field

from qatflow.config.sections import bounds
from qatflow.config.sections.accuracy import AccuracySection, EvaluateSection
from qatflow.config.sections.base import Name, Section
from qatflow.config.sections.compress import CompressSection
from qatflow.config.sections.data import DataSection
from qatflow.config.sections.device import DeviceSection
from qatflow.config.sections.hardware import HardwareSection
from qatflow.config.sections.model import ModelSection, QuantizedModelSection
from qatflow.config.sections.pretrained import PretrainedSection, TeacherSection


class Config(Section):
    """The whole configuration of a run."""

    experiments: dict[str, Any] = Field(
        {},
        description="Several experiments instead of one: by name, what each has in place of the rest of this "
        "configuration. See config/README.md.",
    )
    only: Name | list[Name] | None = Field(None, description="Of several experiments, those that are run; null: all.")
    experiment: Name = Field(
        "mobilenet_v1_quant",
        description="Results are kept in results/<experiment>/; the optimised model in <experiment>_opt/ there.",
    )
    seed: int = Field(1, ge=0, lt=bounds.SEEDS, description="Seed of everything random.")
    method: Literal["ptq", "qat", "auto"] = Field(
        "qat",
        description="What makes the int8 model that goes to the device. qat: training for int8, as the compress "
        "section says; ptq: quantisation after training, by ai-edge-quantizer; auto: ptq, and training only where ptq "
        "surely loses more than accuracy.max_drop on the validation pictures.",
    )
    data: DataSection = Field(default_factory=DataSection)
    model: ModelSection = Field(default_factory=ModelSection)
    pretrained: PretrainedSection = Field(default_factory=PretrainedSection)
    compress: CompressSection = Field(default_factory=CompressSection)
    teacher: TeacherSection | None = Field(
        None,
        description="The network that a DistillationStrategy of the compress YAML follows: sections `model` and "
        "`pretrained`, as those of the configuration, on the same data. null: the float model itself.",
    )
    quantized_model: QuantizedModelSection = Field(default_factory=QuantizedModelSection)
    accuracy: AccuracySection = Field(default_factory=AccuracySection)
    device: DeviceSection = Field(default_factory=DeviceSection)
    devices: list[DeviceSection] = Field(
        [],
        description="Several devices instead of one, each with the keys of `device` and a name of its own; what one "
        "does not say is as `device` says, but for name and serial.",
    )
    hardware: HardwareSection = Field(default_factory=HardwareSection)
    evaluate: EvaluateSection = Field(default_factory=EvaluateSection)

    def float_models(self) -> "list[Config]":
        """Return the configurations of the float models that are made: this one, and that of the teacher."""
        if self.teacher is None:
            return [self]
        own = {"model": self.teacher.model, "pretrained": self.teacher.pretrained, "teacher": None}
        return [self, self.model_copy(update=own)]

    def seed_of(self, section: Literal["data", "pretrained"]) -> int:
        """Return the seed of a section: its own, or that of the configuration."""
        own: int | None = getattr(self, section).seed
        return self.seed if own is None else own
