"""The one error type whose text is meant for the user."""


class UserError(Exception):
    """A mistake or a missing thing that the user can put right.

    The message is complete: what happened, where (file, line, key or layer), and what to do.
    Programs print it alone, without a traceback, and exit with status 1 (see `qatflow.base.cli.entry`).
    """
