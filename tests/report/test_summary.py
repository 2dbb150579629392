"""summary.json by its schema, the operators of the network, and the colours for Model Explorer."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import jsonschema
import pytest

from helpers import device_reports
from helpers.graphs import pictures, small_graph
from helpers.places import ROOT
from helpers.report_files import report_files
from helpers.transformer import transformer
from qatflow.base.generated import json_text
from qatflow.base.sums import read_sealed, write_sealed
from qatflow.device.results.report import Models, OperatorTime
from qatflow.evaluate.layers import inspect_layers
from qatflow.graph.counts import total
from qatflow.graph.store import save
from qatflow.optimize.optimize import optimize
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.report.drawing.histogram import histogram_picture
from qatflow.report.drawing.network import type_words
from qatflow.report.network import network, operator_times
from qatflow.report.node_data import FILES, has_data, node_data
from qatflow.report.slowest import slowest
from qatflow.report.stages import stages
from qatflow.report.summary import summarise
from qatflow.report.summary_schema import SCHEMA, json_schema
from qatflow.report.table import text
from qatflow.tflite.lower import convert
from qatflow.tflite.precision import precision_of
from qatflow.tflite.read import operators

KERNELS = [
    "Convert (NC, F32, QS8)", "Convolution (NHWC, QC8) IGEMM", "Convolution (NHWC, QC8) DWConv",
    "Fully Connected (NC, QS8, QC8W) GEMM", "Add (ND)", "Mean (ND)", "Fully Connected (NC, QS8, QC8W) GEMM",
    "Convert (NC, QS8, F32)", "Softmax (NC, F32)",
]  # fmt: skip
"""What LiteRT calls the kernels of the small graph."""
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
    for shipped, name in (("ptq", "PTQ int8"), ("ready", "ready int8")):
        other = report_files(tmp_path / shipped, shipped=shipped)
        (row,) = (row for row in summarise(replace(other, packed=packed), tmp_path / "s.json").rows if row.packed_bytes)
        assert (row.model, row.packed_bytes) == (name, 160_000)
    assert "packed" not in text(without) and not any("packed" in line for line in without.verdict.tiles[1].about)


def test_the_network_is_that_of_the_file_in_the_order_of_execution(tmp_path: Path):
    """The small graph's figures by hand: kernels, shapes, multiply-adds."""
    sources = report_files(tmp_path)
    profile = [OperatorTime(place, name, place + 1.0, 0, 0, 0, 100 * place) for place, name in enumerate(KERNELS)]
    nodes = network(sources.model.read_bytes(), (), profile)
    assert [(node.ms, node.instructions) for node in nodes] == [(place + 1.0, 100 * place) for place in range(9)]
    assert [node.name for node in nodes] == [
        "input", "conv", "dw", "left", "sum", "pool", "logits", "logits/float", "probabilities",
    ]  # fmt: skip
    assert [node.multiply_adds for node in nodes] == [0, 72 * 64, 36 * 16, 16 * 16, 0, 0, 12, 0, 0]
    assert [node.weight_bytes for node in nodes] == [0, 72 + 16, 36 + 16, 16 + 16, 0, 0, 12 + 12, 0, 0]
    assert nodes[4].inputs == (2, 3) and nodes[0].inputs == (-1,) and nodes[1].shape == (8, 8, 4)
    assert [node.activation for node in nodes[1:5]] == ["RELU6", "RELU6", "", "RELU"]
    assert nodes[1].weight_bits == 8 and nodes[0].weight_bits is None


def test_multiply_adds_of_a_file_are_those_of_its_graph():
    """Also of attention, whose two products have no kernel."""
    for graph in (small_graph(), transformer()):
        counted = sum(node.multiply_adds for node in network(convert(graph).content, (), ()))
        assert counted == total(graph).multiply_adds > 0


def test_each_layer_has_the_width_of_its_integers():
    quantised = as_if_quantised(small_graph(), replace(QuantSettings.default(), weight_bits={"default": 4, "dw": 2}))
    nodes = {node.name: node for node in network(convert(quantised).content, (), ())}
    found = {name: (nodes[name].weight_bits, type_words(nodes[name])) for name in ("conv", "dw", "left", "logits")}
    assert found == {
        "conv": (8, ""), "dw": (2, " · 2-bit weights"), "left": (4, " · 4-bit weights"), "logits": (8, ""),
    }  # fmt: skip


def test_kernels_are_matched_by_their_kind_only_where_all_of_it_are_there(tmp_path: Path):
    listed = operators(report_files(tmp_path).model.read_bytes())
    profile = [OperatorTime(place, name, place + 1.0, 0, 0, 0) for place, name in enumerate(KERNELS)]
    assert operator_times(listed, profile) == dict(enumerate(profile))
    fewer = [entry for entry in profile if entry.index != 3]
    assert set(operator_times(listed, fewer)) == {0, 2, 4, 5, 7, 8}, "which of the others is missing, is not known"


