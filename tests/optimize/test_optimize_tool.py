"""model_optimize_tool as a command: the page's flags, and what it prints."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from helpers.graphs import pictures, small_graph
from helpers.numpy_network import execute
from helpers.places import ROOT
from qatflow.graph.store import save
from qatflow.tflite.run import Model

TOOL = ROOT / "workflow" / "scripts" / "model_optimize_tool.py"


def tool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, TOOL, *arguments], capture_output=True, text=True)


def test_printing_ends_with_status_0():
    answer = tool("--print_supported_ops")
    assert answer.returncode == 0
    assert {"Conv2D", "DepthwiseConv2D", "Dense", "BatchNorm", "Softmax"} <= set(answer.stdout.split())
    answer = tool("--print_all_ops")
    assert answer.returncode == 0
    assert dict(line.split() for line in answer.stdout.splitlines()[1:])["BatchNorm"] == "folded"


def test_the_operations_of_a_model_are_counted(tmp_path: Path):
    save(small_graph(), tmp_path / "float")
    answer = tool("--print_model_ops", f"--model_file={tmp_path}/float/model", f"--param_file={tmp_path}/float/weights")
    assert answer.returncode == 0
    assert "BatchNorm: 3" in answer.stdout
    assert "all of them are supported on arm" in answer.stdout


def test_the_page_s_command_line_works_as_it_stands(tmp_path: Path):
    save(small_graph(), tmp_path / "float")
    answer = tool(
        f"--model_file={tmp_path}/float/model",
        f"--param_file={tmp_path}/float/weights",
        "--optimize_out_type=naive_buffer",
        f"--optimize_out={tmp_path}/mobilenet_v1_quant_opt",
        "--valid_targets=arm",
    )
    assert answer.returncode == 0, answer.stderr
    assert "no labels.txt" in answer.stdout
    folder = tmp_path / "mobilenet_v1_quant_opt"
    assert sorted(path.name for path in folder.iterdir()) == ["model.tflite", "optimization.json"]
    images = pictures()
    expected = execute(small_graph(), images)["probabilities"]
    np.testing.assert_allclose(Model(folder / "model.tflite").outputs(images), expected, atol=1e-5)


def test_missing_flags_and_missing_files_are_told(tmp_path: Path):
    answer = tool("--model_file", tmp_path / "model")
    assert answer.returncode == 2
    assert "these are missing: --param_file, --optimize_out\n" in answer.stderr
    answer = tool("--print_model_ops", "--model_file", tmp_path / "none", "--param_file", tmp_path / "none")
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1 and f"{tmp_path}/none: no such file" in answer.stderr
