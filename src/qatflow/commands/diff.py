"""`qatflow diff`: what differs between two results."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from qatflow.base.files import write_json, write_text
from qatflow.report.diff.differences import differences
from qatflow.report.diff.page import page
from qatflow.report.diff.results import read_pair
from qatflow.report.diff.words import text


def main(argv: Sequence[str]) -> None:
    """Print, or write, what differs between two results."""
    parser = argparse.ArgumentParser(
        prog="qatflow diff",
        description="What differs between two results: settings, figures with intervals, layers.",
        epilog="Examples: qatflow diff results/base results/wide; qatflow diff HEAD~1:results/base results/base; "
        "qatflow diff v1 v2 --results results/base --html diff.html",
    )
    place = "results/<experiment>; or a git revision of it, as REVISION or REVISION:FOLDER"
    parser.add_argument("first", metavar="A", help=place)
    parser.add_argument("second", metavar="B", help="what it is compared with, likewise")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="the folder of a revision that names none")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON to FILE; - prints it instead of the text")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page to FILE")
    arguments = parser.parse_args(argv)
    found = differences(*read_pair(arguments.first, arguments.second, arguments.results))
    if arguments.html is not None:
        write_text(arguments.html, page(found))
    if arguments.json == Path("-"):
        print(json.dumps(asdict(found), indent=2, ensure_ascii=False))
        return
    if arguments.json is not None:
        write_json(arguments.json, asdict(found))
    print(text(found), end="")
