"""Write the resolved configuration and compress YAML beside the results; they give the same run again."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.base.files import write_text
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.base import resolved
from qatflow.config.sections.config import Config
from qatflow.config.sections.options import SectionOption
from qatflow.config.written import compress_yaml, config_yaml


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--config", action=SectionOption, section=Config, required=True, help="the resolved configuration"
    )
    parser.add_argument(
        "--recipe", action=SectionOption, section=CompressConfig, required=True, help="the resolved compress YAML"
    )
    parser.add_argument("--config-yaml", type=Path, required=True, help="config.yaml to write")
    parser.add_argument("--compress-yaml", type=Path, required=True, help="compress.yaml to write")
    arguments = parser.parse_args(argv)
    write_text(arguments.compress_yaml, compress_yaml(resolved(arguments.recipe)))
    write_text(arguments.config_yaml, config_yaml(resolved(arguments.config)))


if __name__ == "__main__":
    entry(main)
