"""The table of subcommands, and the program that starts them: `qatflow COMMAND …`."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PROGRAM = "qatflow"


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        module: with `main(argv)`; imported only when the command is called.
        about: what it does, in a line.
    """

    module: str
    about: str


COMMANDS: Mapping[str, Command] = {
    "init": Command("qatflow.commands.init", "write a configuration for a folder of pictures, a model, or both"),
    "inspect": Command("qatflow.commands.inspect", "the layers of a model file: types, scales, widths, sizes"),
    "optimize": Command("qatflow.commands.optimize", "a model file as the folder with the .tflite for the device"),
    "run": Command("qatflow.commands.run", "run the workflow in this folder (Snakemake); a wheel's is put here first"),
    "diff": Command("qatflow.commands.diff", "what differs between two results: settings, figures, layers"),
}


def usage() -> str:
    """Return the text of `--help`."""
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {command.about}" for name, command in COMMANDS.items())
    return f"usage: {PROGRAM} COMMAND …\n\n{listed}\n\n`{PROGRAM} COMMAND --help` explains a command."


def main(argv: Sequence[str]) -> int | None:
    """Start the command that the first argument names; return its status."""
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0 if argv else 2
    if argv[0] not in COMMANDS:
        print(f"error: {argv[0]}: no such command\n\n{usage()}", file=sys.stderr)
        return 2
    status: int | None = importlib.import_module(COMMANDS[argv[0]].module).main(argv[1:])
    return status
