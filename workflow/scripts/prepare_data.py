"""Turn a source of labelled pictures into TFRecord shards, labels, a calibration list and a manifest."""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from qatflow.cli import entry
from qatflow.data.prepare import Settings, prepare
from qatflow.data.preprocess import Preprocessing
from qatflow.data.sources import SOURCES


def main(argv: Sequence[str]) -> None:
    """Run the program with these arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="name of the data set")
    parser.add_argument("--source", required=True, choices=sorted(SOURCES))
    parser.add_argument("--path", type=Path, help="folder of the source; default: the source's own")
    parser.add_argument("--validation", type=int, default=5000, help="pictures set aside where the source has none")
    parser.add_argument("--test", type=int, default=360, help="pictures set aside where the source has none")
    parser.add_argument("--calibration", type=int, default=200, help="training pictures on the calibration list")
    parser.add_argument("--shards", type=int, default=4, help="files of the training split")
    parser.add_argument("--max-rejected", type=float, default=0.01, help="share of unreadable pictures that is borne")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--preprocessing", type=json.loads, required=True, help="JSON: size, resize, channels, mean, std"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write; replaced whole")
    arguments = vars(parser.parse_args(argv))
    output = arguments.pop("output")
    arguments["preprocessing"] = Preprocessing.from_json(arguments["preprocessing"])
    start = time.perf_counter()
    manifest = prepare(Settings(**arguments), output)
    counts = ", ".join(f"{split.count} {name}" for name, split in manifest.splits.items())
    print(
        f"{manifest.dataset}: {manifest.classes} classes, {counts}, {manifest.rejected} rejected, "
        f"{manifest.converted} converted, in {time.perf_counter() - start:.1f} s"
    )


if __name__ == "__main__":
    entry(main)
