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
    """Run `main(argv)` and exit with its status.

    A `UserError` is printed to stderr, without a traceback, and the status is 1; tracebacks are for our own mistakes.
    """
    print_anywhere()
    try:
        status = main(sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130
    sys.exit(status or 0)
