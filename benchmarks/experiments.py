"""The data sets of the accuracy benchmark: their configuration, with the benchmark's budget and quantisation types."""

from dataclasses import dataclass
from pathlib import Path

from qatflow.config.load import load_config
from qatflow.config.read_recipe import load_compress
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.config import Config
from qatflow.data.manifest import FILE, Manifest, read_manifest
from qatflow.data.preparation.prepare import Settings, prepare

DEFAULT = Path("config/config.yaml")  # relative to the repository's root, as Snakemake has it
CONFIGURATIONS = {"digits": (DEFAULT, Path("config/test.yaml")), "fashion": (DEFAULT,)}
EPOCHS = {"digits": (12, 10), "fashion": (6, 2)}
"""Epochs of float training and of training for int8; one epoch has 10 steps on the digits, 430 on Fashion-MNIST."""


@dataclass(frozen=True)
class Budget:
    """Epochs of float training, and of the training for int8 that follows."""

    float_epochs: int
    qat_epochs: int


@dataclass(frozen=True)
class Experiment:
    """A data set's configuration with the budget's epochs.

    Attributes:
        config: the configuration, with the budget's float epochs.
        compress: the compress YAML, with the budget's epochs; the last one is exported.
    """

    config: Config
    compress: CompressConfig

    @property
    def budget(self) -> Budget:
        """The epochs."""
        return Budget(self.config.pretrained.train.epochs, self.compress.compressor.epoch)

    def quantised_as(self, weights: str, activations: str, bits: int = 8) -> CompressConfig:
        """Return the compress YAML with these quantisation types, and width of the weights, in its only strategy."""
        types = {"weight_quantize_type": weights, "activation_quantize_type": activations, "weight_bits": bits}
        return self.compress.model_copy(
            update={"strategies": {name: s.model_copy(update=types) for name, s in self.compress.strategies.items()}}
        )


def experiment(
    dataset: str, float_epochs: int | None, qat_epochs: int | None, architecture: str | None = None
) -> Experiment:
    """Return a data set's experiment; None stands for the benchmark's default number of epochs, or network."""
    config = load_config(CONFIGURATIONS[dataset], {"model": {"architecture": architecture}} if architecture else None)
    compress = load_compress(Path(config.compress.config))
    train = config.pretrained.train.model_copy(update={"epochs": float_epochs or EPOCHS[dataset][0]})
    epochs = qat_epochs or EPOCHS[dataset][1]
    last = {name: s.model_copy(update={"end_epoch": epochs - 1}) for name, s in compress.strategies.items()}
    compressor = compress.compressor.model_copy(update={"epoch": epochs})
    return Experiment(
        config.model_copy(update={"pretrained": config.pretrained.model_copy(update={"train": train})}),
        compress.model_copy(update={"strategies": last, "compressor": compressor}),
    )


def prepared(config: Config, folder: Path) -> Manifest:
    """Return the data set in `folder`, after preparing it if necessary.

    Raises:
        UserError: the source is not installed and cannot be downloaded.
    """
    if (folder / FILE).is_file():
        return read_manifest(folder)
    return prepare(Settings.of(config.data, config.seed_of("data")), folder)
