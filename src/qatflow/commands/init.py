"""`qatflow init FILE`: writes a configuration for a folder of pictures, a model, or both. Asks nothing."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.base.places import IN_CHECKOUT, PROJECT
from qatflow.config.load import load_experiments
from qatflow.overlay import model as models
from qatflow.overlay import pictures as folders
from qatflow.overlay.text import overlay


def main(argv: Sequence[str]) -> None:
    """Look at what is named, write the file, and check it as a run would.

    Raises:
        UserError: the file is there already, what is named cannot be used, or both do not go together; nothing is left.
    """
    parser = argparse.ArgumentParser(
        prog="qatflow init",
        description="Writes a configuration for a folder of pictures, a model, or both. Asks nothing.",
    )
    parser.add_argument("file", type=Path, help="the configuration to write, as my.yaml")
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="one folder per class, or train/, val/ and test/"
    )
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="a .h5, .keras, .onnx or .tflite file, or a SavedModel folder"
    )
    arguments = parser.parse_args(argv)
    target: Path = arguments.file
    if arguments.pictures is None and arguments.model is None:
        raise UserError("init: nothing to look at: give --pictures FOLDER, --model FILE, or both")
    if target.suffix not in (".yaml", ".yml"):
        raise UserError(f"init: {target} is no name of a configuration: end it in .yaml")
    if target.exists():
        raise UserError(f"init: {target} exists: remove it, or give another name")
    pictures = None if arguments.pictures is None else folders.look_at(arguments.pictures)
    model = None if arguments.model is None else models.look_at(arguments.model)
    command = f"{'./run.sh' if IN_CHECKOUT else 'qatflow run'} --configfile {target}"
    _write(target, overlay(target.stem, command, pictures, model))
    for line in _seen(pictures, model):
        print(line)
    print(f"{target} is written, and passes the checks of a run. Read it, then:\n    {command} -n\n    {command}")


def _write(target: Path, text: str) -> None:
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"init: {target} cannot be written: {error.strerror}") from error
    try:
        load_experiments([PROJECT / "config/config.yaml", target])
    except BaseException:
        target.unlink()
        raise


def _seen(pictures: folders.Pictures | None, model: models.Model | None) -> list[str]:
    lines = []
    if pictures is not None:
        kind = "grey" if pictures.grey else "in colour"
        lines.append(
            f"{pictures.path}: {len(pictures.classes)} classes; pictures: {pictures.counted}, {kind}, shorter sides"
            f" about {pictures.short_side} pixels"
        )
    if model is not None:
        size = "any size" if model.shape is None else "×".join(map(str, model.shape))
        classes = "" if model.classes is None else f", {model.classes} classes"
        state = "quantised already" if model.quantised else f"{len(model.in_float)} of them in float"
        lines.append(f"{model.path}: input {size}{classes}, {sum(model.layers.values())} layers, {state}")
    return lines
