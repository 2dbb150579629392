"""The typed form of a compress YAML: PaddleSlim's grammar with the semantics that the Paddle-Lite page documents.

Defaults are PaddleSlim's (`quantization_strategy.py`, 1.x), except `activation_quantize_type`: PaddleSlim's default
`abs_max` cannot be deployed, so ours is the page's `moving_average_abs_max`.
"""

from typing import Annotated, Literal

from pydantic import Field

from qatflow.config.recipe.distillation import DistillationStrategySection, DistillerSection
from qatflow.config.recipe.pruning import (
    PruneStrategySection,
    SensitivePruneStrategySection,
    StructurePrunerSection,
    UniformPruneStrategySection,
)
from qatflow.config.recipe.search import (
    AutoPruneStrategySection,
    LightNASStrategySection,
    SAControllerSection,
    SearchStrategySection,
)
from qatflow.config.recipe.sparsity import ClusteringStrategySection, SparsityStrategySection
from qatflow.config.sections import bounds
from qatflow.config.sections.base import Section, Text

ActivationType = Literal["moving_average_abs_max", "range_abs_max", "abs_max", "moving_average_min_max"]


class QuantizationStrategySection(Section):
    """One strategy of class QuantizationStrategy."""

    class_: Literal["QuantizationStrategy"] = Field(alias="class", description="The strategy's class.")
    start_epoch: int = Field(
        0, ge=0, le=bounds.EPOCHS, description="First epoch with fake quantisation, counted from 0."
    )
    end_epoch: int = Field(
        0, ge=0, le=bounds.EPOCHS, description="The state at the end of this epoch is exported; training goes on."
    )
    float_model_save_path: Text | None = Field(None, description="Integer-valued float32 weights. None: not written.")
    int8_model_save_path: Text | None = Field(None, description="int8 weights. None: not written.")
    mobile_model_save_path: Text | None = Field(None, description="A .tflite for older run-times. None: not written.")
    weight_bits: int = Field(8, ge=2, le=16, description="Bits of a weight: integers −(2^(b−1)−1) … 2^(b−1)−1.")
    activation_bits: int = Field(8, ge=2, le=16, description="Bits of an activation. Biases are never quantised.")
    weight_quantize_type: Literal["abs_max", "channel_wise_abs_max"] = Field(
        "abs_max", description="One scale a tensor, or one an output channel (dense layers keep one a tensor)."
    )
    activation_quantize_type: ActivationType = Field(
        "moving_average_abs_max",
        description="How the scale of an activation is found in training. abs_max: anew for each input; it trains and "
        "is exported to float/, but runs on no device. moving_average_min_max: asymmetric, with a zero point; beyond "
        "PaddleSlim.",
    )
    quantizable_op_type: list[Literal["conv2d", "depthwise_conv2d", "mul"]] = Field(
        ["conv2d", "depthwise_conv2d", "mul"],
        min_length=1,
        description="Kinds of layers that are quantised; mul: dense.",
    )
    skip_pattern: list[Text] = Field(
        ["skip_quant"], description="Layers whose name contains one of these texts stay in float, on the device too."
    )
    save_in_nodes: list[Text] | None = Field(None, description="Names of the exported model's inputs.")
    save_out_nodes: list[Text] | None = Field(None, description="Names of the exported model's outputs.")


def undeployable(strategy: QuantizationStrategySection) -> dict[str, str]:
    """Return why no int8 kernel executes a setting, by its key; empty if the strategy can run on a device.

    Such a strategy can still be trained and exported to float/.
    """
    reasons = {}
    if strategy.activation_quantize_type == "abs_max":
        reasons["activation_quantize_type"] = (
            "'abs_max' finds the scale of the activations anew for each picture, which costs time on the device, and "
            "no int8 kernel there does it; use 'moving_average_abs_max' or 'range_abs_max'"
        )
    for key, bits in (("weight_bits", strategy.weight_bits), ("activation_bits", strategy.activation_bits)):
        if bits != 8:
            reasons[key] = f"the device's kernels are int8, there are none for {bits} bits"
    return reasons


