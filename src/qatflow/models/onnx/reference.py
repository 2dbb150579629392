"""An ONNX model executed by the reference of the onnx package, tensor by tensor, in our order of axes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from qatflow.models.onnx.translate import TranslatedOnnx


class Reference:
    """Computes the tensors of an ONNX model that its graph has as well.

    Attributes:
        nodes: the graph's node for each such tensor, by the tensor's ONNX name.
    """

    def __init__(self, origin: TranslatedOnnx):
        from onnx.reference import ReferenceEvaluator

        self._origin = origin
        self._evaluator = ReferenceEvaluator(origin.model.proto)
        model = origin.model
        wanted = {name for node in model.nodes for name in node.outputs} & set(origin.values)
        self.nodes: Mapping[str, str] = {
            name: value.node for name, value in origin.values.items() if name in wanted and not value.integers
        }

    def values(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """Return the tensors for a picture, float32 [height, width, channels], without the batch, by ONNX name."""
        name = self._origin.model.input
        order = np.argsort(self._origin.values[name].axes)  # our axis of each ONNX axis
        inputs = {name: np.ascontiguousarray(picture.transpose(order))[None]}
        with np.errstate(all="ignore"):  # it computes both sides of np.where
            computed: Any = self._evaluator.run(None, inputs, intermediate=True)
        return {name: self._ours(name, np.asarray(computed[name])) for name in self.nodes}

    def _ours(self, name: str, values: np.ndarray) -> np.ndarray:
        value = self._origin.values[name]
        ours = values.transpose([0, *value.axes])[0]
        return ours if value.order is None else ours[..., value.order]
