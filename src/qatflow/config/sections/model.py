"""The sections of the network: a float model, or one that is quantised already."""

from typing import Literal

from pydantic import Field

from qatflow.config.sections import bounds
from qatflow.config.sections.base import Function, Section, Sha256, Text


class ModelSection(Section):
    """The network: one of those that are known here, or a Keras model of your own."""

    architecture: Literal["MobileNetV1", "MobileNetV2", "ResNet50"] | None = Field(
        None,
        description="Name of the architecture. null: MobileNetV1, where neither file nor function is given.",
        json_schema_extra={
            "x-otherwise": "any other network is given by model.file (saved whole) or model.function (its code)"
        },
    )
    file: Text | None = Field(
        None,
        description="A Keras model of your own, saved whole by tf-keras: .h5, .keras or a SavedModel folder. Only its "
        "description and its arrays are read; no code in it is run.",
    )
    function: Function | None = Field(
        None,
        description="A function of your own, `package.module:name`, which is called as "
        "name(input_shape=(height, width, channels), classes=n) and returns a functional tf-keras model. Its module is "
        "looked for in the folder in which Snakemake is started, then along PYTHONPATH. Naming it lets its code run.",
    )
    alpha: float | None = Field(
        None,
        ge=bounds.LEAST_WIDTH,
        le=2,
        description="Width multiplier of a MobileNet: the share of each layer's channels kept. null: 0.5 for "
        "MobileNetV1, 1 for MobileNetV2.",
    )
    dropout: float = Field(0.001, ge=0, lt=1, description="Dropout before MobileNetV1's classifier, in training.")
    batch_norm_momentum: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay of batch-norm's moving statistics a step; Keras' 0.99 is stale in short runs. null: 0.9, or "
        "0.7 where an epoch has fewer than 16 steps.",
    )
    keep_in_float: list[Text] = Field(
        [],
        description="Layers whose name contains one of these texts run in float, on the device too: those that cannot "
        "be quantised, which a run lists before it trains, and any others. Beside the compress YAML's skip_pattern.",
    )

    @property
    def network(self) -> str | None:
        """The architecture's name; None for a model of one's own."""
        own = self.file is not None or self.function is not None
        return None if own else self.architecture or "MobileNetV1"

    @property
    def width(self) -> float:
        """The width multiplier that holds."""
        return self.alpha if self.alpha is not None else 1.0 if self.network == "MobileNetV2" else 0.5


class QuantizedModelSection(Section):
    """A model that is quantised already: it skips training and goes to optimise, build and run."""

    file: Text | None = Field(
        None, description="A quantised .tflite file, or an exported folder of ours (float/ or int8/)."
    )
    url: Text | None = Field(None, description="Address of a quantised .tflite file. sha256 is required.")
    sha256: Sha256 | None = Field(None, description="Expected SHA-256 of the .tflite file; checked when given.")
    drop_background: bool = Field(
        False,
        description="Cut off the model's first class, the background that TensorFlow's official classifiers have "
        "before the classes of the data.",
    )
    expected_top1: float | None = Field(
        None, ge=0, le=100, description="Published top-1, in percent; the accuracy gate compares with it."
    )
    top1_tolerance: float = Field(
        3.0, ge=0, le=100, description="How far below expected_top1 it may be, in points, to go to the device."
    )

    @property
    def given(self) -> bool:
        """Whether there is such a model."""
        return self.file is not None or self.url is not None
