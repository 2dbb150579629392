"""Float weights from an .h5 file of tf_keras.applications' MobileNetV1, official or one's own."""

from pathlib import Path

from qatflow.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.graph.operations import BatchNorm, Conv2D, Dense, DepthwiseConv2D, Operation
from qatflow.models.mobilenet_v1 import mobilenet_v1
from qatflow.pretrained.fit import fit, layers_with_weights
from qatflow.pretrained.h5_file import open_h5

KERAS_KINDS: dict[type[Operation], str] = {
    Conv2D: "conv2d",
    DepthwiseConv2D: "depthwise_conv2d",
    Dense: "dense",
    BatchNorm: "batch_normalization",
}


def load_h5(
    path: Path, shape: tuple[int, int, int], classes: int, alpha: float, dropout: float, momentum: float
) -> Graph:
    """Return MobileNetV1 with the weights of an .h5 file; arguments as `mobilenet_v1`.

    Only arrays are read from the file (see `h5_file`): no code that it may hold is run.

    Raises:
        UserError: the file cannot be read, or does not fit the architecture.
    """
    graph = mobilenet_v1(shape, classes, alpha, dropout, momentum)
    kinds = [KERAS_KINDS[type(node.operation)] for node in layers_with_weights(graph)]
    with open_h5(path, kinds) as layers:
        try:
            return fit(graph, layers)
        except UserError as error:
            raise UserError(
                f"{path}: its weights do not fit MobileNetV1 with alpha {alpha}, {'×'.join(map(str, shape))} inputs, "
                f"{classes} classes: {error}"
            ) from error
