"""Translates a functional or sequential Keras classifier into a graph."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.graph.names import listed
from qatflow.graph.written_out import left_over
from qatflow.models.keras.library import called, in_order, is_plain_model
from qatflow.models.keras.preprocessing import AUGMENTING
from qatflow.models.keras.table import HINTS, TRANSLATIONS, known_kind
from qatflow.models.keras.translation import Part, Translation
from qatflow.models.patterns import recognised
from qatflow.models.standalone_batch_norm import carried

REGULARIZED = ("kernel", "depthwise", "pointwise", "bias", "gamma", "beta", "alpha", "activity")
"""What a Keras layer can have a regularizer or a constraint for."""
SUBCLASS = (
    "is a subclass of Model, and what it computes cannot be seen: with `pictures = tf_keras.layers.Input(input_shape)`,"
    " {} `tf_keras.Model(pictures, model.call(pictures))`"
)
"""What to say of a subclassed model, with what to do with the other."""


@dataclass(frozen=True)
class Translated:
    """A graph and the Keras model it was translated from.

    Attributes:
        graph: the graph.
        parts: the whole Keras model, then the models used as layers.
        notes: settings of the model that only matter in training, and are not used here; one sentence each.
        untrained: names of the layers whose weights or statistics the model's own training would leave as they are.
    """

    graph: Graph
    parts: tuple[Part, ...]
    notes: tuple[str, ...]
    untrained: tuple[str, ...] = ()


def graph_of(model: Any, momentum: float | None = None) -> Graph:
    """Return the graph of a Keras model; see `translated`."""
    return translated(model, momentum).graph


def translated(model: Any, momentum: float | None = None) -> Translated:
    """Return the graph of a functional or sequential tf_keras model, with its weights.

    The input and the output get PaddleSlim's names, `image` and `fc_0.tmp_2`, as aliases. An activation inside a layer
    becomes a node of its own, `<layer>/<activation>`. A model used as a layer is replaced by its layers. Layers and
    functions are known by identity, not by name. What the model's own training would not change is marked
    (`Graph.frozen`, `Graph.moving_statistics`).

    Nodes have the names of their layers. If a layer of an inner model has the name of an outer or earlier layer, the
    inner model's name is put in front. If a node that is not a layer has a layer's name, a number is added.

    Args:
        model: the Keras model.
        momentum: decay of batch-norm's moving statistics, in place of that of its layers.

    Raises:
        UserError: layers cannot be translated; lists all of them, with kinds and reasons.
    """
    check_visible(model)
    if problem := one_of_each(len(model.inputs), len(model.outputs)):
        raise UserError(problem)
    to = Translation(TRANSLATIONS, HINTS, momentum, layers={node.layer.name for node in in_order(model)})
    to.model(model, None)
    _check_translated(model, to.problems)
    output = to.tensors[id(model.outputs[0])]
    frozen, fixed = frozenset(to.frozen), frozenset(to.moving_statistics)
    graph = recognised(carried(Graph(tuple(to.nodes), (output,), to.weights, frozen=frozen, moving_statistics=fixed)))
    layers = {output.node: output.layer for part in to.parts for output in part.outputs}
    _check_translated(model, [f"{layers.get(node.name, node.name)[:-1]}: {why})" for node, why in left_over(graph)])
    graph = replace(graph, aliases={"image": to.nodes[0].name, "fc_0.tmp_2": graph.outputs[0]})
    notes = tuple(_only_in_training(to.parts))
    return Translated(graph, tuple(_remaining(to.parts, graph)), notes, tuple(to.untrained))


def _check_translated(model: Any, problems: Sequence[str]) -> None:
    if problems:
        raise UserError(
            f"model {model.name}: these layers cannot be translated: {'; '.join(problems)}. Known kinds: "
            f"{', '.join(sorted(TRANSLATIONS))}"
        )


def _remaining(parts: Sequence[Part], graph: Graph) -> Iterator[Part]:
    """Yield the models with the tensors that the graph still computes, where several became one operation."""
    names = {node.name for node in graph.nodes}
    for part in parts:
        yield replace(part, outputs=[output for output in part.outputs if output.node in names])


def one_of_each(inputs: int, outputs: int) -> str:
    """Return why a model with so many inputs and outputs is no classifier, or an empty text."""
    if inputs == outputs == 1:
        return ""
    counts = [f"{count} {what}{'' if count == 1 else 's'}" for count, what in ((inputs, "input"), (outputs, "output"))]
    return f"the model has {' and '.join(counts)}; a classifier has one of each"


def check_visible(model: Any) -> None:
    """Raise if the layers of a tf_keras model cannot be seen, or are not everything that it computes.

    Raises:
        UserError: says how to write the model instead.
    """
    if getattr(model, "inputs", None) is None or not hasattr(model, "_nodes_by_depth"):
        if type(model).__name__ == "Sequential":
            raise UserError(f"model {model.name} has no input yet: start it with tf_keras.layers.Input(input_shape)")
        raise UserError(f"model {model.name} ({called(model)}) {SUBCLASS.format('return')}")
    if not is_plain_model(model):
        raise UserError(
            f"model {model.name} ({called(model)}) has its own call method, which cannot be translated: return "
            "tf_keras.Model(inputs, outputs) or tf_keras.Sequential"
        )


def _only_in_training(parts: Sequence[Part]) -> Iterator[str]:
    """Yield a sentence for each setting of the layers that their own training would use, but ours does not."""
    uses = [use for part in parts for use in in_order(part.model)]
    regularized = [use.layer.name for use in uses if _is_regularized(use.layer)]
    if regularized:
        yield f"regularizers and constraints are not used here: {listed(regularized)}; see the training's weight_decay"
    times = Counter(id(use.layer) for use in uses)  # layers in different models may have the same name
    shared = [use.layer.name for use in uses if use.layer.weights and times[id(use.layer)] > 1]
    if shared:
        yield f"used more than once; each use is trained here with its own copy of the weights: {listed(shared)}"
    augmenting = [use.layer.name for use in uses if known_kind(use.layer) in AUGMENTING]
    if augmenting:
        yield f"augmentation and noise inside the model are ignored: {listed(augmenting)}; see compress.augmentation"
    inner = [use.layer.name for use in uses if _drops_inside(use.layer)]
    if inner:
        yield f"dropout within attention is not used here: {listed(inner)}"


def _is_regularized(layer: Any) -> bool:
    attributes = (f"{weight}_{kind}" for weight in REGULARIZED for kind in ("regularizer", "constraint"))
    return any(getattr(layer, attribute, None) is not None for attribute in attributes)


def _drops_inside(layer: Any) -> bool:
    rates = ("_dropout", "dropout")
    return known_kind(layer) in ("Attention", "MultiHeadAttention") and any(getattr(layer, rate, 0) for rate in rates)
