"""Checks of pictures without labels: where they are, and what uses them."""

from collections.abc import Iterator
from pathlib import Path

from qatflow.base.archive import is_archive
from qatflow.base.errors import UserError
from qatflow.config.checks.arrays import ARRAYS
from qatflow.config.checks.files import file_problem, folder_problem, is_folder, overlap
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.config import Config
from qatflow.config.sections.data import DataSection
from qatflow.config.yaml.problems import Problem, problem
from qatflow.data.sources.class_folders import files

KEY = "data.unlabeled.path"


def check_unlabeled(data: DataSection) -> Iterator[Problem]:
    """Yield the problems of the place of pictures without labels."""
    path = data.unlabeled.path
    if path is None:
        return
    if reason := folder_problem(path) if is_folder(path) else file_problem(path):
        yield problem(reason, KEY)
    elif overlap(path, f"data/{data.name}"):
        yield problem(
            f"{path} and data/{data.name}/, which the prepared pictures replace, are the same or contain each other: "
            "move the pictures, or set another data.name",
            KEY,
            "data.name",
        )
    elif data.source == ARRAYS:
        yield from _arrays(data, path)
    elif not is_folder(path) and not is_archive(Path(path)):
        yield problem(f"{path} is neither a folder nor a tar or zip archive that can be read", KEY)
    elif is_folder(path) and next(files(Path(path)), None) is None:
        yield problem(f"{path} holds no file: name the folder with the pictures", KEY)


def _arrays(data: DataSection, path: str) -> Iterator[Problem]:
    if not is_folder(path) and not path.endswith(".npz"):
        yield problem(f"{path} is neither a folder with inputs.npy nor a .npz file", KEY, "data.source")
        return
    # imported here, because few configurations have arrays
    from qatflow.data.sources.array_files import headers, shape_problem, unlabeled_part

    try:
        part = unlabeled_part(headers(Path(path)), Path(path))
    except UserError as error:
        yield problem(str(error).removeprefix(f"{KEY}: "), KEY, "data.source")
        return
    if reason := shape_problem(part.shape, data.preprocessing.picture_size, data.preprocessing.channels):
        yield problem(reason, KEY, "data.preprocessing.size", "data.preprocessing.channels")
    if data.unlabeled.calibration and data.calibration > part.count:
        yield problem(f"must be at most {part.count:,}, the number of inputs without labels", "data.calibration", KEY)


def check_distilled(config: Config, compress: CompressConfig) -> Iterator[Problem]:
    """Yield the problems of pictures without labels together with the compress YAML.

    Training shows them in every epoch, and only distillers have a loss for them.
    """
    unlabeled, recipe = config.data.unlabeled, config.compress.config
    if unlabeled.path is not None and not unlabeled.calibration and not compress.distils_unlabeled:
        yield problem(
            f"nothing uses it: set data.unlabeled.calibration to true, or unlabeled of a DistillationStrategy in "
            f"{recipe}",
            KEY,
            "data.unlabeled.calibration",
        )
    last = compress.compressor.epoch
    for name, strategy in compress.unlabeled_distillations().items():
        if unlabeled.path is None:
            yield problem(
                f"is missing: strategy {name} of {recipe} distils from pictures without labels",
                KEY,
                "compress.config",
            )
        if not strategy.acts_always(last):
            yield problem(
                f"strategy {name} of {recipe} distils from pictures without labels, which have no other loss: set its "
                f"start_epoch to 0 and its end_epoch to {last}",
                "compress.config",
            )
