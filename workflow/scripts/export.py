"""Write the trained graph as float/, int8/ and mobile/, as the compress YAML's save paths say."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.base.places import configured
from qatflow.config.read_recipe import load_compress
from qatflow.config.sections.flags import json_object
from qatflow.export.export import export


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trained", type=Path, required=True, help="folder of the trained graph")
    parser.add_argument("--config", type=configured, required=True, help="compress YAML")
    parser.add_argument("--overrides", type=json_object, default={}, help="JSON: values in place of the YAML's, by key")
    parser.add_argument("--strategy", required=True, help="name of the strategy in the YAML")
    parser.add_argument("--experiment", type=Path, required=True, help="folder that the YAML's paths are relative to")
    arguments = parser.parse_args(argv)
    strategies = load_compress(arguments.config, arguments.overrides).quantizations()
    for target in export(arguments.trained, strategies[arguments.strategy], arguments.experiment):
        print(f"{target.kind}: {target.folder}")


if __name__ == "__main__":
    entry(main)
