"""Read a compress YAML: PaddleSlim's grammar, with all mistakes reported instead of ignored."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qatflow.config.compress_checks import check_compress
from qatflow.config.compress_model import CompressConfig, CompressorSection, strategy_keys
from qatflow.config.include import with_included
from qatflow.config.keys import Keys
from qatflow.config.merge import Merged, Place, Report, merge, overlaid
from qatflow.config.text_file import shown
from qatflow.config.validate import refusal, validate
from qatflow.config.yaml_lines import YamlFile

OTHER_SECTIONS = ("quantizers",)
"""Sections of PaddleSlim's grammar for what nothing here takes."""


def load_compress(path: Path, overrides: Mapping[str, Any] | None = None) -> CompressConfig:
    """Read the compress YAML at `path` and the files it includes.

    An included file is read before the one that includes it, whose keys win; `include` is empty in what is returned.
    The text `none`, in any case, is null, as in PaddleSlim.

    Args:
        path: the file.
        overrides: values by key, in place of the file's: as the configuration's compress.overrides has them.

    Raises:
        UserError: with all problems, one a line: `file:line: dotted.key: what is wrong, what is allowed`.
    """
    place = Place(0, 0, "compress.overrides")
    config, reports = read_compress(path, {key: (value, place) for key, value in (overrides or {}).items()})
    if config is None or reports:
        raise refusal(f"the compress YAML {shown(path)}", reports)
    return config


def read_compress(
    path: Path,
    overrides: Mapping[str, tuple[Any, Place]],
    reserved: Collection[str] = (),
    read: Callable[[Path], list[YamlFile]] = with_included,
) -> tuple[CompressConfig | None, list[str]]:
    """Return the typed compress YAML and the lines of all problems; the first is to be used only without the second.

    Args:
        path: the file.
        overrides: values by key, in place of the file's, and where each is written.
        reserved: folders within the experiment's folder that the workflow itself writes.
        read: reads the file and those that it includes.

    Raises:
        UserError: the file itself cannot be read.
    """
    merged = merge(read(path))
    merged.data.pop("include", None)
    for key, (value, place) in overrides.items():
        last = replace(place, source=merged.last.source + 1)  # named before the file that it overrides
        merged.places |= {("overrides", key): last}
        merged = overlaid(merged, [(keys, value, ("overrides", key)) for keys in _overridden(key, merged)])
    other = [key for key in OTHER_SECTIONS if merged.data.pop(key, None) is not None]
    merged.reports += [
        Report(merged.place((key,)), f"{key}: nothing here takes it; remove the section") for key in other
    ]
    config, reports = validate(CompressConfig, merged, lambda config: check_compress(config, reserved))
    return config, list(map(str, reports))


def _overridden(key: str, merged: Merged) -> Iterator[Keys]:
    """Yield the keys that `key` stands for: that with dots, or that of the compressor, or of each strategy with it."""
    if "." in key:
        yield tuple(key.split("."))
    elif key in CompressorSection.model_fields:
        yield "compressor", key
    else:
        strategies, keys = merged.data.get("strategies"), strategy_keys()
        every = {key for of_class in keys.values() for key in of_class}
        for name, strategy in strategies.items() if isinstance(strategies, dict) else ():
            of_class = strategy.get("class") if isinstance(strategy, dict) else None
            if key in keys.get(str(of_class), every):
                yield "strategies", name, key
