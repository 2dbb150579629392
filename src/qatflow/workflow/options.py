"""What stands behind `--configfile` and `--config`, where Snakemake takes targets for files and values."""

import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.base.places import PROJECT, from_here
from qatflow.config.sections.base import resolved
from qatflow.config.sections.config import Config
from qatflow.config.sections.pretrained import TeacherSection
from qatflow.config.yaml.keys import all_keys
from qatflow.config.yaml.problems import closest, nearest
from qatflow.workflow.targets import rule_names

CONFIGFILE, CONFIG = ("--configfile", "--configfiles"), ("--config", "-C")
_ANY_KEY = ("experiments.", "compress.overrides.")
_KEY = re.compile(r"[a-zA-Z_][\w-]*\w")  # what Snakemake takes


def default_files(root: Path, with_own: bool = True) -> list[Path]:
    """Return the configurations that are read first: the project's default, then that of the working folder.

    Args:
        root: the folder of the project.
        with_own: whether the working folder's own is read, where that is another one.
    """
    first, own = from_here(root / "config/config.yaml"), Path("config/config.yaml")
    return list(dict.fromkeys([first, own] if with_own and own.is_file() else [first]))


def check_options(argv: Sequence[str], files: Sequence[str], entries: Sequence[str]) -> None:
    """Check what Snakemake takes for configuration files and for values of the configuration.

    Args:
        argv: the arguments of Snakemake.
        files: those behind `--configfile`.
        entries: those behind `--config`.

    Raises:
        UserError: a target is among them, or something that has no meaning there.
    """
    names = rule_names(PROJECT)
    if problems := [*_twice(argv), *_files(argv, files, names), *_entries(argv, entries, names)]:
        raise UserError("\n".join(problems))


def _twice(argv: Sequence[str]) -> Iterator[str]:
    for options in (CONFIGFILE, CONFIG):
        given = [argument for argument in argv if argument.partition("=")[0] in options]
        if len(given) > 1:
            what = "files" if options is CONFIGFILE else "values"
            yield f"{options[0]} is given twice, and Snakemake takes the last one only; write all {what} behind one"


def _files(argv: Sequence[str], files: Sequence[str], names: Collection[str]) -> Iterator[str]:
    for file in files:
        if file in names:
            a_file = f". If you mean a file of this name, write ./{file}" if Path(file).is_file() else ""
            yield f"{_swallowed(CONFIGFILE[0], argv, file)}{a_file}"
        elif not Path(file).exists() and not Path(file).suffix and (hint := nearest(file, names)):
            yield f"--configfile: there is no file '{file}'{hint} Put a target before --configfile"
        elif "=" in file and not Path(file).exists():
            yield f"--configfile: there is no file '{file}'; write values after --config: --config {shlex.quote(file)}"


def _entries(argv: Sequence[str], entries: Sequence[str], names: Collection[str]) -> Iterator[str]:
    plain = resolved(Config.model_validate({}))
    plain["teacher"] = {section: plain[section] for section in TeacherSection.model_fields}
    ways = [".".join(map(str, way)) for way in all_keys(plain)]
    first = [way for way in ways if "." not in way]
    for entry in entries:
        key, equals, value = entry.partition("=")
        if not equals and entry in names:
            yield _swallowed(CONFIG[0], argv, entry)
        elif not equals:
            hint = (
                f"; write {entry}=…, or"
                if entry in first
                else f"{nearest(entry, [*names, *first]) or '.'} If it is a target,"
            )
            yield f"--config: '{entry}' is not key=value{hint} put it before --config"
        elif "." in key:
            yield _with_dots(key, value, ways)
        elif not _KEY.fullmatch(key):
            hint = nearest(key, first)
            yield f"--config: '{key}' in '{entry}' is not a key; write key=value{hint}"


def _swallowed(option: str, argv: Sequence[str], target: str) -> str:
    place = len(argv) - 1 - list(reversed(argv)).index(target)
    command = shlex.join(["snakemake", target, *argv[:place], *argv[place + 1 :]])
    return (
        f"{option}: '{target}' is a target, and what stands behind {option} is read as its values; write:\n  {command}"
    )


def _with_dots(key: str, value: str, ways: Collection[str]) -> str:
    """Return what to say of a key with dots: the form that Snakemake reads, with the nearest key."""
    free = key in ways or key.startswith(_ANY_KEY)
    meant = key if free else closest(key, ways) or key
    first, *below = meant.split(".")
    inner = re.sub(r"^([-+]?)\.", r"\g<1>0.", value)
    for part in reversed(below):
        inner = f"{{{part}: {inner}}}"
    hint = f"; did you mean '{meant}'?" if meant != key else "."
    return f"--config: {key}: Snakemake takes no key with dots{hint} Write --config {first}={shlex.quote(inner)}"
