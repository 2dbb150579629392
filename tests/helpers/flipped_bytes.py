"""Every file that a finished run leaves, with one byte flipped: who reads it, and what is said."""

import contextlib
import fnmatch
import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from helpers.section_options import option
from helpers.workflow_helpers import ROOT
from qatflow.base.errors import UserError
from qatflow.base.sums import read_sealed
from qatflow.data.manifest import read_manifest
from qatflow.data.reader import records
from qatflow.export.mobile import load_any

TOPS = ("data", "pretrain", "results", "resources", "build.lite.*")
R, P, OUT = "results/digits_quant", "pretrain/MobileNetV1_digits_pretrained", "out"
DATA = "data/digits/manifest.json"
BUNDLE = "build.lite.android.armv8.gcc/inference_lite_lib.android.armv8"
MODELS = {kind: f"{R}/digits_quant_{kind}" for kind in ("opt", "float_opt", "ptq")}

SHARED = [f"pretrain/MobileNetV1_digits_{kind}" for kind in ("float_opt", "ptq")]


def script(name: str, *arguments: str) -> Callable[[], None]:
    """Return what runs a script in this process."""

    def run() -> None:
        found = importlib.util.spec_from_file_location(name, ROOT / f"workflow/scripts/{name}.py")
        assert found is not None and found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        module.main(arguments)

    return run


def optimised(folder: str) -> Callable[[], None]:
    files = ("--model_file", f"{folder}/model", "--param_file", f"{folder}/weights")
    return script("model_optimize_tool", *files, "--data", DATA, "--optimize_out", f"{OUT}/optimised")


def on_device(folder: str) -> Callable[[], None]:
    return script("run_demo", "--model-dir", folder, "--library", BUNDLE, "--manifest", DATA, "--output-dir", OUT)


def trained_on() -> None:
    """Read the training pictures as both trainings do (their own program would start TensorFlow)."""
    for _ in records(read_manifest(Path(DATA)), "train"):
        pass


def compared() -> Callable[[], None]:
    return script("compare", "--experiment", R, "shipped=qat", "devices=emulator", "--output", f"{OUT}/comparison")


