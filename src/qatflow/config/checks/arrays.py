"""Checks of what is for arrays alone, and of what is for pictures alone, in the section `data`."""

from collections.abc import Iterator
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.config.checks.files import file_problem, folder_problem
from qatflow.config.sections import bounds
from qatflow.config.sections.config import Config
from qatflow.config.sections.data import DataSection, PreprocessingSection
from qatflow.config.yaml.problems import Problem, problem

ARRAYS = "arrays"
SECTION = "data.preprocessing"


def check_pictures(preprocessing: PreprocessingSection) -> Iterator[Problem]:
    """Yield the problems of preprocessing pictures."""
    size = preprocessing.picture_size
    if not bounds.LEAST_SIDE <= size.shorter <= max(size.height, size.width) <= bounds.LARGEST_SIDE:
        yield problem(
            f"must be from {bounds.LEAST_SIDE} to {bounds.LARGEST_SIDE:,} in height and width for pictures; got "
            f"{preprocessing.size}",
            f"{SECTION}.size",
        )
    if preprocessing.channels not in (1, 3):
        yield problem(
            f"must be 1 or 3 for pictures; got {preprocessing.channels}", f"{SECTION}.channels", "data.source"
        )
    if preprocessing.resize == "none":
        yield problem(
            "'none' is for source 'arrays': set it to 'pad', 'stretch' or 'crop'", f"{SECTION}.resize", "data.source"
        )
    if preprocessing.order == "bgr" and preprocessing.channels == 1:
        yield problem("'bgr' is for 3 channels", f"{SECTION}.order", f"{SECTION}.channels")
    for index, value in enumerate(preprocessing.mean or []):
        if abs(value) > bounds.PIXELS:
            yield Problem(
                (("data", "preprocessing", "mean", index),),
                f"must be from {-bounds.PIXELS:,.0f} to {bounds.PIXELS:,.0f} for pictures; got {value:g}",
            )
    for index, value in enumerate(preprocessing.std or []):
        if not bounds.LEAST_STD <= value <= bounds.LARGEST_STD:
            yield Problem(
                (("data", "preprocessing", "std", index),),
                f"must be from {bounds.LEAST_STD:g} to {bounds.LARGEST_STD:,.0f} for pictures; got {value:g}",
            )


def check_arrays(config: Config) -> Iterator[Problem]:
    """Yield the problems of preprocessing arrays, and of training with them."""
    data = config.data
    if data.preprocessing.resize != "none":
        yield problem(
            f"'{data.preprocessing.resize}' is for pictures: set it to 'none', arrays keep their size",
            f"{SECTION}.resize",
            "data.source",
        )
    if data.preprocessing.order != "rgb":
        yield problem("is for pictures: remove it", f"{SECTION}.order", "data.source")
    uses = {} if config.method == "ptq" else {"compress.augmentation": config.compress.augmentation}
    if config.pretrained.source == "train" or config.pretrained.fine_tune:
        uses["pretrained.train.augmentation"] = config.pretrained.train.augmentation
    for key, value in uses.items():
        if value != "none":
            yield problem(f"'{value}' changes pictures: set it to 'none' for arrays", key, "data.source")
    if data.path is None or (folder_problem(data.path) and file_problem(data.path)):
        return
    # imported here, because few configurations have arrays
    from qatflow.data.sources.array_files import headers, parts, shape_problem

    try:
        shape = parts(headers(Path(data.path)), Path(data.path))[0].shape
    except UserError as error:
        yield problem(str(error).removeprefix("data.path: "), "data.path", "data.source")
        return
    if reason := shape_problem(shape, data.preprocessing.picture_size, data.preprocessing.channels):
        yield problem(reason, f"{SECTION}.size", f"{SECTION}.channels", "data.path")


def array_counts(data: DataSection) -> dict[str, int] | None:
    """Return the number of inputs of each split that the source has; None if they cannot be read."""
    from qatflow.data.sources.array_files import headers, parts

    try:
        return {part.split: part.count for part in parts(headers(Path(data.path or "")), Path(data.path or ""))}
    except UserError:
        return None
