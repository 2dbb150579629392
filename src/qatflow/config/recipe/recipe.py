"""The typed compress YAML, the recipe of a training: PaddleSlim's grammar, with the meaning documented by Paddle-Lite.

Defaults are PaddleSlim's (`quantization_strategy.py`, 1.x), except `activation_quantize_type`: PaddleSlim's default
`abs_max` cannot be deployed. The default here is `moving_average_abs_max`, as in Paddle-Lite's documentation.
"""

from typing import Annotated, Literal

from pydantic import Field

from qatflow.config.recipe.auto_bits import AutoBitsSection
from qatflow.config.recipe.calibration import CalibrationMethod
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
from qatflow.config.recipe.widths import ACTIVATIONS, DEVICE, INT4, WIDE, Widths, every_width
from qatflow.config.sections import bounds
from qatflow.config.sections.base import Section, Text

ActivationType = Literal["moving_average_abs_max", "range_abs_max", "abs_max", "moving_average_min_max", "lsq", "pact"]
WeightType = Literal["abs_max", "channel_wise_abs_max", "lsq", "channel_wise_lsq"]
LEARNED: frozenset[WeightType] = frozenset({"lsq", "channel_wise_lsq"})
"""The types whose scales are trained."""
FirstScale = Literal["mean", "mse"]
"""How the scales that are trained start."""
BY_CHANNEL: frozenset[WeightType] = frozenset({"channel_wise_abs_max", "channel_wise_lsq"})
"""The types with a scale for each output channel, but for dense layers."""


class QuantizationStrategySection(Section):
    """A strategy of class QuantizationStrategy: training with fake quantisation."""

    class_: Literal["QuantizationStrategy"] = Field(alias="class", description="The strategy's class.")
    start_epoch: int = Field(
        0, ge=0, le=bounds.EPOCHS, description="First epoch with fake quantisation, counted from 0."
    )
    end_epoch: int = Field(
        0,
        ge=0,
        le=bounds.EPOCHS,
        description="The model after this epoch is exported. Training continues to the last epoch.",
    )
    float_model_save_path: Text | None = Field(
        None, description="Folder for the model with integers as float32 weights. null: not written."
    )
    int8_model_save_path: Text | None = Field(
        None, description="Folder for the model with int8 weights. null: not written."
    )
    mobile_model_save_path: Text | None = Field(
        None, description="Folder for a .tflite for older runtimes. null: not written."
    )
    weight_bits: Widths = Field(
        8,
        description="Bits b of a weight: integers from −(2^(b−1)−1) to 2^(b−1)−1, stored as int8 up to 8 bits, times a "
        "power of two where the bias needs it. A number for all layers, or a mapping of regular expressions for the "
        "beginning of the names of the kernels (`<layer>/kernel`) to numbers, with `default` (8) for all others. With "
        "a number or default below 8, the first and the last layer have 8 bits, unless an expression matches them.",
    )
    int4_storage: bool = Field(
        False,
        description="Weights of at most 4 bits are stored as INT4 tensors in the device's model, two a byte, for "
        "runtimes that use them well. LiteRT unpacks them at each call: convolutions take several times as long as "
        "with the same integers stored as int8, and host and device may differ by a few steps. Biases have "
        "coarser steps. float/, int8/ and mobile/ stay as they are.",
    )
    auto_bits: AutoBitsSection | None = Field(
        None,
        description="Chooses the width of each layer's weights before training, in the place of weight_bits, by what "
        "fewer bits cost each layer. null: the widths are those of weight_bits.",
    )
    activation_bits: Widths = Field(
        8,
        description="Bits of an activation; the device has kernels for 8 and 16, those for 16 many times slower. A "
        "number for all layers, or a mapping of regular expressions for the beginning of the layers' names to numbers, "
        "with `default` (8) for all others. Biases are never quantised.",
    )
    weight_quantize_type: WeightType = Field(
        "abs_max",
        description="abs_max: one scale per tensor; channel_wise_abs_max: one scale per output channel, except in "
        "dense layers, which have one per tensor. lsq and channel_wise_lsq: the same, with scales that are trained "
        "(arXiv:1902.08153); not in PaddleSlim.",
    )
    activation_quantize_type: ActivationType = Field(
        "moving_average_abs_max",
        description="How the scale of an activation is computed in training. abs_max: from each input alone; this can "
        "be trained and exported to float/, but runs on no device. Not in PaddleSlim: moving_average_min_max: "
        "asymmetric, with a zero point; lsq: the scale is trained (arXiv:1902.08153); pact: the value at which the "
        "activation is clipped is trained (arXiv:1805.06085).",
    )
    first_weight_scale: FirstScale = Field(
        "mean",
        description="Where the trained scales of weight_quantize_type lsq and channel_wise_lsq start. mean: at "
        "2 · mean|w| / √Qp, the paper's formula, Qp being the largest integer; mse: at what gives the least squared "
        "error, which keeps the integers of a quantised init_model.",
    )
    clip_decay: float = Field(
        1e-4,
        ge=0,
        le=bounds.LARGEST_DECAY,
        description="L2 factor of the trained clips of activation_quantize_type pact: clip_decay times a clip is added "
        "to its gradient. The weights have compress.weight_decay; scales of lsq have none.",
    )
    full_range: bool = Field(
        True,
        description="Tensors that cannot be negative, such as those behind ReLU, use all integers from the lowest: "
        "scale max|x| / 255 and zero point −128 at 8 bits, up to which this holds. false: PaddleSlim's grid, with "
        "scale max|x| / 127 and zero point 0, which leaves half of the integers unused.",
    )
    calibration_method: CalibrationMethod = Field(
        "max",
        description="How the range of an activation is found from the calibration pictures, as the start of training "
        "and for quantisation after training. max: all values, in training by the statistic of "
        "activation_quantize_type (lsq: its formula for the first scale); percentile: 99.99 % of them; mse: what gives "
        "the least squared error; entropy: what loses the least information (TensorRT's scheme). At 8 bits mse was as "
        "good as max, which looks at the pictures once and has PaddleSlim's scales.",
    )
    quantizable_op_type: list[Literal["conv2d", "depthwise_conv2d", "mul"]] = Field(
        ["conv2d", "depthwise_conv2d", "mul"],
        min_length=1,
        description="Types of layers that are quantised. mul: dense layers.",
    )
    skip_pattern: list[Text] = Field(
        ["skip_quant"],
        description="Layers whose name contains one of these texts stay in float, also on the device. '=name' "
        "means only the layer of that name.",
    )
    save_in_nodes: list[Text] | None = Field(
        None, description="Names of the exported model's inputs. null: the model's own."
    )
    save_out_nodes: list[Text] | None = Field(
        None, description="Names of the exported model's outputs. null: the model's own."
    )


