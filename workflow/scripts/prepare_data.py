"""Turn a source of labelled pictures into TFRecord shards, labels, a calibration list and a manifest."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.config.sections.base import SEEDS
from qatflow.config.sections.flags import json_object, within
from qatflow.data.preparation.prepare import Settings, prepare
from qatflow.data.preprocess import Preprocessing
from qatflow.data.sources.source_files import SPLITS
from qatflow.data.sources.table import SOURCES


def main(argv: Sequence[str]) -> None:
    """Run the program with these arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="name of the data set")
    parser.add_argument("--source", required=True, help=f"{', '.join(sorted(SOURCES))}, or tfds:NAME")
    parser.add_argument("--path", type=Path, help="folder or file of the source; default: the source's own")
    parser.add_argument(
        "--validation", type=within(int, 1), default=5000, help="pictures set aside where the source has none"
    )
    parser.add_argument("--test", type=within(int, 1), default=360, help="pictures set aside where the source has none")
    parser.add_argument("--test-from", choices=SPLITS[:2], default="train", help="split they are set aside from")
    parser.add_argument(
        "--calibration", type=within(int, 1), default=200, help="training pictures on the calibration list"
    )
    parser.add_argument(
        "--shards", type=within(int, 1, 1024), default=4, help="files of the training split; others in proportion"
    )
    parser.add_argument(
        "--max-rejected", type=within(float, 0, 1), default=0.01, help="share of rejected pictures that is borne"
    )
    parser.add_argument(
        "--convert", choices=("True", "False"), default="True", help="whether odd pictures become PNG, or are rejected"
    )
    parser.add_argument("--seed", type=within(int, 0, SEEDS - 1), default=1)
    parser.add_argument(
        "--preprocessing", type=json_object, required=True, help="JSON: size, resize, channels, mean, std, …"
    )
    parser.add_argument("--cores", type=within(int, 1), default=1, help="processes that read pictures")
    parser.add_argument("--output", type=Path, required=True, help="folder to write; replaced whole")
    arguments = vars(parser.parse_args(argv))
    output, cores = arguments.pop("output"), arguments.pop("cores")
    arguments["convert"] = arguments["convert"] == "True"
    arguments["preprocessing"] = Preprocessing.from_json(arguments["preprocessing"])
    start = time.perf_counter()
    manifest = prepare(Settings(**arguments), output, cores)
    counts = ", ".join(f"{split.count} {name}" for name, split in manifest.splits.items())
    print(
        f"{manifest.dataset}: {manifest.classes} classes, {counts}, {manifest.rejected} rejected, "
        f"{manifest.converted} converted, in {time.perf_counter() - start:.1f} s"
    )


if __name__ == "__main__":
    entry(main)
