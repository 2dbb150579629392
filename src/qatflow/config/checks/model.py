"""Checks of the section `model`: it must name one network, which can be read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError
from qatflow.config.checks.files import is_folder, saved_problem
from qatflow.config.checks.known_counts import known_classes
from qatflow.config.sections.config import Config
from qatflow.config.sections.model import ONE_WIDTH
from qatflow.config.yaml.problems import Problem, problem
from qatflow.graph.families import not_quantised
from qatflow.graph.layer_texts import no_layer
from qatflow.models.architecture_names import names_no_layer
from qatflow.models.architectures import LEAST_SIDES
from qatflow.models.onnx.file import is_onnx
from qatflow.models.own_function import source_files


def check_model(config: Config) -> Iterator[Problem]:
    """Yield the problems of the network."""
    model, source = config.model, config.pretrained.source
    named_by = [key for key in ("architecture", "file", "function") if getattr(model, key) is not None]
    for key in named_by[1:]:
        first = named_by[0]
        yield problem(f"{first} already names the network: set only one of the two", f"model.{key}", f"model.{first}")
    own = next((key for key in named_by if key != "architecture"), None)
    if model.alpha is not None and len(named_by) < 2:
        if own is not None or model.network in ONE_WIDTH:
            network = "your own model" if own else model.network
            yield problem(f"{network} has no width multiplier: remove it", "model.alpha", f"model.{named_by[0]}")
        elif model.network == "MobileNetV1" and model.alpha > 1:
            yield problem("must be at most 1 for MobileNetV1", "model.alpha")
    if source == "model" and own is None:
        yield problem(
            "'model' takes the weights of model.file or model.function, and neither is set",
            "pretrained.source",
        )
    if model.file is not None:
        yield from _model_file(config, model.file)
    least = LEAST_SIDES.get(model.network or "", 1)
    if config.data.preprocessing.picture_size.shorter < least:
        yield problem(
            f"must be at least {least} in height and width: {model.network} reduces smaller pictures to nothing",
            "data.preprocessing.size",
            "model.architecture",
        )
    if model.network is not None:
        for text in (text for text in model.kept_by_name if names_no_layer(text, model.network)):
            yield problem(no_layer(text), "model.keep_in_float", "model.architecture")
    if model.function is not None:
        try:
            source_files(model.function)
        except UserError as error:
            yield problem(str(error), "model.function")


def _model_file(config: Config, path: str) -> Iterator[Problem]:
    if config.pretrained.source == "train":
        yield problem(
            f"'train' would make new weights for the network in {path}: set it to 'model' for the weights in the file "
            "(pretrained.fine_tune trains them further), or set the network as model.function",
            "pretrained.source",
            "model.file",
        )
    if reason := saved_problem(path):
        yield problem(reason, "model.file")
    elif is_onnx(path):
        yield from _onnx_file(config, path)
    elif not is_folder(path):  # reading a SavedModel's description needs TensorFlow: its job does that
        # imported here, because few configurations name a model of their own
        from qatflow.models.own_file import check_description
        from qatflow.models.saved.weights_file import description

        try:
            described = check_description(description(Path(path)), path)
        except UserError as error:
            yield problem(str(error), "model.file")
        else:
            yield from _described(config, described)


def _described(config: Config, described: dict[str, Any]) -> Iterator[Problem]:
    """Yield why a Keras model does not fit the configuration, as far as its description shows it."""
    from qatflow.models import described_fit
    from qatflow.models.described_end import end_problem

    if several := described_fit.ends_problem(described):
        yield problem(several, "model.file")
        return
    if end := end_problem(described) or described_fit.output_problem(described):
        yield problem(end, "model.file")
    data, shape = config.data, described_fit.picture_shape(described)
    if shape is not None and (other := described_fit.other_pictures(shape, data.name, data.preprocessing.shape)):
        yield problem(other, "model.file", "data.preprocessing.size", "data.preprocessing.channels")
    keep = config.model.keep_in_float
    if keep != "auto" and (layers := described_fit.described_float_layers(described, keep)):
        yield problem(not_quantised(layers), "model.file", "model.keep_in_float")
    yield from _classes(config, described_fit.described_classes(described))


def _classes(config: Config, classes: int | None) -> Iterator[Problem]:
    """Yield that a model in a file has other classes than the data, where both are known and it keeps its weights."""
    if classes is None or config.pretrained.source == "train" or config.pretrained.fine_tune:
        return
    from qatflow.models.new_head import other_classes

    wanted = known_classes(config.data)
    # one value is a binary classifier, or a case that the job explains
    if wanted is not None and classes not in (1, wanted):
        yield problem(other_classes(classes, config.data.name, wanted), "model.file", "data.path")


def _onnx_file(config: Config, path: str) -> Iterator[Problem]:
    from qatflow.models.onnx.check import float_fit

    source = config.pretrained.source
    if source not in ("model", "train"):
        yield problem(
            f"is '{source}', and an ONNX file brings its own weights: set it to 'model'",
            "pretrained.source",
            "model.file",
        )
    shape = config.data.preprocessing.shape
    fit = float_fit(path, shape, config.model.keep_in_float)
    if fit.problem:
        yield problem(fit.problem, "model.file")
    yield from _classes(config, fit.classes)
