"""Starts Snakemake; `qatflow.workflow.program` runs this file, of the Snakefile's checkout, by its path.

    python snakemake_start.py {check,start} [ARGUMENT …]

It takes a third of the time that Snakemake's own start does: Snakemake is imported without searches for garbage among
its modules, the clusters' executors (with pandas and the client of Kubernetes) only where the run may use one, and the
check (`check`) needs no process of its own.
"""

import gc
import getpass
import os
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

EXECUTORS = "snakemake_executor_plugin_"
"""What packages with executors begin with."""
PROFILE_LINE = " for setting default command line arguments."
"""Ends the line in which Snakemake repeats the names of its profiles."""
OWN_EXECUTORS = ("local", "dryrun", "touch")
ASK_FOR_EXECUTOR = ("--e", "--pr", "--w", "--h")
"""What options begin with that name an executor, or a profile that may, or list them all; they may be abbreviated."""


def main(argv: Sequence[str]) -> None:
    """Check what Snakemake reads before the Snakefile, if asked to; then be Snakemake."""
    gc.disable()
    sys.path[0] = str(Path.cwd())  # as with `python -m snakemake`
    arguments = list(argv[1:])
    if argv[0] == "check":
        library = str(Path(__file__).resolve().parents[2])
        if Path(library).name == "src":  # where it is installed, it stays behind Python's own
            sys.path.insert(0, library)
        from qatflow.base.cli import status_of
        from qatflow.workflow import precheck

        if status := status_of(precheck.main, arguments):
            sys.exit(status)
    try:
        other = may_use_other_executor(arguments)
    except OSError as error:
        sys.exit(f"error: {error.filename}: Snakemake reads this profile, and it cannot be read: {error.strerror}")
    if not other:
        _know_own_executors_alone()
    name_the_user()
    from snakemake import cli

    gc.freeze()
    gc.enable()
    cli.print = _print
    sys.argv = ["snakemake", *arguments]
    cli.main(arguments)


def name_the_user() -> None:
    """Let Snakemake, which asks for the user's name, have the number where there is no name (`docker run --user`)."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        getpass.getuser = lambda: str(os.getuid())


def _print(*words: Any, **where: Any) -> None:
    """Print what Snakemake's start prints, except for the line on profiles, which tells nobody anything new."""
    if not "".join(map(str, words)).endswith(PROFILE_LINE):
        print(*words, **where)


def may_use_other_executor(argv: Sequence[str]) -> bool:
    """Return whether Snakemake's arguments, or a profile that it reads by itself, may name an executor of a package."""
    if "SNAKEMAKE_PROFILE" in os.environ or any(map(_asks_for_executor, argv)):
        return True
    packages = [module.name for module in pkgutil.iter_modules() if module.name.startswith(EXECUTORS)]
    names = [package.removeprefix(EXECUTORS).replace("_", "-") for package in packages]
    texts = [*argv, *(path.read_text(errors="replace") for path in _profiles(argv))]
    return any(word in text for word in ("executor", *names) for text in texts)


def _asks_for_executor(argument: str) -> bool:
    if argument.startswith("--"):
        return argument.startswith(ASK_FOR_EXECUTOR)
    return argument.startswith("-") and ("e" in argument or "h" in argument)  # -e, also behind others: -ne


def _profiles(argv: Sequence[str]) -> Iterator[Path]:
    """Yield the files of profiles that Snakemake looks for without being asked to: in the folder, by the Snakefile."""
    named = [Path(argument.rpartition("=")[2]) for argument in argv if "\0" not in argument]
    beside = [path.parent for path in named if os.path.isfile(path)]  # noqa: PTH113  # Path's raises for a long name
    for folder in (Path(), Path("workflow"), *beside):
        for place in (folder / "default", folder / "profiles/default"):
            yield from filter(Path.is_file, (place, *place.glob("*.yaml")))


def _know_own_executors_alone() -> None:
    from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

    def collect(registry: Any) -> None:
        registry.plugins = {}
        for name in OWN_EXECUTORS:
            registry.register_plugin(name, import_module(f"snakemake.executors.{name}"))

    ExecutorPluginRegistry.collect_plugins = collect


if __name__ == "__main__":
    main(sys.argv[1:])