def test_node_data_has_the_form_that_model_explorer_reads(tmp_path: Path):
    for shipped, name in (("qat", "SQNR, dB"), ("ready", "multiply-adds")):
        summary = summarise(report_files(tmp_path / shipped, shipped=shipped), tmp_path / "summary.json")
        content = node_data(summary.network, "layers")
        jsonschema.validate(content, NODE_DATA)
        assert content["main"]["name"] == name
        tensors = {node.tensor for node in summary.network}
        assert content["main"]["results"].keys() <= tensors and len(content["main"]["results"]) >= 4
        for file in FILES:
            jsonschema.validate(node_data(summary.network, file), NODE_DATA)
        costs = node_data(summary.network, "sensitivity")["main"]["results"]
        expected = [] if summary.sensitivities is None else [layer.alone_kl for layer in summary.sensitivities.layers]
        assert [result["value"] for result in costs.values()] == expected
        counted = [replace(node, instructions=100 + node.number) for node in summary.network]
        found = node_data(counted, "instructions")["main"]
        assert found["name"] == "instructions" and len(found["results"]) == len(counted)
        assert found["results"][counted[3].tensor] == {"value": 103}
        assert has_data(counted, "instructions") and not has_data(summary.network, "instructions")


def test_float_operators_have_the_names_of_their_layers(tmp_path: Path):
    sources = report_files(tmp_path)
    float_ = [name.replace("QC8", "F32") for name in KERNELS if not name.startswith("Convert")]
    of_float = [OperatorTime(place, name, place + 1.0, 0, 0, 0) for place, name in enumerate(float_)]
    of_int8 = [OperatorTime(place, name, place + 1.0, 0, 0, 0) for place, name in enumerate(KERNELS) if place != 3]
    report = device_reports.report()
    models = {
        name: replace(model, profile=replace(model.profile, operators=tuple(of)))
        for (name, model), of in zip(report.models.named.items(), (of_float, of_int8), strict=True)
    }
    found = slowest(
        [replace(report, models=Models(**models))],
        {"int8": sources.model.read_bytes(), "float": sources.float_model.read_bytes()},
    )
    names = {model: [one.layer for one in found if one.model == model] for model in ("float", "int8")}
    assert names["float"] == ["probabilities", "logits", "pool", "sum", "left", "dw", "conv"]
    # which of three convolutions is missing is not known
    assert names["int8"] == ["probabilities", "logits/float", "", "pool", "sum", "dw", "", "input"]
    assert {(one.device, one.operators) for one in found} == {("phone", 7), ("phone", 8)}


@pytest.mark.parametrize(
    ("weights", "activations", "short", "words"),
    [
        (8, 8, "int8", "int8"),
        (8, 16, "W8A16", "int8 weights, int16 activations"),
        ({"default": 4, "conv": 4, "logits": 4}, 8, "W4A8", "4-bit weights, int8 activations"),
        ({"default": 4, "dw": 2, "conv": 8}, 16, "W2…8A16", "2…8-bit weights, int16 activations"),
        (8, {"default": 16, "left": 8}, "W8A8…16", "int8 weights, int8 and int16 activations"),
    ],
    ids=str,
)
def test_a_model_is_called_by_the_bits_of_its_weights_and_activations(tmp_path, weights, activations, short, words):
    settings = replace(QuantSettings.default(), weight_bits=weights, activation_bits=activations)
    save(as_if_quantised(small_graph(), settings), tmp_path / "float")
    optimize(tmp_path / "float/model", tmp_path / "float/weights", None, tmp_path / "opt")
    found = precision_of(tmp_path / "opt/model.tflite")
    assert (found.short, found.words) == (short, words)
    sources = report_files(tmp_path / "e")
    evaluation = read_sealed(sources.evaluation)
    evaluation["models"]["qat"]["quantised"] = asdict(found)
    write_sealed(sources.evaluation, evaluation)
    summary = summarise(sources, tmp_path / "summary.json")
    assert (summary.quantised, summary.quantised_words) == (short, words)
    assert [curve.name for curve in summary.curves] == ["float", short]
    assert {epoch.phase for epoch in summary.curves[1].epochs} == {"float", short}
    assert summary.rows[-1].model == f"QAT {short}" and summary.rows[1].model == "PTQ int8"
    name = "int8" if short == "int8" else f"The model with {words.replace(', ', ' and ')}"
    assert summary.verdict.sentence.startswith(f"{name} ships: ")


@pytest.mark.parametrize(("bits", "half"), [(8, 128), (16, 32768)])
def test_the_range_of_a_layer_is_that_of_its_own_integers(bits, half):
    settings = replace(QuantSettings.default(), activation_bits=bits)
    content = convert(as_if_quantised(small_graph(), settings)).content
    layers = {layer.name: layer for layer in inspect_layers(convert(small_graph()).content, content, pictures(2))}
    (output,) = (one.outputs[0] for one in operators(content) if one.outputs[0].name == "sum")
    scale, zero = float(output.scale[0]), int(output.zero_point[0])
    assert layers["sum"].grid_range == pytest.approx(((-half - zero) * scale, (half - 1 - zero) * scale))
    low, high = layers["sum"].grid_range
    assert f"int{bits} from {low:.3g} to {high:.3g}" in histogram_picture(layers["sum"])


def test_a_stage_that_was_too_short_to_be_measured_has_no_memory(tmp_path: Path):
    (tmp_path / "gate_accuracy").mkdir()
    path = tmp_path / "gate_accuracy/e.jsonl"
    path.write_text(json.dumps({"s": 9.0, "max_rss": 1.0}) + "\n" + json.dumps({"s": 0.5, "max_rss": None}) + "\n")
    (stage,) = stages([path, tmp_path / "removed.jsonl"])
    assert (stage.words, stage.seconds, stage.memory_mb, stage.cpu_seconds) == ("accuracy gate", 0.5, None, None)
