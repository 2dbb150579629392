"""A model that goes to the device: the folder that the optimise stage wrote, its model loaded here as well."""

import json
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError
from qatflow.base.sums import check, read_checked
from qatflow.tflite.run import Model

FILES = ("model.tflite", "labels.txt", "preprocessing.json")


class ModelFolder:
    """A model with its labels and preprocessing.

    Attributes:
        name: what it is called in the report, and its folder on the device.
        files: its files, by their names.
        host: the model on this machine.
    """

    def __init__(self, name: str, folder: Path) -> None:
        """Load the model; raises UserError when a file is missing or has changed, or LiteRT cannot load it."""
        self.name, self.files = name, {file: folder / file for file in FILES}
        for file in self.files.values():
            if not file.is_file():
                raise UserError(f"{file} is missing: make the model with `snakemake --cores all optimize`")
            check(file)
        self.host = Model(self.files["model.tflite"])

    def preprocessing(self) -> Any:
        """Return what preprocessing.json says."""
        return json.loads(read_checked(self.files["preprocessing.json"]))
