"""Runs a .tflite model on the host so that every tensor can be read."""

from typing import Any

import numpy as np


class Tensors:
    """A model of which every tensor can be read after a run: LiteRT's kernels without XNNPACK, one thread.

    Attributes:
        index: LiteRT's number of each tensor, by its name.
    """

    def __init__(self, content: bytes):
        """Load the bytes of a .tflite file with one input."""
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._interpreter: Any = Interpreter(
            model_content=content,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._interpreter.allocate_tensors()
        self.index = {details["name"]: details["index"] for details in self._interpreter.get_tensor_details()}

    def run(self, picture: np.ndarray) -> None:
        """Run one picture, float32, without the batch."""
        self._interpreter.set_tensor(self._interpreter.get_input_details()[0]["index"], picture[None])
        self._interpreter.invoke()

    def value(self, name: str) -> np.ndarray:
        """Return a tensor of the last run, with the batch of 1."""
        values: np.ndarray = self._interpreter.get_tensor(self.index[name])
        return values
