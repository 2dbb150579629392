"""The typed configuration: one class per section, each field with its meaning, unit, default and range.

These classes define the defaults and the types of all keys. `config/schema.json` and `config/config.yaml` are generated
from them. A key that is not written in a YAML file has the default given here.
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
from qatflow.config.sections.inspect import InspectSection
from qatflow.config.sections.model import ModelSection, QuantizedModelSection
from qatflow.config.sections.model_card import ModelCardSection
from qatflow.config.sections.pretrained import PretrainedSection, TeacherSection
from qatflow.config.sections.ptq import PtqSection
from qatflow.config.sections.report import ReportSection


class Config(Section):
    """The whole configuration of a run."""

    experiments: dict[str, Any] = Field(
        {},
        description="Several experiments instead of one: for each name, the values that replace those of the rest of "
        "the configuration. See config/README.md.",
    )
    only: Name | list[Name] | None = Field(None, description="Names of the experiments to run. null: all of them.")
    experiment: Name = Field(
        "mobilenet_v1_quant",
        description="Name of the experiment. Its results are in results/<experiment>/, and the optimised model in "
        "<experiment>_opt/ there.",
    )
    seed: int = Field(1, ge=0, lt=bounds.SEEDS, description="Seed of all random numbers.")
    method: Literal["ptq", "qat", "auto"] = Field(
        "qat",
        description="How the int8 model for the device is made. qat: quantisation-aware training, as set in section "
        "compress; ptq: quantisation after training, as set in section ptq; auto: ptq, and qat only if ptq "
        "loses significantly more than accuracy.max_drop on the validation pictures.",
    )
    data: DataSection = Field(default_factory=DataSection)
    model: ModelSection = Field(default_factory=ModelSection)
    pretrained: PretrainedSection = Field(default_factory=PretrainedSection)
    ptq: PtqSection = Field(default_factory=PtqSection)
    compress: CompressSection = Field(default_factory=CompressSection)
    teacher: TeacherSection | None = Field(
        None,
        description="The teacher network of a DistillationStrategy in the compress YAML. It has sections `model` and "
        "`pretrained` like those of the configuration, and uses the same data. null: the float model is the teacher.",
    )
    quantized_model: QuantizedModelSection = Field(default_factory=QuantizedModelSection)
    accuracy: AccuracySection = Field(default_factory=AccuracySection)
    device: DeviceSection = Field(default_factory=DeviceSection)
    devices: list[DeviceSection] = Field(
        [],
        description="Several devices instead of one. Each has the keys of `device` and a name of its own. Keys that "
        "it does not set, except name, serial, host, port and identity, have the values of `device`.",
    )
    hardware: HardwareSection = Field(default_factory=HardwareSection)
    evaluate: EvaluateSection = Field(default_factory=EvaluateSection)
    inspect: InspectSection = Field(default_factory=InspectSection)
    report: ReportSection = Field(default_factory=ReportSection)
    model_card: ModelCardSection = Field(default_factory=ModelCardSection)

    def float_models(self) -> "list[Config]":
        """Return the configurations of the float models: this one, and one for the teacher if there is one."""
        if self.teacher is None:
            return [self]
        own = {"model": self.teacher.model, "pretrained": self.teacher.pretrained, "teacher": None}
        return [self, self.model_copy(update=own)]

    def seed_of(self, section: Literal["data", "pretrained"]) -> int:
        """Return the seed of a section: its own, or else that of the configuration."""
        own: int | None = getattr(self, section).seed
        return self.seed if own is None else own
