"""Which operators of the shipped model LiteRT's tools would refuse on GPU and NPU, from the file alone."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from helpers.graphs import small_graph
from helpers.numpy_quantised import quantised
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Input, PRelu, Relu6, Reshape
from qatflow.report.handover import (
    GPU_OPERATORS,
    MEDIATEK_OPERATORS,
    NOT_GOOGLE_TENSOR,
    QUALCOMM_OPERATORS,
    hand_over,
)
from qatflow.tflite.lower import convert


def test_the_lists_have_names_of_the_schema() -> None:
    known = {name for name in vars(schema.BuiltinOperator) if name.isupper()}
    assert known >= GPU_OPERATORS | QUALCOMM_OPERATORS | MEDIATEK_OPERATORS | NOT_GOOGLE_TENSOR


def test_an_int8_network_of_common_layers_is_refused_nothing() -> None:
    gpu, *npus = hand_over(convert(quantised(small_graph(), per_channel=True)).content, "a/b/model.tflite")
    assert gpu.command == "benchmark_model --graph=model.tflite --use_gpu" and gpu.refused == ()
    assert [npu.accelerator for npu in npus] == ["NPU (Qualcomm)", "NPU (MediaTek)", "NPU (Google Tensor)"]
    for one in (gpu, *npus):
        assert one.refused == () and "no operator would be refused" in one.text() and "commit" in one.text()
    assert {npu.command for npu in npus} == {"benchmark_model --graph=model.tflite --use_npu"}


def test_five_dimensions_are_refused_by_the_gpu() -> None:
    nodes = (Node("input", Input((4, 4, 1))), Node("deep", Reshape((2, 2, 2, 2)), ("input",)))
    gpu, *npus = hand_over(convert(Graph(nodes, ("deep",), {})).content, "model.tflite")
    assert [one.partition(":")[0] for one in gpu.refused] == ["RESHAPE"] and {npu.refused for npu in npus} == {()}


def test_vendors_differ() -> None:
    """PRELU is in MediaTek's list alone, RELU6 in Qualcomm's alone; Google's list names what it does not take."""
    nodes = (
        Node("input", Input((4, 4, 2))),
        Node("bend", PRelu(), ("input",)),
        Node("cut", Relu6(), ("bend",)),
    )
    graph = Graph(nodes, ("cut",), {"bend/alpha": np.full((1, 1, 2), 0.25, np.float32)})
    _, qualcomm, mediatek, google = hand_over(convert(graph).content, "model.tflite")
    assert (qualcomm.refused, mediatek.refused, google.refused) == (("PRELU: bend",), ("RELU6: cut",), ())
