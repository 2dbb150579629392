"""Checks of the section `quantized_model`."""

from collections.abc import Iterator
from pathlib import Path

from qatflow.config.checks.files import check_sha256, check_url, file_problem, is_folder, overlap
from qatflow.config.sections.config import Config
from qatflow.config.yaml.problems import Problem, problem
from qatflow.models.onnx.file import is_onnx


def check_quantized_model(config: Config) -> Iterator[Problem]:
    """Yield the problems of a model that is already quantised."""
    section = config.quantized_model
    if section.file is not None and section.url is not None:
        yield problem(
            "quantized_model.file is set as well: set only one of the two",
            "quantized_model.url",
            "quantized_model.file",
        )
    elif section.url is not None:
        yield from check_url(section.url, (".tflite", ".onnx"), "quantized_model.url")
        if section.sha256 is None:
            yield problem(
                "is missing: a download needs a known checksum; set the file's SHA-256",
                "quantized_model.sha256",
                "quantized_model.url",
            )
    elif section.file is not None:
        yield from _local_model(config, section.file)


def _local_model(config: Config, path: str) -> Iterator[Problem]:
    key, section = "quantized_model.file", config.quantized_model
    if is_folder(path):
        missing = [name for name in ("model", "weights") if not (Path(path) / name).is_file()]
        if missing:
            yield problem(
                f"the folder {path} lacks {', '.join(missing)}: it is not a folder that qatflow exported", key
            )
        if section.drop_background:
            yield problem(
                "is for a .tflite file, and quantized_model.file is a folder: remove it",
                "quantized_model.drop_background",
                key,
            )
        yield from check_sha256(path, section.sha256, "quantized_model.sha256", key)
    elif reason := file_problem(path):
        yield problem(reason, key)
    else:
        yield from check_sha256(path, section.sha256, "quantized_model.sha256", key)
        if is_onnx(path):
            yield from _onnx_file(config, path)
    if overlap(path, f"results/{config.experiment}"):
        yield problem(
            f"{path} lies in results/{config.experiment}/, where this run writes: set another experiment",
            key,
            "experiment",
        )


def _onnx_file(config: Config, path: str) -> Iterator[Problem]:
    from qatflow.models.onnx.check import quantised_problem  # imported here, because few configurations name one

    shape = config.data.preprocessing.shape
    if reason := quantised_problem(path, shape):
        yield problem(reason, "quantized_model.file")