AFTER_TRAINING = (
    *("weight_bits", "activation_bits", "weight_quantize_type", "activation_quantize_type"),
    *("full_range", "calibration_method", "quantizable_op_type", "skip_pattern"),
)
"""Keys of a QuantizationStrategy that quantisation of our own graph after training reads."""


def undeployable(strategy: QuantizationStrategySection) -> dict[str, str]:
    """Return why no int8 kernel can run a setting, by its key; empty if the model can run on a device.

    A model that cannot run on a device can still be trained and exported to float/.
    """
    reasons = {}
    if strategy.activation_quantize_type == "abs_max":
        reasons["activation_quantize_type"] = (
            "'abs_max' finds new scales of the activations for each picture, which no int8 kernel on the "
            "device does; use 'moving_average_abs_max' or 'range_abs_max'"
        )
    wide = max(every_width(strategy.weight_bits))
    if wide > DEVICE:
        reasons["weight_bits"] = f"the device's kernels read int8 weights; there are none for weights of {wide} bits"
    none = sorted(every_width(strategy.activation_bits) - set(ACTIVATIONS))
    if none:
        reasons["activation_bits"] = (
            f"the device's kernels are int8 and int16; there are none for activations of {none[0]} bits"
        )
    elif has_wide_activations(strategy) and strategy.activation_quantize_type == "moving_average_min_max":
        reasons["activation_quantize_type"] = (
            "'moving_average_min_max' has zero points, and the device's int16 kernels take none; use "
            "'moving_average_abs_max' or 'range_abs_max' with activation_bits 16"
        )
    return reasons


def has_int4_storage(strategy: QuantizationStrategySection) -> bool:
    """Return whether some kernels may be stored as INT4: where that is asked for, and widths of up to 4 bits."""
    return strategy.int4_storage and least_width(strategy) <= INT4


def least_width(strategy: QuantizationStrategySection) -> int:
    """Return the least width that the weights of a layer may have."""
    widths = every_width(strategy.weight_bits)
    return min(widths if strategy.auto_bits is None else strategy.auto_bits.tried_widths)


def has_wide_activations(strategy: QuantizationStrategySection) -> bool:
    """Return whether some layers may have activations of 16 bits."""
    return WIDE in every_width(strategy.activation_bits)


