"""How the command-line programs end."""

import io
import sys
from collections.abc import Callable, Sequence

from qatflow.base.errors import UserError


def print_anywhere() -> None:
    """Print as an escape what the terminal's encoding lacks, such as "…": no program ends because of it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # another in tests
            stream.reconfigure(errors="backslashreplace")


def entry(main: Callable[[Sequence[str]], int | None]) -> None:
    """Run `main(argv)` and leave the process with its status.

    A `UserError` becomes one line on stderr and status 1; a traceback is kept for our own mistakes.
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
