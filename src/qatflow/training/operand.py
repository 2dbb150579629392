"""Operations that read a stored weight in the place of a second tensor, as Keras layers."""

from collections.abc import Callable, Sequence
from typing import Any

from tf_keras import layers

from qatflow.graph.graph import Graph, Node
from qatflow.graph.kinds import kind_of

Function = Callable[[Any, Any], Any]


class WithOperand(layers.Layer):
    """A function of a tensor and a weight of its own, which is broadcast like a second tensor."""

    def __init__(self, function: Function, role: str, shape: Sequence[int], trained: bool, name: str):
        """Set up the layer.

        Args:
            function: from the input and the weight to the output.
            role: name of the weight, and of the attribute that holds it.
            shape: of the weight, without the batch.
            trained: whether training changes it.
            name: the layer's name.
        """
        super().__init__(name=name)
        self._function, self._role, self._shape, self._trained = function, role, tuple(shape), trained

    def build(self, input_shape: Any) -> None:
        """Make the weight."""
        setattr(self, self._role, self.add_weight(self._role, self._shape, trainable=self._trained))

    def call(self, inputs: Any) -> Any:
        """Return the function of the input and the weight."""
        return self._function(inputs, getattr(self, self._role))


def with_operand(
    layer: Callable[[Any], type], function: Callable[[Any], Function]
) -> Callable[[Node, Graph, str], Any]:
    """Return how the layer of a node is made that reads two tensors, or one and a weight.

    Args:
        layer: from the operation to the class of the layer that reads two tensors.
        function: from the operation to the function of a tensor and the weight.
    """

    def make(node: Node, graph: Graph, name: str) -> Any:
        operand = kind_of(node.operation).operand
        assert operand is not None and node.operand is not None
        if node.operand not in graph.weights:
            return layer(node.operation)(name=name)
        shape = graph.weights[node.operand].shape
        return WithOperand(function(node.operation), operand.role, shape, operand.trained, name)

    return make
