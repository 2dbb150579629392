"""The Compressor on the small ResNet and the digits, with strategies as a compress YAML has them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.small_networks import network
from qatflow.data.manifest import Manifest
from qatflow.graph.graph import Graph
from qatflow.training.history import EpochFigures

Run = tuple[Graph, list[EpochFigures]]
"""What a training ends with: the quantised graph and the history."""
STEPS = 10  # an epoch: 1,257 pictures in batches of 128


class KilledError(Exception):
    """Stands for a process that ends without a word."""


def compressed(
    digits: Manifest,
    folder: Path,
    strategies: dict[str, dict],
    epochs: int,
    graph: Graph | None = None,
    teacher: Graph | None = None,
    distillers: Mapping[str, dict] | None = None,
    searched: Mapping[str, float] | None = None,
    **section: Any,
) -> Run:
    """Train with the strategies, in this order, the last for int8; return the quantised graph and the history.

    Those that prune name the pruner `p`, those that search the controller `c`, which has found `searched`; those that
    distil the distillers.
    """
    from qatflow.compress.compressor import Compressor
    from qatflow.config.checks.recipe import check_compress
    from qatflow.config.recipe.recipe import CompressConfig
    from qatflow.config.sections.compress import CompressSection

    quantisation = {"class": "QuantizationStrategy", "float_model_save_path": "out", "end_epoch": epochs - 1}
    *others, last = strategies
    pruners = {"p": {"class": "StructurePruner"}} if any("pruner" in one for one in strategies.values()) else {}
    controllers = {"c": {"class": "SAController"}} if any("controller" in one for one in strategies.values()) else {}
    config = CompressConfig.model_validate(
        {
            "pruners": pruners,
            "controllers": controllers,
            "distillers": distillers or {},
            "strategies": {**{n: strategies[n] for n in others}, last: {**quantisation, **strategies[last]}},
            "compressor": {"epoch": epochs, "strategies": list(strategies)},
        }
    )
    assert list(check_compress(config, ())) == []
    settings = CompressSection.model_validate({"learning_rate": 0.01, "checkpoint_steps": 4, **section})
    folder.mkdir(exist_ok=True)
    graph = graph or network("small ResNet")
    made = Compressor(graph, digits, settings, config, seed=3, teacher=teacher, searched=searched).run(folder)
    return made.graph, made.history


def assert_as_before(trained: Graph, kernel: str, before: np.ndarray, *, equal_ranges: bool) -> None:
    """Check that the integers of a kernel with one scale are those of its values before training.

    With `equal_ranges` its channels were brought to one range, which is then that of the integers.
    """
    (scale,) = trained.weight_scales[kernel].scale
    factors = 127 * scale / np.abs(before).max(axis=(0, 1, 2)) if equal_ranges else 1.0
    assert np.abs(trained.real_weight(kernel) - before * factors).max() <= 0.501 * scale


def killed_in_turn(run: Callable[[], Run], *places: tuple[int, int]) -> Run:
    """Run, killed behind the step of each (epoch, step) in turn, without saving; return what comes through at last."""
    for place in places:
        with pytest.MonkeyPatch.context() as patch:
            _killed_at(patch, *place)
            with pytest.raises(KilledError):
                run()
    return run()


def _killed_at(monkeypatch: pytest.MonkeyPatch, epoch: int, step: int) -> None:
    """Let trainings end behind this step, without saving."""
    from qatflow.compress.strategies.quantization import QuantizationStrategy

    def end(self: Any, trainer: Any) -> None:
        if (trainer.epoch, trainer.step) == (epoch, step):
            raise KilledError

    monkeypatch.setattr(QuantizationStrategy, "on_batch_end", end)


def device_kernels(graph: Graph, digits: Manifest, folder: Path) -> dict[str, np.ndarray]:
    """Export and optimise a quantised graph; return the int8 kernels of model.tflite, the output channels first."""
    from safetensors.numpy import load_file

    from helpers.trained_integers import assert_kept, parsed, weighted_operators
    from qatflow.config.recipe.recipe import QuantizationStrategySection
    from qatflow.export.export import export
    from qatflow.graph.store import load, save
    from qatflow.optimize.optimize import optimize

    save(graph, folder / "trained")
    paths = {"float_model_save_path": "./float", "int8_model_save_path": "./int8"}
    section = QuantizationStrategySection.model_validate({"class": "QuantizationStrategy", **paths})
    export(folder / "trained", section, folder)
    optimize(folder / "float/model", folder / "float/weights", digits.folder / "manifest.json", folder / "opt")
    content = (folder / "opt/model.tflite").read_bytes()
    stored = load_file(folder / "int8/weights")
    assert_kept(content, load(folder / "float"), stored)
    for name in graph.weight_scales:
        np.testing.assert_array_equal(stored[name], graph.weights[name], err_msg=name)
    model = parsed(content)
    return {
        kernel.name.decode(): np.asarray(model.buffers[kernel.buffer].data).view(np.int8).reshape(kernel.shape)
        for _, _, kernel, _ in weighted_operators(model)
    }
