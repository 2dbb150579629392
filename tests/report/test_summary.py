"""summary.json by its schema, the operators of the network, and the colours for Model Explorer."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from helpers.graphs import small_graph
from helpers.places import ROOT
from helpers.report_files import report_files
from qatflow.base.generated import json_text
from qatflow.device.results.report import OperatorTime
from qatflow.quantise.as_if_quantised import as_if_quantised
from qatflow.quantise.placement import QuantSettings
from qatflow.report.drawing.network import type_words
from qatflow.report.network import network, operator_times
from qatflow.report.node_data import node_data, sensitivity_data
from qatflow.report.stages import stages
from qatflow.report.summary import summarise
from qatflow.report.summary_schema import SCHEMA, json_schema
from qatflow.report.table import text
from qatflow.tflite.lower import convert
from qatflow.tflite.read import operators

NODE_DATA = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "results": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {"value": {"type": "number"}},
                    "required": ["value"],
                    "additionalProperties": False,
                },
            },
            "gradient": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"stop": {"type": "number"}, "bgColor": {"type": "string"}},
                    "required": ["stop", "bgColor"],
                    "additionalProperties": False,
                },
            },
        },
        "required": ["results"],
        "additionalProperties": False,
    },
}
"""ModelNodeData of ai-edge-model-explorer 0.1.34 (`model_explorer/node_data_builder.py`), as far as it is used here."""


def test_the_schema_is_that_of_the_classes():
    assert (ROOT / SCHEMA).read_text() == json_text(json_schema()), "run `python -m qatflow.report.summary_schema`"


@pytest.mark.parametrize("settings", [{}, {"classes": 2}, {"shipped": "ready"}, {"shipped": "ptq"}], ids=str)
def test_the_summary_of_every_kind_of_experiment_fits_the_schema(tmp_path: Path, settings: dict):
    summarise(report_files(tmp_path, **settings), tmp_path / "summary.json")
    content = json.loads((tmp_path / "summary.json").read_text())
    problems = jsonschema.Draft202012Validator(json_schema()).iter_errors(content)
    assert [error.message for error in problems] == []


def test_the_packed_file_has_a_column_and_its_share_of_the_bytes(tmp_path: Path):
    sources = report_files(tmp_path)
    packed = sources.model.with_name("model.tflite.packed")
    packed.write_bytes(bytes(160_000))
    without, summary = (summarise(s, tmp_path / "s.json") for s in (sources, replace(sources, packed=packed)))
    assert [row.packed_bytes for row in summary.rows] == [None, None, None, 160_000]
    assert "packed 160 kB, 0.50 of the bytes" in summary.verdict.tiles[1].about
    head, _, *lines = text(summary).splitlines()[2:8]
    assert "deflated   packed  host ms" in head
    assert "320,000    280,000  160,000" in lines[-1]
    assert "packed" not in text(without) and not any("packed" in line for line in without.verdict.tiles[1].about)


def test_the_network_is_that_of_the_file_in_the_order_of_execution(tmp_path: Path):
    """The small graph's figures by hand: kernels, shapes, multiply-adds."""
    sources = report_files(tmp_path)
    nodes = network(sources.model.read_bytes(), (), ())
    assert [node.name for node in nodes] == [
        "input", "conv", "dw", "left", "sum", "pool", "logits", "logits/float", "probabilities",
    ]  # fmt: skip
    assert [node.multiply_adds for node in nodes] == [0, 72 * 64, 36 * 16, 16 * 16, 0, 0, 12, 0, 0]
    assert [node.weight_bytes for node in nodes] == [0, 72 + 16, 36 + 16, 16 + 16, 0, 0, 12 + 12, 0, 0]
    assert nodes[4].inputs == (2, 3) and nodes[0].inputs == (-1,) and nodes[1].shape == (8, 8, 4)
    assert [node.activation for node in nodes[1:5]] == ["RELU6", "RELU6", "", "RELU"]
    assert nodes[1].weight_bits == 8 and nodes[0].weight_bits is None


def test_each_layer_has_the_width_of_its_integers():
    quantised = as_if_quantised(small_graph(), replace(QuantSettings.default(), weight_bits={"default": 4, "dw": 2}))
    nodes = {node.name: node for node in network(convert(quantised).content, (), ())}
    found = {name: (nodes[name].weight_bits, type_words(nodes[name])) for name in ("conv", "dw", "left", "logits")}
    assert found == {
        "conv": (8, ""), "dw": (2, " · 2-bit weights"), "left": (4, " · 4-bit weights"), "logits": (8, ""),
    }  # fmt: skip


def test_kernels_are_matched_by_their_kind_only_where_all_of_it_are_there(tmp_path: Path):
    listed = operators(report_files(tmp_path).model.read_bytes())
    names = [
        "Convert (NC, F32, QS8)", "Convolution (NHWC, QC8) IGEMM", "Convolution (NHWC, QC8) DWConv",
        "Fully Connected (NC, QS8, QC8W) GEMM", "Add (ND)", "Mean (ND)", "Fully Connected (NC, QS8, QC8W) GEMM",
        "Convert (NC, QS8, F32)", "Softmax (NC, F32)",
    ]  # fmt: skip
    profile = [OperatorTime(place, name, place + 1.0, 0, 0, 0) for place, name in enumerate(names)]
    assert operator_times(listed, profile) == {place: place + 1.0 for place in range(9)}
    fewer = [entry for entry in profile if entry.index != 3]
    assert set(operator_times(listed, fewer)) == {0, 2, 4, 5, 7, 8}, "which of the others is missing, is not known"


def test_node_data_has_the_form_that_model_explorer_reads(tmp_path: Path):
    for shipped, name in (("qat", "SQNR, dB"), ("ready", "multiply-adds")):
        summary = summarise(report_files(tmp_path / shipped, shipped=shipped), tmp_path / "summary.json")
        content = node_data(summary.network)
        jsonschema.validate(content, NODE_DATA)
        assert content["main"]["name"] == name
        tensors = {node.tensor for node in summary.network}
        assert content["main"]["results"].keys() <= tensors and len(content["main"]["results"]) >= 4
        costs = sensitivity_data(summary.network)
        jsonschema.validate(costs, NODE_DATA)
        expected = [] if summary.sensitivities is None else [layer.alone_kl for layer in summary.sensitivities.layers]
        assert [result["value"] for result in costs["main"]["results"].values()] == expected


def test_a_stage_that_was_too_short_to_be_measured_has_no_memory(tmp_path: Path):
    (tmp_path / "gate_accuracy").mkdir()
    path = tmp_path / "gate_accuracy/e.jsonl"
    path.write_text(json.dumps({"s": 9.0, "max_rss": 1.0}) + "\n" + json.dumps({"s": 0.5, "max_rss": None}) + "\n")
    (stage,) = stages([path, tmp_path / "removed.jsonl"])
    assert (stage.words, stage.seconds, stage.memory_mb, stage.cpu_seconds) == ("accuracy gate", 0.5, None, None)
