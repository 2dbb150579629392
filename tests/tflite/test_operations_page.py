"""docs/operations.md says what the code does: each operation, what becomes it, and what it becomes."""

import re
from dataclasses import dataclass

import pytest

from helpers.one_operation import THREE, around, example
from helpers.places import ROOT
from qatflow.graph.families import FLOAT_ONLY
from qatflow.graph.operations import OPERATIONS
from qatflow.models.keras import activations, operators
from qatflow.models.keras.table import TRANSLATIONS
from qatflow.models.onnx.translate import TRANSLATIONS as ONNX
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.lower import convert
from qatflow.tflite.read import operators as operators_of


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    operation: str
    keras: str
    onnx: str
    int8: str
    in_float: str


def rows() -> list[Row]:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    return [Row(*(cell.strip() for cell in cells[:5])) for cells in table[2:]]


ROWS = {row.operation: row for row in rows()}


def test_every_operation_has_one_row():
    assert [row.operation for row in rows()] == list(dict.fromkeys(row.operation for row in rows()))
    assert set(ROWS) == set(OPERATIONS)


def test_every_layer_activation_and_function_is_in_it_and_no_other():
    cells = " ".join(row.keras for row in rows())
    code = set(re.findall("`([^`]+)`", cells))
    functions = {name.removeprefix("tf.") for name in code if name.startswith("tf.")}
    assert functions == {*operators.FUNCTIONS, *operators.ACTIVATIONS}
    layers = {name for name in code if not name.startswith("tf.")}
    assert layers == set(TRANSLATIONS) - {"TFOpLambda", "SlicingOpLambda"}
    named = set(re.findall('"([^"]+)"', cells))
    assert named == set(activations.MAKE) - {"relu6"}  # a function without a name that a layer could take


def test_every_onnx_operator_is_in_it_and_no_other():
    named = {name for row in rows() for name in re.findall(r"\w+", row.onnx)}
    assert named == set(ONNX) - {"QuantizeLinear", "DequantizeLinear"}


def written(name: str, int8: bool) -> list[str]:
    """The operators that an operation becomes in a model."""
    graph = around(name, example(name))
    if int8:
        graph = as_if_quantised(graph, QuantSettings(8, 8, "abs_max", "moving_average_min_max"))
    names = [operator.name for operator in operators_of(convert(graph).content)]
    names = [name for name in names if name not in ("QUANTIZE", "DEQUANTIZE")]
    others = len([node for node in graph.nodes if node.name not in ("input", "made", "flat", "dense")])
    assert names[-2:] == ["RESHAPE", "FULLY_CONNECTED"]
    assert set(names[:others]) <= {"CONV_2D", *(["RESHAPE"] if name in THREE else [])}
    return names[others:-2]


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "Input"])
def test_the_operators_are_those_that_the_table_says(name: str):
    row = ROWS[name]
    nothing = ("(removed)", "(fused)", "(folded)")
    assert written(name, int8=False) == ([] if row.in_float in nothing else row.in_float.split())
    if row.int8 == "(in float)":
        assert OPERATIONS[name] in FLOAT_ONLY
        assert written(name, int8=True) == row.in_float.split()
    else:
        assert OPERATIONS[name] not in FLOAT_ONLY
        assert written(name, int8=True) == ([] if row.int8 in nothing else row.int8.split())
