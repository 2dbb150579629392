"""The sections of the network: a float model, or a model that is already quantised."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from qatflow.config.sections import bounds
from qatflow.config.sections.base import Function, Section, Sha256, Text

ONE_WIDTH = ("ResNet50", "EfficientNetB0")
"""Architectures without a width multiplier."""


def kept_by_name(keep: Literal["auto"] | Sequence[str]) -> tuple[str, ...]:
    """Return the texts in the names of layers that stay in float, though they may have an int8 form; none for `auto`.

    Args:
        keep: `ModelSection.keep_in_float`.
    """
    return () if keep == "auto" else tuple(keep)


class ModelSection(Section):
    """The network: one of the built-in architectures, or your own Keras model."""

    architecture: Literal["MobileNetV1", "MobileNetV2", "MobileNetV3Small", "ResNet50", "EfficientNetB0"] | None = (
        Field(
            None,
            description="Name of the architecture. null: MobileNetV1, or the model that file or function gives.",
            json_schema_extra={
                "x-otherwise": "for any other network set model.file (a saved model) or model.function (its code)"
            },
        )
    )
    file: Text | None = Field(
        None,
        description="Your own model, saved whole: a .h5 or .keras file of Keras 2 (tf-keras) or Keras 3, a SavedModel "
        "folder of tf-keras, or an .onnx file (docs/onnx.md). Only its description and its arrays are read; no code in "
        "it runs. Functions, and in a .h5 file or SavedModel also classes, are known by name, as by Keras itself.",
    )
    function: Function | None = Field(
        None,
        description="Your own function, `package.module:name`, which is called as name(input_shape=(height, width, "
        "channels), classes=n) and returns a functional tf-keras model. Its module is searched for in the folder in "
        "which Snakemake is started, then in PYTHONPATH. Its code runs on this machine.",
    )
    alpha: float | None = Field(
        None,
        ge=bounds.LEAST_WIDTH,
        le=2,
        description="Width multiplier of a MobileNet: the factor of each layer's number of channels. null: 0.5 for "
        "MobileNetV1, 1 for MobileNetV2 and MobileNetV3Small.",
    )
    dropout: float = Field(
        0.001,
        ge=0,
        lt=1,
        description="Dropout rate before the classifier of MobileNetV1, MobileNetV3Small and EfficientNetB0, in "
        "training.",
    )
    batch_norm_momentum: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay of batch-norm's moving statistics per step. Keras' 0.99 is too slow for short trainings. "
        "null: 0.9, or 0.7 if an epoch has fewer than 16 steps.",
    )
    frozen_layers: Literal["keep", "train"] = Field(
        "keep",
        description="What training does with the layers that your own model freezes. keep: weights of layers with "
        "trainable=False stay as they are, also in training for int8, and batch-norm that is frozen or called with "
        "training=False uses its moving statistics. train: all layers are trained.",
    )
    keep_in_float: Literal["auto"] | list[Text] = Field(
        [],
        description="auto: layers without an int8 form (norms over channels, attention, GELU, …) run in float, also on "
        "the device, and the log lists them. Or a list: layers whose name contains one of these texts run in float; "
        "'=name' means only the layer of that name. List the layers that cannot be quantised, which a run names before "
        "it trains, and any others. They are added to those of the compress YAML's skip_pattern.",
    )

    @property
    def network(self) -> str | None:
        """The architecture's name; None for your own model."""
        own = self.file is not None or self.function is not None
        return None if own else self.architecture or "MobileNetV1"

    @property
    def kept_by_name(self) -> tuple[str, ...]:
        """Texts in the names of layers that stay in float, though they may have an int8 form; none for `auto`."""
        return kept_by_name(self.keep_in_float)

    @property
    def width(self) -> float:
        """The width multiplier, with its default."""
        return self.alpha if self.alpha is not None else 0.5 if self.network in (None, "MobileNetV1") else 1.0


class QuantizedModelSection(Section):
    """A model that is already quantised. It is not trained, only optimised, built and run."""

    file: Text | None = Field(
        None,
        description="A quantised .tflite file, an .onnx file with QuantizeLinear and DequantizeLinear around its "
        "layers (docs/onnx.md), or a folder that qatflow exported (float/ or int8/).",
    )
    url: Text | None = Field(
        None, description="Address of a quantised .tflite or .onnx file to download. sha256 is required."
    )
    sha256: Sha256 | None = Field(None, description="Expected SHA-256 of the file, checked if it is set.")
    drop_background: bool = Field(
        False,
        description="Remove the model's first class: the background class that TensorFlow's official classifiers have "
        "before the classes of the data.",
    )
    expected_top1: float | None = Field(
        None,
        ge=0,
        le=100,
        description="Published top-1 accuracy, in percent, which the accuracy gate compares with. null: not checked.",
    )
    top1_tolerance: float = Field(
        3.0,
        ge=0,
        le=100,
        description="How far below expected_top1 the model may be to go to the device, in percentage points.",
    )

    @property
    def given(self) -> bool:
        """Whether the configuration names such a model."""
        return self.file is not None or self.url is not None
