"""The devices of a configuration: the one of `device`, or those that `devices` lists."""

from dataclasses import dataclass

from qatflow.config.sections.config import Config
from qatflow.config.sections.device import DeviceSection

OWN = ("name", "serial", "host", "port", "identity")
"""Keys that tell devices apart: a listed device does not take them from `device`."""


@dataclass(frozen=True)
class ConfiguredDevice:
    """A device that the models run on, with the keys that set it.

    Attributes:
        section: its settings.
        index: its place in `devices`; None for the one of `device`.
        own_keys: the keys that are written at the device itself.
    """

    section: DeviceSection
    index: int | None
    own_keys: frozenset[str]

    def keys(self, key: str) -> tuple[str | int, ...]:
        """Return the key that sets one of its settings: its own, or the one in `device` that all devices share."""
        return self.own(key) if key in self.own_keys or key in OWN else ("device", key)

    def own(self, key: str) -> tuple[str | int, ...]:
        """Return the key that sets one of its settings for this device alone."""
        return ("device", key) if self.index is None else ("devices", self.index, key)


def devices(config: Config) -> list[ConfiguredDevice]:
    """Return the devices of a configuration; a listed one takes from `device` what it does not set itself."""
    if not config.devices:
        return [ConfiguredDevice(config.device, None, frozenset(config.device.model_fields_set))]
    shared = config.device.model_dump(exclude=set(OWN))
    configured = []
    for index, listed in enumerate(config.devices):
        own = listed.model_dump(exclude_unset=True)
        configured.append(ConfiguredDevice(DeviceSection.model_validate(shared | own), index, frozenset(own)))
    return configured
