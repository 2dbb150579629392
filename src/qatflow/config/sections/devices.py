"""The devices of a configuration: the one of `device`, or those that `devices` lists."""

from dataclasses import dataclass

from qatflow.config.keys import Keys
from qatflow.config.sections.config import Config
from qatflow.config.sections.device import DeviceSection

OWN = ("name", "serial")
"""Keys that say which device it is: one that is listed does not have them from `device`."""


@dataclass(frozen=True)
class Device:
    """A device that the models are run on.

    Attributes:
        section: its settings.
        index: its place in `devices`; None where it is that of `device`.
        said: the keys that it says itself, there.
    """

    section: DeviceSection
    index: int | None
    said: frozenset[str]

    def keys(self, key: str) -> Keys:
        """Return where one of its settings is said: at the device itself, or for all of them."""
        return self.own(key) if key in self.said or key in OWN else ("device", key)

    def own(self, key: str) -> Keys:
        """Return where one of its settings is said of it alone, or would be."""
        return ("device", key) if self.index is None else ("devices", self.index, key)


def devices(config: Config) -> list[Device]:
    """Return the devices of a configuration; what a listed one does not say is as `device` says."""
    if not config.devices:
        return [Device(config.device, None, frozenset(config.device.model_fields_set))]
    shared = config.device.model_dump(exclude=set(OWN))
    found = []
    for index, one in enumerate(config.devices):
        said = one.model_dump(exclude_unset=True)
        found.append(Device(DeviceSection.model_validate(shared | said), index, frozenset(said)))
    return found
