"""What is wrong with the values of a section, in the words in which a configuration is refused.

`python -m qatflow.config.explain MODULE:CLASS` reads the values as JSON from its standard input and prints a line per
problem. The programs of the workflow start it and do not import it, so a reworded message makes none of their jobs run
again.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from qatflow.base.cli import entry
from qatflow.config.sections.base import Section
from qatflow.config.validate import validate
from qatflow.config.yaml.merge import Merged


def explain(section: type[Section], values: dict[str, Any]) -> list[str]:
    """Return a line per problem of the values: `key: what is wrong, what is allowed`."""
    return [report.text for report in validate(section, Merged(values), lambda _: ())[1]]


def main(argv: Sequence[str]) -> None:
    """Print the problems of the values on the standard input."""
    parser = argparse.ArgumentParser(prog="python -m qatflow.config.explain", description=main.__doc__)
    parser.add_argument("section", metavar="MODULE:CLASS", help="type of the section")
    module, _, name = parser.parse_args(argv).section.partition(":")
    section = getattr(importlib.import_module(module), name)
    print("\n".join(explain(section, json.load(sys.stdin))))


if __name__ == "__main__":
    entry(main)
