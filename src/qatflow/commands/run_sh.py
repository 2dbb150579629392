"""What `./run.sh` starts: the commands of `qatflow`, and `run` where none is named."""

from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.commands import table

TARGETS_TOO = {"inspect": ("--json",), "optimize": ("--output", "--data", "--int4-storage")}
"""Commands that are also targets of the workflow, with the options that only the command has."""
MODELS = (".tflite", ".keras", ".h5", ".onnx")


def command_line(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of `qatflow`: as they are if the first one is a command, else `run` before them.

    `inspect` and `optimize` are commands if a model, or an option of theirs, is behind them, and targets if not.
    """
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    is_command = name in table.COMMANDS and (name not in TARGETS_TOO or _of_command(rest, TARGETS_TOO[name]))
    return [*arguments] if is_command else ["run", *arguments]


def _of_command(rest: Sequence[str], own: Sequence[str]) -> bool:
    has_option = any(word in ("-h", "--help") or word.partition("=")[0] in own for word in rest)
    model = Path(rest[0]) if rest and not rest[0].startswith("-") else None
    return has_option or (model is not None and (model.suffix in MODELS or model.exists()))


def main(argv: Sequence[str]) -> int | None:
    """Start the command; return its status."""
    return table.main(command_line(argv))


if __name__ == "__main__":
    entry(main)
