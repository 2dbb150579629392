"""Read a compress YAML: PaddleSlim's grammar, with all mistakes reported instead of ignored."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from qatflow.config.compress_checks import check_compress
from qatflow.config.compress_model import CompressConfig
from qatflow.config.merge import Merged, merge
from qatflow.config.validate import refusal, validate
from qatflow.config.yaml_lines import YamlFile, read_yaml, shown
from qatflow.errors import UserError

OTHER_SECTIONS = ("pruners", "distillers", "quantizers", "controllers")
"""Sections of PaddleSlim's grammar for what this version does not do."""


def load_compress(path: Path) -> CompressConfig:
    """Read the compress YAML at `path` and the files it includes.

    An included file is read before the one that includes it, whose keys win; `include` is empty in what is returned.
    The text `none`, in any case, is null, as in PaddleSlim.

    Raises:
        UserError: with all problems, one a line: `file:line: dotted.key: what is wrong, what is allowed`.
    """
    config, reports = read_compress(path)
    if config is None or reports:
        raise refusal(f"the compress YAML {shown(path)}", reports)
    return config


def read_compress(path: Path, reserved: Collection[str] = ()) -> tuple[CompressConfig | None, list[str]]:
    """Return the typed compress YAML and the lines of all problems; the first is to be used only without the second.

    Args:
        path: the file.
        reserved: folders within the experiment's folder that the workflow itself writes.
    """
    try:
        merged = _merged(path)
    except UserError as error:
        return None, str(error).splitlines()
    other = [key for key in OTHER_SECTIONS if merged.data.pop(key, None) is not None]
    config, reports = validate(CompressConfig, merged, lambda config: check_compress(config, reserved))
    lines = [f"{merged.place((key,))}: {key}: this version quantises only; remove the section" for key in other]
    return config, lines + [str(report) for report in reports]


def _merged(path: Path) -> Merged:
    files: list[YamlFile] = []
    _read(path, [], files)
    merged = merge(files)
    merged.data.pop("include", None)
    return merged


def _read(path: Path, including: list[Path], files: list[YamlFile]) -> None:
    """Append the files that `path` includes, then itself; each file once."""
    file = read_yaml(path)
    file = YamlFile(path, _none_is_null(file.data), file.lines)
    includes = file.data.get("include", [])
    if not isinstance(includes, list) or not all(isinstance(name, str) for name in includes):
        line = file.lines["include",]
        raise UserError(f"{shown(path)}:{line}: include: must be a list of file names, like [base.yaml]")
    chain = [*including, path.resolve()]
    for index, name in enumerate(includes):
        place = f"{shown(path)}:{file.lines['include', index]}: include[{index}]"
        included = path.parent / name
        if included.resolve() in chain:
            raise UserError(f"{place}: {name} includes this file again: a cycle; remove one of the two")
        if not included.is_file():
            raise UserError(f"{place}: the file {shown(included)} does not exist (paths are relative to this file)")
        if included.resolve() not in [known.path.resolve() for known in files]:
            _read(included, chain, files)
    files.append(file)


def _none_is_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _none_is_null(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_none_is_null(inner) for inner in value]
    return None if isinstance(value, str) and value.lower() == "none" else value
