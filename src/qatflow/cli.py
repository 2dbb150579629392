"""How the command-line programs end."""

import sys
from collections.abc import Callable, Sequence

from qatflow.errors import UserError


def entry(main: Callable[[Sequence[str]], int | None]) -> None:
    """Run `main(argv)` and leave the process with its status.

    A `UserError` becomes one line on stderr and status 1; a traceback is kept for our own mistakes.
    """
    try:
        status = main(sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130
    sys.exit(status or 0)
