"""What can be wrong with a file of weights, or of a model, before it is opened."""

from collections.abc import Iterator
from pathlib import Path

from qatflow.base.files import sha256
from qatflow.config.named_files import file_name
from qatflow.config.paths import file_problem, folder_problem, is_folder
from qatflow.config.problems import Problem, problem
from qatflow.config.yaml.text_file import shown

HASHED_AT_ONCE = 64 * 2**20  # a larger file is hashed by its job, not before the start
SAVED_MODEL = "saved_model.pb"


def check_url(url: str, endings: tuple[str, ...], *keys: str) -> Iterator[Problem]:
    """Yield what is wrong with an address."""
    if not url.lower().startswith(("http://", "https://")):
        yield problem(f"{url} is not an http or https address", *keys)
    elif not file_name(url).endswith(endings):
        yield problem(f"must end in {' or '.join(endings)}, and ends in '{file_name(url)}'", *keys)


def check_sha256(path: str, expected: str | None, *keys: str) -> Iterator[Problem]:
    """Yield what is wrong with a checksum that the configuration gives; its own key comes first."""
    if expected is None:
        return
    if is_folder(path):
        yield problem(f"is for a file, and {path} is a folder: remove it", *keys)
    elif Path(path).stat().st_size <= HASHED_AT_ONCE and (found := sha256(Path(path))) != expected:
        yield problem(
            f"is {expected}, but the sha256 of {shown(Path(path))} is {found}: it is another file, or damaged", *keys
        )


def saved_problem(path: str) -> str:
    """Return what is wrong with a saved model, a file or a SavedModel folder, or nothing."""
    if not is_folder(path):
        return file_problem(path)
    if reason := folder_problem(path):
        return reason
    return "" if (Path(path) / SAVED_MODEL).is_file() else f"{path} is a folder without {SAVED_MODEL}, so no SavedModel"
