"""The frame of every command-line program: its output encoding, and how it ends."""

import io
import sys
from collections.abc import Callable, Sequence

from qatflow.base.errors import UserError


def print_anywhere() -> None:
    """Print characters that the terminal's encoding lacks, such as "…", as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # tests use other streams
            stream.reconfigure(errors="backslashreplace")


def entry(main: Callable[[Sequence[str]], int | None]) -> None:
    """Run `main(argv)` and exit with its status, as `status_of` has it."""
    sys.exit(status_of(main, sys.argv[1:]))


def status_of(main: Callable[[Sequence[str]], int | None], argv: Sequence[str]) -> int:
    """Run `main(argv)` and return its exit status.

    A `UserError` is printed to stderr, without a traceback, and the status is 1; tracebacks are for our own mistakes.
    """
    print_anywhere()
    try:
        return main(argv) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