AFTER_PTQ = "ptq"
"""In compressor.init_model: training begins with the graph of quantisation after training."""


class CompressorSection(Section):
    """The training loop."""

    epoch: int = Field(ge=1, le=bounds.EPOCHS, description="Number of epochs of the whole training.")
    strategies: list[Text] = Field([], description="Names of the strategies, in the order in which they are called.")
    checkpoint_path: Text | None = Field(
        None, description="Folder for checkpoints, within the experiment's folder. null: checkpoints."
    )
    init_model: Text | None = Field(
        None,
        description="Folder of a model to start from instead of the float weights, relative to the folder in which "
        "Snakemake is started: results/<experiment>/trained of another experiment, whose integer weights become real "
        "numbers again, or the folder of a float model. ptq: the graph that ptq.tool 'qatflow' quantises after "
        "training, whose integers become real numbers again. The float weights are still the teacher, and int8 is "
        "still compared with them. null: the float weights.",
    )
    eval_epoch: int = Field(
        1, ge=0, le=bounds.EPOCHS, description="Evaluate after every eval_epoch-th epoch. 0: never."
    )


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
        name: [field.alias or key for key, field in section.model_fields.items()]
        for name, section in STRATEGIES.items()
    }


class CompressConfig(Section):
    """A whole compress YAML."""

    version: Annotated[float, Field(ge=0, le=100)] | Annotated[int, Field(ge=0, le=100)] = Field(
        1.0, description="Version of the grammar: 1.0."
    )
    include: list[Text] = Field(
        [], description="Other YAML files, which are read first. Paths are relative to this file."
    )
    pruners: dict[str, StructurePrunerSection] = Field({}, description="Pruners for pruning strategies, by name.")
    controllers: dict[str, SAControllerSection] = Field({}, description="Controllers for searches, by name.")
    distillers: dict[str, DistillerSection] = Field({}, description="Distillers for DistillationStrategy, by name.")
    strategies: dict[str, StrategySection] = Field({}, description="Strategies by name.")
    compressor: CompressorSection

    def quantizations(self) -> dict[str, QuantizationStrategySection]:
        """Return the strategies that quantise, by name."""
        return {
            name: strategy
            for name, strategy in self.strategies.items()
            if isinstance(strategy, QuantizationStrategySection)
        }

    def unlabeled_distillations(self) -> dict[str, DistillationStrategySection]:
        """Return the strategies that distil from pictures without labels, by name, if the compressor uses them."""
        return {
            name: strategy
            for name, strategy in self.strategies.items()
            if isinstance(strategy, DistillationStrategySection)
            and strategy.unlabeled
            and name in self.compressor.strategies
        }

    @property
    def distils_unlabeled(self) -> bool:
        """Whether training shows pictures without labels."""
        return bool(self.unlabeled_distillations())

    def thins(self) -> bool:
        """Return whether layers may have other shapes than in the float model."""
        prunes = any(isinstance(strategy, PruneStrategySection) for strategy in self.strategies.values())
        return prunes or self.compressor.init_model not in (None, AFTER_PTQ) or self.light_nas is not None

    def distils(self) -> bool:
        """Return whether a strategy uses a teacher."""
        return any(isinstance(strategy, DistillationStrategySection) for strategy in self.strategies.values())

    @property
    def search(self) -> SearchStrategySection | None:
        """The strategy that searches; None if there is none."""
        searches = (section for section in self.strategies.values() if isinstance(section, SearchStrategySection))
        return next(searches, None)

    @property
    def light_nas(self) -> LightNASStrategySection | None:
        """The strategy that searches for another network to train; None if there is none."""
        return self.search if isinstance(self.search, LightNASStrategySection) else None

    @property
    def limits_latency(self) -> bool:
        """Whether a search, or the choice of the layers' precisions, keeps to a latency on the first device."""
        auto = self.quantization.auto_bits
        searched = self.light_nas is not None and self.light_nas.target_latency > 0
        return searched or (auto is not None and auto.max_latency is not None)

    @property
    def clustering(self) -> ClusteringStrategySection | None:
        """The strategy that clusters kernels; None if there is none."""
        sections = self.strategies.values()
        return next((section for section in sections if isinstance(section, ClusteringStrategySection)), None)

    @property
    def quantization(self) -> QuantizationStrategySection:
        """The last strategy, which sets what is exported; a checked YAML always has it."""
        return self.quantizations()[self.compressor.strategies[-1]]
