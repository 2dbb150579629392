"""The only error type whose text is meant for the user."""


class UserError(Exception):
    """A mistake, or something missing, that the user can fix.

    The message is complete: what happened, where (file, line, key or layer), and what to do.
    Programs print it alone, without a traceback, and exit with status 1 (see `qatflow.base.cli.entry`).
    """
