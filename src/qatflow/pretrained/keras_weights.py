"""Float weights from an .h5 file of tf_keras.applications' MobileNetV1, official or one's own."""

from pathlib import Path

from qatflow.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.models.mobilenet_v1 import mobilenet_v1


def load_h5(
    path: Path, shape: tuple[int, int, int], classes: int, alpha: float, dropout: float, momentum: float
) -> Graph:
    """Return MobileNetV1 with the weights of an .h5 file; arguments as `mobilenet_v1`.

    Raises:
        UserError: the file cannot be read, or does not fit the architecture.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; pretrained.path must name the .h5 file of the weights")
    try:
        return mobilenet_v1(shape, classes, alpha, dropout, momentum, weights=str(path))
    except (ValueError, OSError, KeyError) as error:
        raise UserError(
            f"{path}: its weights do not fit MobileNetV1 with alpha {alpha}, {shape} inputs, {classes} classes: {error}"
        ) from error
