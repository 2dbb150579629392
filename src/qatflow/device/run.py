"""The optimised model on a device: right, and how fast."""

import contextlib
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qatflow import provenance
from qatflow.data import reader
from qatflow.data.preprocess import Preprocessing
from qatflow.device.bundle import Bundle, open_bundle
from qatflow.device.demo import Demo, Timing
from qatflow.device.integer_part import expose_integers
from qatflow.device.interface import DeviceSettings
from qatflow.device.parity import Agreement, DisagreementError, compare
from qatflow.device.parting import first_difference
from qatflow.device.registry import open_device
from qatflow.errors import UserError
from qatflow.files import read_json, sha256, write_json, write_text
from qatflow.metrics import accuracy
from qatflow.tflite.run import Model

FORMAT = 1
SPLIT = "test"
MODEL_FILES = ("model.tflite", "labels.txt", "preprocessing.json")
# The last bits of a float softmax differ between ARM and x86 kernels (measured: up to 1.2e-7 of a probability).
FLOAT_TAIL_TOLERANCE = 1e-6


@dataclass(frozen=True)
class RunSettings:
    """What to run.

    Attributes:
        device: where.
        pictures: test pictures, from the first on.
        tolerance: greatest difference of an output from the host's. 0: everything computed in integers has equal bits,
            and a float softmax after it is within `FLOAT_TAIL_TOLERANCE`.
        threads: of the run-time on the device.
        warmup: runs before timing starts.
        repeats: timed runs.
    """

    device: DeviceSettings
    pictures: int
    tolerance: float
    threads: int
    warmup: int
    repeats: int


@dataclass(frozen=True)
class Pictures:
    """Test pictures as the model takes them.

    Attributes:
        inputs: [n, size, size, channels], of the model's input type.
        labels: int64 [n].
        classes: names of the classes.
    """

    inputs: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]


def run_demo(settings: RunSettings, model_dir: Path, library: Path, manifest: Path, output_dir: Path) -> str:
    """Run the demo on the device, compare it with the host, and write what was found.

    `output_dir` gets output.txt, the text of the program for an input of ones, and report.json; older ones are removed
    first, and a failed run leaves neither.

    Args:
        settings: what to run, and where.
        model_dir: the optimised model: model.tflite, labels.txt, preprocessing.json.
        library: the built demo, inference_lite_lib.<target>.
        manifest: manifest.json of the data set.
        output_dir: folder of the results.

    Returns:
        The text of output.txt.

    Raises:
        UserError: something is missing, the device failed, or host and device disagree: then it names picture, class,
            both values, and the first layer where they part.
    """
    text_file, report_file = output_dir / "output.txt", output_dir / "report.json"
    for file in (text_file, report_file):
        file.unlink(missing_ok=True)
    files = _model_files(model_dir)
    bundle = open_bundle(library)
    model = Model(files["model.tflite"])
    pictures = _read_pictures(model, files, manifest, settings.pictures)

    with open_device(settings.device) as device, contextlib.ExitStack() as stack:
        demo = Demo(device, bundle)
        demo.push_model(files, "model")
        text, timing = demo.all_ones("model", settings.threads, settings.warmup, settings.repeats)
        host = model.outputs(pictures.inputs)
        found = demo.outputs("model", pictures.inputs, model.output, settings.threads)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tail = expose_integers(files["model.tflite"], folder / "model.tflite") if settings.tolerance == 0 else None
        try:
            if tail is not None:
                _compare_integers(demo, folder / "model.tflite", tail, pictures, settings.threads)
            allowed = settings.tolerance if tail is None else FLOAT_TAIL_TOLERANCE
            agreement = compare(host, found, allowed, pictures.classes)
        except DisagreementError as error:
            raise _with_layer(error, demo, files["model.tflite"], pictures, settings.threads) from error
        report = _report(demo, bundle, model, agreement, tail, timing)

    there, here = accuracy(found, pictures.labels), accuracy(host, pictures.labels)
    report["accuracy"] = {
        "pictures": there.pictures,
        "device_top1": there.top1,
        "device_top5": there.top5,
        "host_top1": here.top1,
    }
    report["model"] |= {"sha256": sha256(files["model.tflite"]), "bytes": files["model.tflite"].stat().st_size}
    report["provenance"] = provenance.record([*files.values(), bundle.manifest, manifest], asdict(settings))
    write_text(text_file, text)
    write_json(report_file, report)
    return text


def _model_files(model_dir: Path) -> dict[str, Path]:
    files = {name: model_dir / name for name in MODEL_FILES}
    for file in files.values():
        if not file.is_file():
            raise UserError(f"{file} is missing: make the model with `snakemake --cores 4 optimize`")
    return files


def _read_pictures(model: Model, files: dict[str, Path], manifest: Path, count: int) -> Pictures:
    spec = Preprocessing.from_json(read_json(files["preprocessing.json"]))
    data = reader.open_manifest(manifest)
    inputs, labels = reader.tensors(data, SPLIT, count, spec)
    if (1, *inputs.shape[1:]) != model.input.shape:
        raise UserError(
            f"{files['preprocessing.json']} yields pictures of {inputs.shape[1:]}, {files['model.tflite']} takes "
            f"{model.input.shape[1:]}: optimise the model again"
        )
    if data.classes != int(np.prod(model.output.shape)):
        raise UserError(
            f"{manifest} has {data.classes} classes, {files['model.tflite']} {int(np.prod(model.output.shape))}: "
            "was the model trained on this data?"
        )
    return Pictures(model.input.from_real(inputs), labels, data.labels)


def _compare_integers(demo: Demo, cut: Path, tensor: str, pictures: Pictures, threads: int) -> None:
    """Compare what leads to the float tail, bit for bit."""
    demo.push_model({"model.tflite": cut}, "integer_part")
    host = Model(cut)
    found = demo.outputs("integer_part", pictures.inputs, host.output, threads)
    compare(host.outputs(pictures.inputs), found, 0, pictures.classes, what=f"integer tensor {tensor}")


def _with_layer(error: DisagreementError, demo: Demo, model: Path, pictures: Pictures, threads: int) -> UserError:
    """Return the error with the first layer at which the picture's values part."""
    try:
        where = first_difference(demo, model, pictures.inputs[error.picture : error.picture + 1], threads)
    except UserError as other:
        where = f"at which layer they part could not be found: {other}"
    return UserError(
        f"{error}; {where}. Where the device's kernels are known to round differently, set device.tolerance"
    )


def _report(
    demo: Demo, bundle: Bundle, model: Model, agreement: Agreement, tail: str | None, timing: Timing
) -> dict[str, Any]:
    return {
        "format_version": FORMAT,
        "device": asdict(demo.description),
        "model": {
            "input": {"type": str(model.input.dtype), "shape": model.input.shape},
            "output": {"type": str(model.output.dtype), "shape": model.output.shape},
        },
        "litert_version": bundle.litert_version,
        "agreement": asdict(agreement)
        | {"split": SPLIT, "integer_part": None if tail is None else {"tensor": tail, "bit_equal": True}},
        "timing": asdict(timing),
    }