class CompressorSection(Section):
    """The training loop."""

    epoch: int = Field(ge=1, le=bounds.EPOCHS, description="Epochs in all.")
    strategies: list[Text] = Field([], description="Names of the strategies, in the order in which they are called.")
    checkpoint_path: Text | None = Field(None, description="Folder of the checkpoints, within the experiment's folder.")
    init_model: Text | None = Field(
        None,
        description="Folder with a graph that training begins with, in place of the float weights, as seen from where "
        "Snakemake is started: results/<experiment>/trained of a model that was pruned there, whose integers become "
        "real values again, or a float model's. The float weights stay what int8 is compared with, and the teacher.",
    )
    eval_epoch: int = Field(1, ge=0, le=bounds.EPOCHS, description="Evaluate after every so many epochs; 0: never.")


StrategySection = Annotated[
    DistillationStrategySection
    | UniformPruneStrategySection
    | SensitivePruneStrategySection
    | AutoPruneStrategySection
    | LightNASStrategySection
    | SparsityStrategySection
    | ClusteringStrategySection
    | QuantizationStrategySection,
    Field(discriminator="class_"),
]


STRATEGIES: dict[str, type[Section]] = {
    "DistillationStrategy": DistillationStrategySection,
    "UniformPruneStrategy": UniformPruneStrategySection,
    "SensitivePruneStrategy": SensitivePruneStrategySection,
    "AutoPruneStrategy": AutoPruneStrategySection,
    "LightNASStrategy": LightNASStrategySection,
    "SparsityStrategy": SparsityStrategySection,
    "ClusteringStrategy": ClusteringStrategySection,
    "QuantizationStrategy": QuantizationStrategySection,
}
"""The sections of the strategies, by class."""


def strategy_keys() -> dict[str, list[str]]:
    """Return the keys of a strategy by its class."""
    return {
        name: [one.alias or key for key, one in section.model_fields.items()] for name, section in STRATEGIES.items()
    }


class CompressConfig(Section):
    """A whole compress YAML."""

    version: Annotated[float, Field(ge=0, le=100)] | Annotated[int, Field(ge=0, le=100)] = Field(
        1.0, description="Version of the grammar; 1.0."
    )
    include: list[Text] = Field([], description="Other YAML files, read first; paths relative to this file.")
    pruners: dict[str, StructurePrunerSection] = Field({}, description="What pruning strategies use, by name.")
    controllers: dict[str, SAControllerSection] = Field({}, description="What strategies search by, by name.")
    distillers: dict[str, DistillerSection] = Field({}, description="What DistillationStrategy uses, by name.")
    strategies: dict[str, StrategySection] = Field({}, description="The strategies by name.")
    compressor: CompressorSection

    def quantizations(self) -> dict[str, QuantizationStrategySection]:
        """Return the strategies that quantise, by name."""
        return {
            name: strategy
            for name, strategy in self.strategies.items()
            if isinstance(strategy, QuantizationStrategySection)
        }

    def thins(self) -> bool:
        """Say whether layers may have other shapes than those of the float model."""
        prunes = any(isinstance(strategy, PruneStrategySection) for strategy in self.strategies.values())
        return prunes or self.compressor.init_model is not None or self.light_nas is not None

    def distils(self) -> bool:
        """Return whether a strategy follows a teacher."""
        return any(isinstance(strategy, DistillationStrategySection) for strategy in self.strategies.values())

    @property
    def search(self) -> SearchStrategySection | None:
        """The strategy that searches; None where there is none."""
        found = (one for one in self.strategies.values() if isinstance(one, SearchStrategySection))
        return next(found, None)

    @property
    def light_nas(self) -> LightNASStrategySection | None:
        """The strategy that searches for another network to train; None where there is none."""
        return self.search if isinstance(self.search, LightNASStrategySection) else None

    @property
    def clustering(self) -> ClusteringStrategySection | None:
        """The strategy that clusters kernels; None where there is none."""
        found = (one for one in self.strategies.values() if isinstance(one, ClusteringStrategySection))
        return next(found, None)

    @property
    def quantization(self) -> QuantizationStrategySection:
        """The last strategy, which a checked YAML has, and which says what is exported."""
        return self.quantizations()[self.compressor.strategies[-1]]