GATE = script(
    "gate", "--float", f"{MODELS['float_opt']}/model.tflite", "--int8", f"{MODELS['opt']}/model.tflite",
    "--ptq", f"{MODELS['ptq']}/model.tflite", "--data", DATA, "--output", f"{OUT}/gate.json",
)  # fmt: skip
EVALUATE = script(
    "evaluate", "--qat", f"{MODELS['opt']}/model.tflite", "--fake-quant", f"{R}/fake_quant.json", "--data", DATA,
    *option("evaluate", repeats=1), "--output", f"{OUT}/evaluation.json",
)  # fmt: skip
EXPORT = script(
    "export", "--trained", f"{R}/trained", "--config", "config/compress/test.yaml", "--experiment", OUT,
)  # fmt: skip
REPORT = script(
    "report", "--experiment", "digits_quant", "--shipped", "qat", "--evaluation", f"{R}/evaluation.json",
    "--gate", f"{R}/gate.json", "--layers", f"{R}/layers.json", "--devices", f"{R}/device/emulator/report.json",
    "--model", f"{MODELS['opt']}/model.tflite", "--data", DATA,
    "--demos", f"{R}/device/emulator/output.txt", "--float-history", f"{P}/history.csv",
    "--pretrained", f"{P}/manifest.json", "--history", f"{R}/trained/history.csv",
    "--trained", f"{R}/trained/manifest.json", "--summary", f"{OUT}/summary.json", "--output", f"{OUT}/report",
)  # fmt: skip
BUILD = script(
    "build_demo", "--target", "android.armv8", "--runtime", "resources/litert/aarch64/libLiteRt.so", "--output",
    f"{OUT}/demo",
)  # fmt: skip
READERS: dict[str, Callable[[], object]] = {
    "data/digits/train-*.tfrecord": trained_on,
    "data/digits/validation-*.tfrecord": GATE,
    "data/digits/test-*.tfrecord": EVALUATE,
    "data/digits/*": GATE,
    f"{P}/model": optimised(P),
    f"{P}/weights": optimised(P),
    f"{P}/*": REPORT,
    **{f"{folder}/*": script("take_model", "--model", folder, "--output", f"{OUT}/taken") for folder in SHARED},
    f"{R}/trained/model": EXPORT,
    f"{R}/trained/weights": EXPORT,
    f"{R}/trained/*": REPORT,
    f"{R}/output/float/*": optimised(f"{R}/output/float"),
    f"{R}/output/int8/*": optimised(f"{R}/output/int8"),
    f"{R}/output/mobile/*": lambda: load_any(Path(R, "output/mobile")),
    **{f"{folder}/*": on_device(folder) for folder in MODELS.values()},
    f"{R}/gate.json": script("require_gate", "--gate", f"{R}/gate.json"),
    f"{R}/device/emulator/device_gate.json": compared(),
    f"{R}/device/emulator/*": REPORT,
    f"{R}/fake_quant.json": EVALUATE,
    f"{R}/evaluation.json": REPORT,
    f"{R}/layers.json": REPORT,
    f"{R}/summary.json": lambda: read_sealed(Path(R, "summary.json")),  # no job reads it; who does can check it
    "resources/litert/*": BUILD,
    f"{BUNDLE}/*": on_device(MODELS["opt"]),
}
"""By pattern, the first that fits: a stage that reads the file, by its own program where it is quick."""
TERMINAL = {
    f"{R}/report/*": "for people; no job reads it",
    f"{MODELS['opt']}/MODEL_CARD.md": "the same; the record of the run has its sum",
    f"{R}/Snakefile": "the same: a copy of the workflow, for the record of the run",
    f"{R}/ro-crate-metadata.json": "for people and their programs; what the record names has its sum there",
    f"{R}/config.yaml": "for people, who may edit it and give it back: the configuration's checks hold then",
    f"{R}/compress.yaml": "the same",
    f"{R}/.configfiles.json": "the names of the configuration files, of no consequence to a result",
    f"{R}/checkpoints_quan/*": "the state of a training that is over; a killed one checks its own files",
}
"""Files that no stage reads, and why that is right."""


def artefacts() -> list[str]:
    """Return every file below the folders of results that holds something."""
    found = [path for top in TOPS for folder in Path().glob(top) for path in folder.rglob("*")]
    return sorted(str(path) for path in found if path.is_file() and path.stat().st_size)


def fits(name: str, patterns: Sequence[str]) -> str | None:
    return next((pattern for pattern in patterns if fnmatch.fnmatchcase(name, pattern)), None)


@contextlib.contextmanager
def flipped(path: Path) -> Iterator[None]:
    """Flip a bit in the middle of a file, with its times kept; put it right in the end."""
    content, times = path.read_bytes(), path.stat()
    place = len(content) // 2
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    try:
        yield
    finally:
        path.write_bytes(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def check_every_artefact() -> dict[str, str]:
    """Flip a byte of each file of the run in this folder; return what is said of it, or why nothing reads it."""
    said = {}
    for name in artefacts():
        if (terminal := fits(name, list(TERMINAL))) is not None:
            said[name] = TERMINAL[terminal]
            continue
        pattern = fits(name, list(READERS))
        assert pattern is not None, f"{name}: no stage is known to read it, and no reason why none does"
        with flipped(Path(name)), pytest.raises(UserError) as caught:
            READERS[pattern]()
        said[name] = str(caught.value)
        assert said[name].startswith(name), f"{name}: {said[name]}"
        assert "has changed since it was written (sha256 " in said[name] or "is damaged (" in said[name], said[name]
        assert any(way in said[name] for way in ("remove it to have it made again", "again with `", "again (target",
                                                 "build it with `")), said[name]  # fmt: skip
    return said
