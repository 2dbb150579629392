"""Runs a .tflite model on the host with LiteRT.

The Interpreter of ai_edge_litert and the C API that the demo uses give equal bits: both run XNNPACK's kernels.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qatflow.base.errors import UserError
from qatflow.base.sums import read_checked


@dataclass(frozen=True)
class TensorType:
    """An input or output of a model.

    Attributes:
        dtype: float32, int8 or uint8.
        shape: of one run, with its batch of 1.
        scale: real value of one step; 0 for float32.
        zero_point: the integer that stands for 0.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    scale: float
    zero_point: int

    def from_real(self, values: np.ndarray) -> np.ndarray:
        """Return float32 values converted to this type: rounded to the nearest step (ties to even) and clipped."""
        if self.dtype == np.float32:
            return values.astype(np.float32)
        steps = np.rint(values / np.float32(self.scale)) + self.zero_point
        limits = np.iinfo(self.dtype)
        return np.clip(steps, limits.min, limits.max).astype(self.dtype)


class Model:
    """A loaded model with one input and one output.

    Attributes:
        name: its path, for messages.
        input: type of its input.
        output: type of its output.
    """

    def __init__(self, model: Path | bytes, threads: int = 1) -> None:
        """Load a model.

        Args:
            model: path or bytes of a .tflite file.
            threads: threads of the kernels.

        Raises:
            UserError: the file is missing, LiteRT cannot run it, or it has several inputs or outputs.
        """
        from ai_edge_litert.interpreter import Interpreter

        name = self.name = "the model" if isinstance(model, bytes) else str(model)
        try:
            content = model if isinstance(model, bytes) else read_checked(model)
            self._interpreter: Any = Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        except OSError as error:
            raise UserError(f"{name} cannot be read: {error.strerror}") from error
        except (ValueError, RuntimeError) as error:
            raise UserError(f"LiteRT cannot load {name}: {str(error).splitlines()[0]}") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise UserError(f"{name} has {len(inputs)} inputs and {len(outputs)} outputs; one of each is needed")
        self._input_index, self._output_index = inputs[0]["index"], outputs[0]["index"]
        self.input, self.output = _type(inputs[0]), _type(outputs[0])

    def outputs(self, inputs: np.ndarray) -> np.ndarray:
        """Run each row of `inputs`.

        Args:
            inputs: [n, …] of the input's type; a row has the input's elements.

        Returns:
            [n, elements of the output], of the output's type.

        Raises:
            UserError: the rows are not the model's inputs.
        """
        if inputs[0].size != np.prod(self.input.shape):
            raise UserError(f"{self.name} takes {self.input.shape}, but the pictures are {inputs[0].shape}")
        results = np.empty((len(inputs), int(np.prod(self.output.shape))), self.output.dtype)
        for row, tensor in zip(results, inputs, strict=True):
            self._interpreter.set_tensor(self._input_index, tensor.reshape(self.input.shape))
            self._interpreter.invoke()
            row[:] = self._interpreter.get_tensor(self._output_index).ravel()
        return results

    def probabilities(self, pictures: np.ndarray, classes: int) -> np.ndarray:
        """Return a classifier's outputs for pictures, float32 [n, …]: [n, classes] of the output's type.

        Raises:
            UserError: as `check_classes`.
        """
        self.check_classes(classes)
        return self.outputs(self.input.from_real(pictures))

    def check_classes(self, classes: int) -> None:
        """Raise if the model is no classifier of data with so many classes.

        Raises:
            UserError: the model does not have one output per class: it is cut at an inner layer, or made for other
                data.
        """
        outputs = int(np.prod(self.output.shape))
        if outputs != classes:
            raise UserError(
                f"{self.name} has {outputs} outputs but the data has {classes} classes, so its accuracy cannot be "
                "measured: a model that save_out_nodes ends at an inner layer can only be exported and optimised "
                "(targets export, optimize)"
            )

    def milliseconds(self, repeats: int, warmup: int = 10) -> np.ndarray:
        """Return the times of `repeats` runs on a picture of ones, in ms (float64 [repeats])."""
        self._interpreter.set_tensor(self._input_index, np.ones(self.input.shape, self.input.dtype))
        times = []
        for _ in range(warmup + repeats):
            started = time.perf_counter()
            self._interpreter.invoke()
            times.append((time.perf_counter() - started) * 1e3)
        return np.asarray(times[warmup:])


def _type(details: dict[str, Any]) -> TensorType:
    scale, zero_point = details["quantization"]
    return TensorType(np.dtype(details["dtype"]), tuple(map(int, details["shape"])), float(scale), int(zero_point))
