"""Read a compress YAML: PaddleSlim's grammar, with all mistakes reported instead of ignored."""

from collections.abc import Collection
from pathlib import Path

from qatflow.config.compress_checks import check_compress
from qatflow.config.compress_model import CompressConfig
from qatflow.config.include import with_included
from qatflow.config.merge import Report, merge
from qatflow.config.text_file import shown
from qatflow.config.validate import refusal, validate

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

    Raises:
        UserError: the file itself cannot be read.
    """
    merged = merge(with_included(path))
    merged.data.pop("include", None)
    other = [key for key in OTHER_SECTIONS if merged.data.pop(key, None) is not None]
    merged.reports += [
        Report(merged.place((key,)), f"{key}: this version quantises only; remove the section") for key in other
    ]
    config, reports = validate(CompressConfig, merged, lambda config: check_compress(config, reserved))
    return config, list(map(str, reports))
