"""Folders that several experiments share: what is made in one must have the same settings for all of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qatflow.config.sections.config import Config
from qatflow.config.sections.devices import devices
from qatflow.config.yaml.keys import Keys
from qatflow.config.yaml.problems import Problem


@dataclass(frozen=True)
class SharedFolder:
    """A folder that experiments may share.

    Attributes:
        folder: its name.
        key: the key that names it.
        settings: the settings that its content is made with, by key.
        written_at: the keys that these settings are written at, by dotted key, if these differ.
    """

    folder: str
    key: Keys
    settings: Mapping[str, Any]
    written_at: Mapping[str, Keys] = field(default_factory=dict)


def clashes(configs: Mapping[str, Config]) -> Iterator[tuple[str, Problem]]:
    """Yield each folder that two experiments would fill with different settings, with the second one's name.

    Args:
        configs: the configuration of each experiment, by name.
    """
    for folders_of in (_data, _pretrained, _demos):
        first: dict[str, tuple[str, Mapping[str, Any]]] = {}
        for name, config in configs.items():
            for shared in folders_of(config):
                other, settings = first.setdefault(shared.folder, (name, shared.settings))
                differing = _differing(settings, shared.settings)
                if not differing:
                    continue
                whose = "another of its devices" if other == name else f"experiment {other}"
                ways = (shared.written_at.get(way, tuple(way.split("."))) for way in differing)
                yield (
                    name,
                    Problem(
                        (shared.key, *ways),
                        f"'{shared.folder}' is also that of {whose}, with another {', '.join(differing)}: give one of "
                        "the two another name, or both the same settings",
                    ),
                )


def _data(config: Config) -> Iterator[SharedFolder]:
    yield SharedFolder(config.data.name, ("data", "name"), _data_settings(config))


def _data_settings(config: Config) -> dict[str, Any]:
    return {"data": config.data.model_dump() | {"seed": config.seed_of("data")}}


def _pretrained(config: Config) -> Iterator[SharedFolder]:
    if config.quantized_model.given:
        return  # such an experiment has no float weights
    for above, model in zip(((), ("teacher",)), config.float_models(), strict=False):
        settings = {
            "pretrained": model.pretrained.model_dump() | {"seed": model.seed_of("pretrained")},
            "model": model.model.model_dump(exclude={"keep_in_float"}),
            **_data_settings(model),
        }
        yield SharedFolder(model.pretrained.name, (*above, "pretrained", "name"), settings)


def _demos(config: Config) -> Iterator[SharedFolder]:
    for device in devices(config):
        folder = f"build.lite.{device.section.target}.{device.section.toolchain}"
        settings = {"device": {"aar": device.section.aar}}
        yield SharedFolder(folder, device.own("toolchain"), settings, {"device.aar": device.keys("aar")})


def _differing(settings: Mapping[str, Any], others: Mapping[str, Any], above: str = "") -> list[str]:
    """Return the dotted keys whose values differ."""
    keys = []
    for key, value in settings.items():
        if isinstance(value, dict):
            keys += _differing(value, others[key], f"{above}{key}.")
        elif value != others[key]:
            keys.append(f"{above}{key}")
    return keys
