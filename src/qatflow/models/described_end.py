"""How a saved Keras model ends, read from its description alone: no TensorFlow is needed."""

from typing import Any

from qatflow.graph.head import WANTED

LOOKED_THROUGH = ("Reshape", "Flatten", "Dropout", "SpatialDropout2D")
ENDS = ("linear", "softmax", "sigmoid")
ACTIVATION_LAYERS = ("ReLU", "LeakyReLU", "ELU")


def end_problem(description: dict[str, Any]) -> str:
    """Return why the activation at a described model's end makes it no classifier, or an empty text.

    Doubtful cases are not judged here, but later by the model's graph.

    Args:
        description: class_name and config, as tf-keras writes them.
    """
    end = _end(description)
    if end is None or end[1] in ENDS:
        return ""
    name, activation = end
    return f"the model ends in {name} ({activation}), which does not end a classifier: {WANTED}"


def _end(description: Any) -> tuple[str, str] | None:
    """Return name and activation of the last layer that has one; layers that change no values are looked through."""
    try:
        for layer in backwards(description):
            kind, own = layer["class_name"], layer["config"]
            if kind in ("Functional", "Model", "Sequential"):
                return _end(layer)
            if kind in ACTIVATION_LAYERS:
                return str(own["name"]), kind
            if kind not in LOOKED_THROUGH and own.get("activation", "linear") != "linear":
                activation = own["activation"]
                return (str(own["name"]), activation) if isinstance(activation, str) else None
            if kind not in (*LOOKED_THROUGH, "Activation"):
                return None
    except (KeyError, TypeError, IndexError, AttributeError):
        pass
    return None


def backwards(description: Any) -> list[Any]:
    """Return the last layer of a model with one output, its input layer, and so on, as long as each has a single input.

    Raises:
        LookupError, TypeError: the description is damaged, or has named outputs.
    """
    config = description["config"]
    if description["class_name"] == "Sequential":
        return list(reversed(config["layers"]))
    return _chain({layer["config"]["name"]: layer for layer in config["layers"]}, config["output_layers"])


def _chain(layers: dict[str, Any], outputs: Any) -> list[Any]:
    """Return the last layer, its input layer, and so on backwards, as long as each has a single input."""
    chain: list[Any] = []
    name = outputs[0][0] if isinstance(outputs[0], list) else outputs[0]
    while name in layers and layers[name] not in chain:
        chain.append(layers[name])
        calls = layers[name]["inbound_nodes"]
        if len(calls) != 1 or len(calls[0]) != 1:
            break
        name = calls[0][0][0]
    return chain
