"""The float graph that the configuration names, before any training: the network with its weights, or random ones.

TensorFlow must have been started.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qatflow.base.errors import UserError
from qatflow.config.sections.model import ModelSection
from qatflow.data.answers import with_classes_of
from qatflow.data.manifest import Manifest
from qatflow.data.reader import tensors
from qatflow.graph.float_layers import check_float_layers, check_names
from qatflow.graph.graph import Graph, all_trained
from qatflow.graph.head import Head, classifier_head
from qatflow.graph.names import listed
from qatflow.graph.operations import Input
from qatflow.models.architectures import ARCHITECTURES
from qatflow.models.described_fit import other_pictures
from qatflow.models.from_keras import translated
from qatflow.models.new_head import classes_of, in_pairs, other_classes, with_classes
from qatflow.models.onnx.file import is_onnx
from qatflow.models.onnx.translate import float_onnx
from qatflow.models.own_file import model_of
from qatflow.models.own_function import build
from qatflow.models.saved.weights_file import description
from qatflow.pretrained.compared import PICTURES, check_same
from qatflow.pretrained.compared_onnx import check_same_onnx
from qatflow.pretrained.keras_weights import load_classifier, load_weights
from qatflow.pretrained.weights_sane import check_weights
from qatflow.training.batch import batch_norm_momentum, default_batch


@dataclass(frozen=True)
class FloatGraph:
    """A graph for the data's classes.

    Attributes:
        graph: float.
        messages: what the user should know: how the model ends, a new last layer, weights that look wrong, what is
            left out of the Keras model.
        new_head: name of a new last layer; None where all weights come from their source.
    """

    graph: Graph
    messages: tuple[str, ...]
    new_head: str | None


def float_graph(
    model: ModelSection,
    weights: Path | None,
    own_weights: bool,
    data: Manifest,
    fine_tune: bool,
    seed: int,
    batch_size: int | None = None,
) -> FloatGraph:
    """Return the graph.

    Args:
        model: the network.
        weights: file of its weights; None: those that it is created with.
        own_weights: whether a model file's own weights count, where `weights` is None.
        data: the pictures, whose classes it should have.
        fine_tune: whether it will be trained on the data, so that its last layer may be replaced.
        seed: of a new last layer.
        batch_size: pictures per step of training; None: the default for their number.

    Raises:
        UserError: the model cannot be made, does not take the data's pictures, has layers that can neither be
            translated nor quantised (all are listed), does not end as a classifier does, or has other classes than
            the data and will not be trained. Or its weights are not finite, or the graph computes other values than
            the Keras model.
    """
    import tf_keras

    tf_keras.backend.clear_session()  # so that layer names do not depend on models that were built before
    momentum = model.batch_norm_momentum
    if momentum is None:
        pictures = data.splits["train"].count
        momentum = batch_norm_momentum(pictures, batch_size or default_batch(pictures))
    origin = _origin(model, weights, own_weights, data, momentum)
    graph = all_trained(origin.graph) if model.frozen_layers == "train" else origin.graph
    _check_pictures(graph, data)
    head, _ = classifier_head(graph)
    in_float = check_float_layers(graph, model.keep_in_float)
    check_names(graph, model.kept_by_name)
    classes = classes_of(graph)
    if data.labels_from == "nothing":
        data = with_classes_of(data, classes)
    said = (*origin.said, *filter(None, [in_float]), *_frozen_message(origin.untrained, model))
    warnings = (*said, *check_weights(graph), *(origin.notes if fine_tune else ()))
    origin.check(tensors(data, "validation", PICTURES)[0], seed)
    binary = classes == 1 and head.kind != "softmax"
    if binary and data.classes == 2:
        return FloatGraph(in_pairs(graph), (_two_values(head, data), *warnings), None)
    if classes == data.classes:
        return FloatGraph(graph, (*_end_message(head), *warnings), None)
    if binary and not (fine_tune and (own_weights or weights is not None)):
        raise UserError(_one_value(head, data))
    if not fine_tune:
        raise UserError(other_classes(classes, data.dataset, data.classes))
    changed, new_layer = with_classes(graph, data.classes, seed)
    old_classes = "two classes (one value)" if binary else f"{classes} classes"
    message = (
        f"the weights have {old_classes} and the data {data.classes}: the last layer, {new_layer}, is new and will be "
        "trained"
    )
    return FloatGraph(changed, (message, *_end_message(classifier_head(changed)[0]), *warnings), new_layer)


def _frozen_message(untrained: tuple[str, ...], model: ModelSection) -> tuple[str, ...]:
    """Return what training does with the layers that the Keras model freezes."""
    if not untrained:
        return ()
    names = listed(untrained)
    if model.frozen_layers == "train":
        return (f"frozen in the model, and trained here like all others (model.frozen_layers: train): {names}",)
    return (f"frozen in the model, and so in all training: {names}; model.frozen_layers: train trains them",)


def _end_message(head: Head) -> tuple[str, ...]:
    """Return what the user should know about how the model ends; nothing for a softmax."""
    match head.kind:
        case "sigmoid":
            return (
                f"the model ends in sigmoids ({head.end}): the loss is the binary cross entropy, summed over the "
                "classes; the class of a picture is that of the largest value",
            )
        case "logits":
            return (f"the model ends in {head.end}, without an activation: its values are taken as logits",)
    return ()


def _one(head: Head) -> str:
    end = "one sigmoid" if head.kind == "sigmoid" else "one value without an activation, a logit"
    return f"the model ends in {end} ({head.end}), so it is a binary classifier"


def _two_values(head: Head, data: Manifest) -> str:
    first, second = data.labels
    new_end = "a softmax of two values" if head.kind == "sigmoid" else "two logits"
    return (
        f"{_one(head)}: it becomes {new_end} that computes the same; the sigmoid's p is the probability of class 1, "
        f"{second}, and 1 − p that of class 0, {first}"
    )


def _one_value(head: Head, data: Manifest) -> str:
    return (
        f"{_one(head)}, and data/{data.dataset} has {data.classes} classes: end it in "
        f'Dense({data.classes}, activation="softmax"); where its weights come from a file, a new last layer can be '
        "trained: set pretrained.fine_tune to true"
    )


@dataclass(frozen=True)
class _Origin:
    """The model that a graph was made from.

    Attributes:
        graph: the graph.
        check: raises if the graph computes other values than the model, for prepared pictures and a seed.
        notes: what its own training would use, and ours does not; one sentence each.
        said: what the user should know in any case.
        untrained: names of the layers that its own training would leave as they are.
    """

    graph: Graph
    check: Callable[[np.ndarray, int], None]
    notes: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    untrained: tuple[str, ...] = ()


def _origin(model: ModelSection, weights: Path | None, own_weights: bool, data: Manifest, momentum: float) -> _Origin:
    if model.file is not None and is_onnx(model.file):
        return _onnx_origin(model.file, data, momentum)
    keras = _keras_model(model, weights, own_weights, data)
    origin = translated(keras, momentum)
    return _Origin(
        origin.graph,
        lambda pictures, seed: check_same(keras, origin, pictures, seed),
        origin.notes,
        untrained=origin.untrained,
    )


def _onnx_origin(path: str, data: Manifest, momentum: float) -> _Origin:
    origin = float_onnx(Path(path), momentum)
    spec = data.preprocessing
    said = (
        f"an ONNX file does not say how its pictures are normalised: {path} gets those of data.preprocessing, with "
        f"mean {list(spec.mean)} and std {list(spec.std)}; PyTorch's ImageNet weights want mean "
        "[123.675, 116.28, 103.53] and std [58.395, 57.12, 57.375]"
    )
    return _Origin(origin.graph, lambda pictures, seed: check_same_onnx(origin, path, pictures, seed), said=(said,))


def _keras_model(model: ModelSection, weights: Path | None, own_weights: bool, data: Manifest) -> Any:
    shape = data.preprocessing.shape
    if model.network is not None:
        make = ARCHITECTURES[model.network]
        if weights is None:
            return make(shape, data.classes, model.width, model.dropout)
        about = f"{model.network} with alpha {model.width}, {'×'.join(map(str, shape))} inputs"
        return load_classifier(lambda n: make(shape, n, model.width, model.dropout), data.classes, weights, about)
    if model.function is not None:
        network = build(model.function, shape, data.classes)
    else:
        assert model.file is not None
        network = model_of(description(Path(model.file)), model.file)
        if own_weights and weights is None:
            weights = Path(model.file)
    if weights is not None:
        load_weights(network, weights, f"the model of {model.function or model.file}")
    return network


def _check_pictures(graph: Graph, data: Manifest) -> None:
    (operation,) = (node.operation for node in graph.nodes if isinstance(node.operation, Input))
    if problem := other_pictures(operation.shape, data.dataset, data.preprocessing.shape):
        raise UserError(problem)
