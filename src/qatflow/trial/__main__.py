"""Try the way of a graph to the device: what to try comes as JSON on standard input, a problem as one line."""

import json
import sys
from dataclasses import replace
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.data.manifest import read_manifest
from qatflow.data.reader import calibration
from qatflow.graph.store import load
from qatflow.quantise.placement import QuantSettings
from qatflow.trial.lowering import lower_on_trial

PICTURES = 8
"""Calibration pictures that the scales are of."""


def main() -> int:
    """Return 0 where the int8 model runs, else 1, with the problem on standard output."""
    asked = json.load(sys.stdin)
    try:
        settings = replace(QuantSettings.default(), **asked["settings"])
        pictures = calibration(read_manifest(Path(asked["data"])), PICTURES)
        lower_on_trial(load(Path(asked["graph"])), settings, pictures, asked["inputs"], asked["outputs"])
    except UserError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
