"""The model as C++ source: its bytes, labels and constants as a compiler reads them, and its planned memory."""

import json
import subprocess
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from helpers.device_fixtures import require
from helpers.graphs import small_graph
from helpers.numpy_quantised import quantised
from qatflow.base.errors import UserError
from qatflow.base.picture_size import square
from qatflow.data.preprocess import Preprocessing
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Elu, Gelu, Input
from qatflow.optimize.microcontroller import refuse, write_microcontroller
from qatflow.tflite.arena import ALIGNMENT, arena_bytes, plan
from qatflow.tflite.lower import convert
from qatflow.tflite.run import Model

GRAPH = small_graph()
LABELS = ["cat", 'a "quoted" \\ one??/', "Käse 猫1", ""]
SPEC = Preprocessing(square(8), "stretch", 3, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
PROGRAM = """
#include <cstdio>
#include "model.h"
int main() {
  std::printf("%zu %zu %d %d %d %d\\n", kModelBytes, kPlannedTensorBytes, kInputHeight, kInputWidth, kInputChannels,
              static_cast<int>(reinterpret_cast<unsigned long long>(kModel) % 16));
  std::printf("%.9g %d %.9g %d\\n", kInputScale, kInputZeroPoint, kOutputScale, kOutputZeroPoint);
  for (int c = 0; c < kInputChannels; ++c) std::printf("%.9g %.9g\\n", kMean[c], kInverseStd[c]);
  for (const char* label : kLabels) std::printf("%s\\n", label);
  std::FILE* file = std::fopen("back.tflite", "wb");
  std::fwrite(kModel, 1, kModelBytes, file);
  return std::fclose(file);
}
"""


@pytest.fixture(scope="module")
def content() -> bytes:
    return convert(quantised(GRAPH, per_channel=True)).content


def test_the_compiled_source_has_the_bytes_labels_and_constants(content: bytes, tmp_path: Path) -> None:
    require("g++")
    folder, output = tmp_path / "model", tmp_path / "out"
    folder.mkdir()
    (folder / "model.tflite").write_bytes(content)
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS), encoding="utf-8")
    (folder / "preprocessing.json").write_text(json.dumps(SPEC.to_json()))
    arena = write_microcontroller(folder, output)
    (output / "main.cc").write_text(PROGRAM)
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "main.cc", "model.cc", "-o", "main"]
    subprocess.run(command, cwd=output, check=True)
    told = subprocess.run(["./main"], cwd=output, check=True, capture_output=True, encoding="utf-8").stdout.splitlines()
    assert (output / "back.tflite").read_bytes() == content
    assert told[0] == f"{len(content)} {arena} 8 8 3 0"
    model = Model(folder / "model.tflite")
    scales = [(one.scale or 0.0, one.zero_point or 0) for one in (model.input, model.output)]
    numbers = told[1].split()
    assert [np.float32(numbers[0]), np.float32(numbers[2])] == [np.float32(scale) for scale, _ in scales]
    assert [int(numbers[1]), int(numbers[3])] == [zero for _, zero in scales]
    for line, mean, std in zip(told[2:5], SPEC.mean, SPEC.std, strict=True):
        first, second = map(np.float32, line.split())
        assert (first, second) == (np.float32(mean), np.float32(1) / np.float32(std))
    assert told[5:] == LABELS


def test_no_two_tensors_that_are_needed_together_share_memory(content: bytes) -> None:
    planned = plan(content)
    for one, other in combinations(planned, 2):
        together = {*range(one.first, one.last + 1)} & {*range(other.first, other.last + 1)}
        assert not together or one.end <= other.offset or other.end <= one.offset
    assert all(one.offset % ALIGNMENT == 0 for one in planned)
    steps = range(max(one.last for one in planned) + 1)
    at_once = max(sum(one.bytes for one in planned if one.first <= step <= one.last) for step in steps)
    assert at_once <= arena_bytes(planned) < sum(one.bytes + ALIGNMENT for one in planned)


def test_an_operator_without_a_kernel_is_named_with_its_layer() -> None:
    nodes = (Node("input", Input((4, 4, 1))), Node("bent", Gelu(approximate=False), ("input",)))
    with pytest.raises(UserError, match=r"m.tflite cannot run on a microcontroller: .* has no operator GELU \(bent\)"):
        refuse(convert(Graph(nodes, ("bent",), {})).content, "m.tflite")
    nodes = (Node("input", Input((4, 4, 1))), Node("bent", Elu(), ("input",)))
    refuse(convert(Graph(nodes, ("bent",), {})).content, "m.tflite")
