"""Which operators of the shipped model LiteRT's tools would refuse on GPU and NPU, from the file alone."""

from ai_edge_litert import schema_py_generated as schema

from helpers.graphs import small_graph
from helpers.numpy_quantised import quantised
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Input, Reshape
from qatflow.report.handover import GPU_OPERATORS, NPU_OPERATORS, hand_over
from qatflow.tflite.lower import convert


def test_the_lists_have_names_of_the_schema() -> None:
    known = {name for name in vars(schema.BuiltinOperator) if name.isupper()}
    assert known >= GPU_OPERATORS | NPU_OPERATORS


def test_an_int8_network_of_common_layers_is_refused_nothing() -> None:
    gpu, npu = hand_over(convert(quantised(small_graph(), per_channel=True)).content, "a/b/model.tflite")
    assert gpu.command == "benchmark_model --graph=model.tflite --use_gpu" and gpu.refused == npu.refused == ()
    assert npu.command == "benchmark_model --graph=model.tflite --use_npu"
    assert "no operator would be refused" in gpu.text() and "commit" in gpu.text()


def test_five_dimensions_are_refused_by_the_gpu() -> None:
    nodes = (Node("input", Input((4, 4, 1))), Node("deep", Reshape((2, 2, 2, 2)), ("input",)))
    gpu, npu = hand_over(convert(Graph(nodes, ("deep",), {})).content, "model.tflite")
    assert [one.partition(":")[0] for one in gpu.refused] == ["RESHAPE"] and npu.refused == ()
