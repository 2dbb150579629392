"""A .tflite model executed on the host by LiteRT, with the XNNPACK kernels that the device uses too."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from qatflow.errors import UserError


class Model:
    """A loaded model with one input and one output, both float32, and a batch of 1."""

    def __init__(self, model: Path | bytes, threads: int = 1):
        """Load a model.

        Args:
            model: path or bytes of a .tflite file.
            threads: threads of the kernels.

        Raises:
            UserError: the file is missing or is not a model that LiteRT can run.
        """
        from ai_edge_litert.interpreter import Interpreter

        try:
            content = model if isinstance(model, bytes) else model.read_bytes()
            self._interpreter: Any = Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (OSError, ValueError, RuntimeError) as error:
            name = "the model" if isinstance(model, bytes) else model
            raise UserError(f"{name}: LiteRT cannot load it: {error}") from error
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()

    def run(self, picture: np.ndarray) -> np.ndarray:
        """Return the output (float32 [classes]) for one preprocessed picture (float32 [height, width, channels])."""
        self._interpreter.set_tensor(self._input["index"], picture[None])
        self._interpreter.invoke()
        output: np.ndarray = self._interpreter.get_tensor(self._output["index"])[0]
        return output

    def run_all(self, pictures: np.ndarray) -> np.ndarray:
        """Return the outputs (float32 [n, classes]) for pictures (float32 [n, height, width, channels])."""
        return np.stack([self.run(picture) for picture in pictures])

    def milliseconds(self, repeats: int, warmup: int = 10) -> np.ndarray:
        """Return the time of each of `repeats` runs on an all-ones picture, in ms (float64 [repeats])."""
        picture = np.ones(self._input["shape"][1:], np.float32)
        times = []
        for _ in range(warmup + repeats):
            started = time.perf_counter()
            self.run(picture)
            times.append((time.perf_counter() - started) * 1e3)
        return np.asarray(times[warmup:])
