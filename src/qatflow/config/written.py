"""The resolved configuration as YAML files beside the results, from which the same run can be started again."""

from typing import Any

import yaml

from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.base import resolved
from qatflow.config.sections.config import Config
from qatflow.config.sections.devices import devices
from qatflow.config.yaml.scalars import plain_scalar

CONFIG_HEAD = """\
# yaml-language-server: $schema=../../config/schema.json
#
# The whole configuration of these results, with all defaults. To run it again:
#   ./run.sh --configfile results/{experiment}/config.yaml
"""
COMPRESS_HEAD = """\
# yaml-language-server: $schema=../../config/compress.schema.json
#
# The compress YAML of these results, with all includes and defaults. config.yaml beside it names this file.
"""


def written_compress(experiment: str) -> str:
    """Return the path that the compress YAML of an experiment is written to, which its written configuration names."""
    return f"results/{experiment}/compress.yaml"


def as_written(config: Config) -> dict[str, Any]:
    """Return the plain values of a configuration that names the compress YAML written beside it."""
    values = resolved(config)
    for section in ("data", "pretrained"):
        values[section]["seed"] = config.seed_of(section)  # the experiment's own seed may differ
    if config.devices:
        values["devices"] = [resolved(device.section) for device in devices(config)]
    values["compress"] |= {"config": written_compress(config.experiment), "overrides": {}}
    return values


def config_yaml(values: dict[str, Any]) -> str:
    """Return the text of config.yaml for the plain values of a configuration."""
    return CONFIG_HEAD.format(experiment=values["experiment"]) + _dump(resolved(Config.model_validate(values)))


def compress_yaml(values: dict[str, Any]) -> str:
    """Return the text of compress.yaml for the plain values of a compress YAML."""
    return COMPRESS_HEAD + _dump(resolved(CompressConfig.model_validate(values)))


class _Dumper(yaml.SafeDumper):
    """Writes what `read_yaml` reads back: it quotes texts that are numbers in YAML 1.2, but not in YAML 1.1."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal values out instead of using anchors."""
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    try:
        plain = plain_scalar(text) == text
    except ValueError:
        plain = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else "'")


_Dumper.add_representer(str, _text)


def _dump(values: dict[str, Any]) -> str:
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
