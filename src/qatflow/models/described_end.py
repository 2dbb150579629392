"""What a saved Keras model ends in, from its description alone: no TensorFlow is needed."""

from typing import Any

from qatflow.graph.head import WANTED

LOOKED_THROUGH = ("Reshape", "Flatten", "Dropout", "SpatialDropout2D")
ENDS = ("linear", "softmax", "sigmoid")
ACTIVATION_LAYERS = ("ReLU", "LeakyReLU", "ELU")


def end_problem(description: dict[str, Any]) -> str:
    """Return why a described model is no classifier by the activation it ends in, or nothing.

    What the description does not say plainly is not judged here: the graph of the model is, when it is made.

    Args:
        description: class_name and config, as tf-keras writes them.
    """
    found = _end(description)
    if found is None:
        return ""
    name, activation = found
    return (
        "" if activation in ENDS else f"the model ends in {name} ({activation}), which is no classifier's end: {WANTED}"
    )


def _end(description: Any) -> tuple[str, str] | None:
    """Return name and activation of the last layer that has one, looking through layers that change no values."""
    try:
        config = description["config"]
        if description["class_name"] == "Sequential":
            behind = list(reversed(config["layers"]))
        else:
            behind = _chain({layer["config"]["name"]: layer for layer in config["layers"]}, config["output_layers"])
        for layer in behind:
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


def _chain(layers: dict[str, Any], outputs: Any) -> list[Any]:
    """Return the last layer, the one that it reads, and so on, as far as each reads one."""
    found: list[Any] = []
    name = outputs[0][0] if isinstance(outputs[0], list) else outputs[0]
    while name in layers and layers[name] not in found:
        found.append(layers[name])
        calls = layers[name]["inbound_nodes"]
        if len(calls) != 1 or len(calls[0]) != 1:
            break
        name = calls[0][0][0]
    return found
