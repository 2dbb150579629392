"""The public functions: what they promise, against Keras, NumPy and LiteRT itself."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qatflow
from helpers.graphs import pictures, small_graph
from helpers.numpy_network import execute
from helpers.places import ROOT
from qatflow.api import reference
from qatflow.base.errors import UserError
from qatflow.base.generated import with_rows
from qatflow.graph.store import save
from qatflow.tflite.read import operators

IMAGES = pictures(12)


def litert(content: bytes, images: np.ndarray) -> np.ndarray:
    """Return the outputs of LiteRT's interpreter, float32 [n, outputs]."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter: Any = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    rows = []
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).ravel())
    return np.stack(rows)


def test_importing_the_library_loads_none_of_the_heavy_packages():
    code = (
        "import sys, qatflow; print(sorted(qatflow.__all__)); "
        "print([name for name in ('tensorflow', 'tf_keras', 'keras', 'numpy', 'pydantic') if name in sys.modules]); "
        "print({'load', 'convert', 'quantise', 'compare', 'Comparison'} <= set(dir(qatflow)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines() == [str(sorted(qatflow.__all__)), "[]", "True"]


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match="module 'qatflow' has no attribute 'quantize'"):
        _ = qatflow.quantize


def test_a_float_graph_becomes_a_float_tflite(tmp_path: Path):
    graph = small_graph()
    save(graph, tmp_path / "graph")
    content = qatflow.convert(qatflow.load(tmp_path / "graph"))
    expected = execute(graph, IMAGES)[graph.outputs[0]]
    np.testing.assert_allclose(litert(content, IMAGES), expected.reshape(len(IMAGES), -1), atol=1e-5)


def test_the_figures_of_a_comparison_are_those_of_numpy(tmp_path: Path):
    graph = small_graph()
    quantised = qatflow.quantise(graph, IMAGES, weight_bits=4)
    content = qatflow.convert(quantised)
    kernels = {one.kernel.name: one.kernel for one in operators(content) if one.kernel is not None}
    assert {kernel.dtype for kernel in kernels.values()} == {"INT8"}
    assert min(int(np.abs(kernel.data).max()) for kernel in kernels.values()) == 7  # the others are the first and last
    first, second = litert(qatflow.convert(graph), IMAGES).astype(np.float64), litert(content, IMAGES)
    (tmp_path / "int8.tflite").write_bytes(content)
    result = qatflow.compare(graph, tmp_path / "int8.tflite", IMAGES)
    assert result.pictures == len(IMAGES)
    assert result.agreement == np.mean(first.argmax(1) == second.argmax(1))
    assert result.largest_difference == np.abs(first - second).max() > 0
    np.testing.assert_allclose(result.sqnr_db, 10 * np.log10((first**2).sum() / ((first - second) ** 2).sum()))
    same = qatflow.compare(content, quantised, IMAGES)
    assert (same.agreement, same.largest_difference, same.sqnr_db) == (1, 0, float("inf"))


def test_mistakes_are_named(tmp_path: Path):
    graph = small_graph()
    (tmp_path / "x.tflite").write_bytes(b"")
    mistakes = {
        "does not exist: give a .keras": lambda: qatflow.load(tmp_path / "none.keras"),
        "cannot become a graph again": lambda: qatflow.load(tmp_path / "x.tflite"),
        r"shape \[12, 3, 3, 2\]": lambda: qatflow.quantise(graph, IMAGES[:, :3, :3]),
        "no finite numbers": lambda: qatflow.quantise(graph, IMAGES * np.float32(np.nan)),
        "weight_bits": lambda: qatflow.quantise(graph, IMAGES, weight_bits=9),
        "rounding": lambda: qatflow.quantise(graph, IMAGES, rounding="up"),  # type: ignore[arg-type]
        "quantised already": lambda: qatflow.quantise(qatflow.quantise(graph, IMAGES), IMAGES),
    }
    for message, call in mistakes.items():
        with pytest.raises(UserError, match=message):
            call()


def test_the_reference_is_that_of_the_docstrings():
    text = (ROOT / reference.PAGE).read_text(encoding="utf-8")
    assert with_rows(text, reference.MARKS, reference.reference()) == text, "run python -m qatflow.api.reference"
    assert {item.__name__ for item in reference.PUBLIC} == set(qatflow.__all__)


@pytest.mark.tensorflow
def test_the_example_of_the_page_runs_and_agrees_with_keras(tmp_path: Path, monkeypatch, capsys):
    import tf_keras

    from helpers.small_networks import tiny_residual

    tf_keras.utils.set_random_seed(3)
    keras = tiny_residual()
    images = np.random.default_rng(1).normal(0, 1, (64, *keras.input_shape[1:])).astype(np.float32)
    monkeypatch.chdir(tmp_path)
    keras.save("float.keras")
    np.save("pictures.npy", images)
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    (code, *_) = re.findall(r"```python\n(import numpy.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    said = capsys.readouterr().out
    expected = np.asarray(keras(images, training=False), np.float64)
    np.testing.assert_allclose(litert(qatflow.convert(names["network"]), images), expected, atol=1e-5)
    outputs = litert(Path("int8.tflite").read_bytes(), images)
    np.testing.assert_allclose(names["result"].largest_difference, np.abs(outputs - expected).max(), atol=1e-5)
    assert np.abs(outputs - expected).max() < 0.05 and names["result"].sqnr_db > 25
    assert "of 64 pictures" in said and f"{names['result'].sqnr_db:.1f} dB" in said
