"""`python -m qatflow COMMAND …`, also installed as `qatflow`."""

from qatflow.base.cli import entry
from qatflow.commands.table import main


def run() -> None:
    """Start a command and exit with its status."""
    entry(main)


if __name__ == "__main__":
    run()
