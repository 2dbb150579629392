"""Which experiment a job belongs to, and which files it reads: known from the configuration, before anything runs.

The rules take their input functions from here. Those return paths in the working folder.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from snakemake.exceptions import WorkflowError

from qatflow.base.errors import UserError
from qatflow.config.load import Experiment
from qatflow.config.recipe.recipe import (
    AFTER_PTQ,
    AFTER_TRAINING,
    CompressConfig,
    QuantizationStrategySection,
    has_int4_storage,
    least_width,
)
from qatflow.config.recipe.widths import DEVICE
from qatflow.config.sections.base import resolved
from qatflow.config.sections.config import Config
from qatflow.config.sections.device import DeviceSection
from qatflow.config.sections.devices import devices
from qatflow.config.sections.named_files import NamedFile, quantized_model_file, weights_file
from qatflow.data.sources.source_files import named_files
from qatflow.device.build.targets import find_target
from qatflow.models.onnx.file import external_files, is_onnx
from qatflow.models.own_function import source_files

DOWNLOADS = Path("pretrain/download")
DEPLOYED = ("model.tflite", "labels.txt", "preprocessing.json", "optimization.json")
"""The files of a folder that can go to a device."""
STORED_AS_INT4 = "_int4"
"""What the folder of a model ends in that is made of our own graph after training, and has INT4 kernels."""
PACKED = "model.tflite.packed"
"""The packed form of its model, where that has weights of fewer than 8 bits."""
KINDS = {"ptq": "ptq", "qat": "opt", "auto": "opt"}
"""What the folder of the model for the device ends in, by method."""
LIBRARY = "build.lite.{target}.{toolchain}/inference_lite_lib.{target}"
"""The folder of a demo and what it is linked with."""


class Wildcards(Protocol):
    """The wildcards of a job by name: what Snakemake's can do, and a dict."""

    def keys(self) -> Iterable[str]:
        """Return their names."""

    def __getitem__(self, name: str, /) -> str:
        """Return the value of one of them."""


InputFunction = Callable[[Wildcards], str | list[str]]
"""What Snakemake calls for a job's input."""


@dataclass(frozen=True)
class Plan:
    """What a run makes.

    Attributes:
        experiments: those of the run, by name.
        datasets: by name, an experiment that has this data set: all that share one agree in what it is made with.
        float_models: by name of the float model, an experiment that has it, with the teacher's model as its own.
        weights: by name of the float model, the file of its weights; None where they are trained here, or the model's.
        quantized: by experiment, the model that came quantised: nothing is trained, and no float model is beside it.
        devices: by experiment and name.
        demos: by target and toolchain, a device that the demo is built for.
        downloads: the files that are downloaded, by the name that they are kept under.
        ptq_models: an experiment with each choice of layers in float and calibration method, by what
            `shared_ptq_model` ends in with it.
    """

    experiments: Mapping[str, Experiment]
    datasets: Mapping[str, Config]
    float_models: Mapping[str, Config]
    weights: Mapping[str, NamedFile | None]
    quantized: Mapping[str, NamedFile]
    devices: Mapping[str, Mapping[str, DeviceSection]]
    demos: Mapping[tuple[str, str], DeviceSection]
    downloads: Mapping[str, NamedFile]
    ptq_models: Mapping[str, Experiment]

    @classmethod
    def of(cls, experiments: Mapping[str, Experiment]) -> "Plan":
        """Return the plan of these experiments.

        Raises:
            UserError: two different downloads would be kept under one name.
        """
        configs = [experiment.config for experiment in experiments.values()]
        float_models = {
            model.pretrained.name: model
            for config in configs
            if not config.quantized_model.given
            for model in config.float_models()
        }
        weights = {name: weights_file(config, DOWNLOADS) for name, config in float_models.items()}
        quantized = {
            config.experiment: file
            for config in configs
            if (file := quantized_model_file(config, DOWNLOADS)) is not None
        }
        by_experiment = {
            config.experiment: {device.section.name: device.section for device in devices(config)} for config in configs
        }
        return cls(
            experiments=experiments,
            datasets={config.data.name: config for config in configs},
            float_models=float_models,
            weights=weights,
            quantized=quantized,
            devices=by_experiment,
            demos={
                (device.target, device.toolchain): device
                for its_devices in by_experiment.values()
                for device in its_devices.values()
            },
            downloads=_downloads([*weights.values(), *quantized.values()]),
            ptq_models={_ptq_suffix(experiment): experiment for experiment in experiments.values()},
        )

    def wildcard_constraints(self) -> dict[str, str]:
        """Return the regular expression of each wildcard that stands for something of the configuration."""
        return {
            "dataset": "|".join(self.datasets),
            "pretrained": "|".join(self.float_models),
            "experiment": "|".join(self.experiments),
            "device": _any_of(name for its_devices in self.devices.values() for name in its_devices),
            "target": _any_of(target.replace(".", "[.]") for target, _ in self.demos),
            "toolchain": _any_of(toolchain for _, toolchain in self.demos),
        }

    def config_of(self, wildcards: Wildcards) -> Config:
        """Return the configuration of a job: its experiment's, or that of any experiment which shares the job."""
        names = set(wildcards.keys())
        if "experiment" in names:
            return self.experiments[wildcards["experiment"]].config
        if "pretrained" in names:
            return self.float_models[wildcards["pretrained"]]
        return self.datasets[wildcards["dataset"]]

    def recipe_of(self, wildcards: Wildcards) -> CompressConfig:
        """Return the recipe of a job's experiment."""
        return self.experiments[wildcards["experiment"]].compress

    def method_of(self, experiment: str) -> str:
        """Return the method that an experiment asks for: `ptq`, `qat` or `auto`."""
        return self.experiments[experiment].config.method

    def with_float_model(self) -> list[str]:
        """Return the experiments that have a float model."""
        return [name for name in self.experiments if name not in self.quantized]

    def with_method(self, *methods: str) -> list[str]:
        """Return the experiments that have a float model and ask for one of these methods."""
        return [name for name in self.with_float_model() if self.method_of(name) in methods]

    def packed(self) -> list[str]:
        """Return the experiments whose model for the device is packed too: it has weights of fewer than 8 bits."""
        return [name for name in self.experiments if self._narrow(name)]

    def packed_files(self) -> list[str]:
        """Return the packed files of the models that are made for a device, with method auto of the trained one."""
        kinds = {name: "ready" if name in self.quantized else KINDS[self.method_of(name)] for name in self.packed()}
        return [f"results/{name}/{name}_{kind}/{PACKED}" for name, kind in kinds.items()]

    def _narrow(self, experiment: str) -> bool:
        if experiment in self.quantized:
            return self._came_narrow[experiment]
        return least_width(self.experiments[experiment].compress.quantization) < DEVICE

    @cached_property
    def _came_narrow(self) -> dict[str, bool]:
        """Whether most weights of each model that came quantised need fewer than 8 bits: unknown before a download."""
        return {name: file.url is None and _packs(file.path) for name, file in self.quantized.items()}

    # Files of a job

    def prepared_manifest(self, wildcards: Wildcards) -> str:
        """Return the manifest of a job's prepared pictures, whether or not these have labels."""
        return f"data/{self.config_of(wildcards).data.name}/manifest.json"

    def data_manifest(self, wildcards: Wildcards) -> str:
        """Return the manifest of a job's pictures with labels: if there are none, those that the float model gives."""
        config = self.config_of(wildcards)
        if config.data.has_labels:
            return self.prepared_manifest(wildcards)
        return f"pretrain/{config.pretrained.name}_labelled/manifest.json"

    def data_files(self, wildcards: Wildcards) -> list[str]:
        """Return an archive of pictures, or the lists of them: of a tree nothing is an input, it may have a million."""
        data = self.config_of(wildcards).data
        unlabeled = "arrays" if data.source == "arrays" else "folder"
        return [*named_files(data.source, data.path), *named_files(unlabeled, data.unlabeled.path)]

    def pretrained_file(self, file: str) -> InputFunction:
        """Return an input function for a file of a job's float model."""
        return lambda wildcards: f"pretrain/{self.config_of(wildcards).pretrained.name}_pretrained/{file}"

    def weights_files(self, wildcards: Wildcards) -> list[str]:
        """Return the files that float weights are read from, where they are not trained here or the model's own."""
        weights = self.weights[wildcards["pretrained"]]
        return _saved_files(weights.path) if weights else []

    def own_model_files(self, wildcards: Wildcards) -> list[str]:
        """Return the files of a model of the user's own: those it is saved in, or its function's code."""
        model = self.config_of(wildcards).model
        if model.function:
            return [os.path.relpath(path) for path in source_files(model.function)]
        return _saved_files(Path(model.file)) if model.file else []

    def quantized_model_files(self, wildcards: Wildcards) -> list[str]:
        """Return the files of a model that came quantised."""
        path = self.quantized[wildcards["experiment"]].path
        return [f"{path}/{name}" for name in ("model", "weights")] if path.is_dir() else _saved_files(path)

    def shared_float_model(self, wildcards: Wildcards) -> list[str]:
        """Return the files of the float .tflite that all experiments with a job's weights have."""
        folder = f"pretrain/{self.config_of(wildcards).pretrained.name}_float_opt"
        return [f"{folder}/{file}" for file in DEPLOYED]

    def shared_ptq_stage(self, wildcards: Wildcards) -> str:
        """Return the name of the job that made it: the float model, and what its folder ends in."""
        experiment = self.experiments[wildcards["experiment"]]
        return f"{experiment.config.pretrained.name}{_ptq_suffix(experiment)}"

    def shared_ptq_model(self, wildcards: Wildcards) -> list[str]:
        """Return the files of the model quantised after training that all of these weights, layers and method share."""
        experiment = self.experiments[wildcards["experiment"]]
        folder = f"pretrain/{_after_training(experiment, 'ptq')}{_stored(experiment)}"
        return [f"{folder}/{file}" for file in DEPLOYED]

    def own_ptq_stage(self, wildcards: Wildcards) -> str:
        """Return the name of the job that makes such a model of our own graph, when that is quantised."""
        return self.shared_ptq_stage(wildcards) + _stored(self.experiments[wildcards["experiment"]])

    @property
    def ptq_suffix(self) -> str:
        """The regular expression of what the folder of such a model by ai-edge-quantizer ends in."""
        return _one_of(name for name, experiment in self.ptq_models.items() if not own_graph(experiment))

    @property
    def own_graph_suffix(self) -> str:
        """The regular expression of what the folder of such a model ends in where it is made of our own graph."""
        return _one_of(name for name, experiment in self.ptq_models.items() if own_graph(experiment))

    def ships_own_graph(self) -> list[str]:
        """Return the experiments whose method is ptq on our own graph."""
        return [name for name in self.with_method("ptq") if own_graph(self.experiments[name])]

    def quantised_graph(self, file: str) -> InputFunction:
        """Return an input function for a file of an experiment's quantised graph: trained, or of `ships_own_graph`."""

        def path(wildcards: Wildcards) -> str:
            experiment = wildcards["experiment"]
            if experiment in self.ships_own_graph():
                return f"pretrain/{_after_training(self.experiments[experiment], 'quantised')}/{file}"
            return f"results/{experiment}/trained/{file}"

        return path

    def teacher_files(self, wildcards: Wildcards) -> list[str]:
        """Return the files of the network that distillation follows, where there is one beside the float model."""
        teacher = self.config_of(wildcards).teacher
        if teacher is None or not self.recipe_of(wildcards).distils():
            return []
        folder = f"pretrain/{teacher.pretrained.name}_pretrained"
        return [f"{folder}/model", f"{folder}/weights"]

    def init_model_files(self, wildcards: Wildcards) -> list[str]:
        """Return the files of the graph that training begins with, where that is not the float model."""
        folder = self.trained_recipe_of(wildcards).compressor.init_model
        if folder is None:
            return []
        folder = os.path.normpath(folder)  # as the rule that makes it names it
        return [f"{folder}/model", f"{folder}/weights"]

    def trained_recipe_of(self, wildcards: Wildcards) -> CompressConfig:
        """Return the recipe of a job's training, in which init_model is a folder."""
        recipe = self.recipe_of(wildcards)
        if recipe.compressor.init_model != AFTER_PTQ:
            return recipe
        folder = f"pretrain/{_after_training(self.experiments[wildcards['experiment']], 'quantised')}"
        compressor = recipe.compressor.model_copy(update={"init_model": folder})
        return recipe.model_copy(update={"compressor": compressor})

    # Devices and demos

    def device_of(self, wildcards: Wildcards) -> DeviceSection:
        """Return the device of a job.

        Raises:
            WorkflowError: the experiment has no such device.
        """
        experiment, name = wildcards["experiment"], wildcards["device"]
        its_devices = self.devices[experiment]
        if name not in its_devices:
            raise WorkflowError(f"{experiment} has no device {name}, but {', '.join(its_devices)}")
        return its_devices[name]

    def first_device(self, wildcards: Wildcards) -> DeviceSection:
        """Return the device that a search's latencies are measured on: the experiment's first."""
        return next(iter(self.devices[wildcards["experiment"]].values()))

    def demo_file(self, file: str) -> InputFunction:
        """Return an input function for a file of the demo that is built for a job's device."""
        return lambda wildcards: f"{_demo_folder(self.device_of(wildcards))}/{file}"

    def first_demo_file(self, file: str) -> InputFunction:
        """Return an input function for a file of the demo that is built for the first device."""
        return lambda wildcards: f"{_demo_folder(self.first_device(wildcards))}/{file}"

    def demo_runtime(self, wildcards: Wildcards) -> dict[str, str]:
        """Return the LiteRT library that a demo is linked with and, if it is fetched, the file that describes it."""
        target, toolchain = wildcards["target"], wildcards["toolchain"]
        aar = self.demos[target, toolchain].aar
        if aar is not None:
            return {"runtime": aar}
        folder = f"resources/litert/{find_target(target, toolchain).machine}"
        return {"runtime": f"{folder}/libLiteRt.so", "about": f"{folder}/libLiteRt.json"}

    # Files of all experiments

    def of_each(self, *patterns: str) -> list[str]:
        """Return the files of each experiment that patterns with `{experiment}` stand for."""
        return files_of(self.experiments, *patterns)

    def of_each_float(self, *patterns: str) -> list[str]:
        """Return such files of each experiment that has a float model."""
        return files_of(self.with_float_model(), *patterns)

    def on_devices_of(self, experiment: str, *patterns: str) -> list[str]:
        """Return the files of an experiment's runs on its devices that patterns with `{device}` stand for."""
        return [
            pattern.format(experiment=experiment, device=device)
            for pattern in patterns
            for device in self.devices[experiment]
        ]

    def on_each_device(self, *patterns: str) -> list[str]:
        """Return such files of each experiment."""
        return [path for name in self.experiments for path in self.on_devices_of(name, *patterns)]


def files_of(experiments: Iterable[str], *patterns: str) -> list[str]:
    """Return the files of these experiments that patterns with `{experiment}` stand for."""
    names = list(experiments)
    return [pattern.format(experiment=name) for pattern in patterns for name in names]


def own_graph(experiment: Experiment) -> bool:
    """Return whether quantisation after training is of our own graph."""
    return experiment.config.ptq.tool == "qatflow"


def _after_training(experiment: Experiment, kind: str) -> str:
    return f"{experiment.config.pretrained.name}_{kind}{_ptq_suffix(experiment)}"


def _stored(experiment: Experiment) -> str:
    stored = own_graph(experiment) and has_int4_storage(experiment.compress.quantization)
    return STORED_AS_INT4 if stored else ""


def _packs(model: Path) -> bool:
    from qatflow.optimize.narrow import kernel_widths  # imported here, because few configurations name such a model

    try:
        return kernel_widths(model).packs
    except (OSError, UserError):  # a file that is damaged, or no such model: the job that adopts it says so
        return False


def _one_of(expressions: Iterable[str]) -> str:
    listed = list(expressions)
    return f"({_any_of(listed)})" if listed else "(?!)"  # the second matches nothing


def _any_of(expressions: Iterable[str]) -> str:
    return "|".join(dict.fromkeys(expressions))


def _downloads(files: Sequence[NamedFile | None]) -> dict[str, NamedFile]:
    by_name: dict[str, NamedFile] = {}
    for file in files:
        if file and file.url and (other := by_name.setdefault(file.path.name, file)) != file:
            raise UserError(
                f"{file.url} and {other.url} are kept by one name, {file.path.name}: give one of them by a file here"
            )
    return by_name


def _ptq_suffix(experiment: Experiment) -> str:
    """Return what tells layers in float and a calibration method from others in a folder's name; nothing by default."""
    if own_graph(experiment):
        return "_graph_" + hashlib.sha256(_own_settings(experiment).encode()).hexdigest()[:12]
    names = list(experiment.config.model.kept_by_name)  # what has no int8 form is in float anyway
    digest = hashlib.sha256(json.dumps(names).encode()).hexdigest()
    method = experiment.compress.quantization.calibration_method
    usual = QuantizationStrategySection.model_fields["calibration_method"].default
    return (f"_float_{digest[:12]}" if names else "") + ("" if method == usual else f"_{method}")


def _own_settings(experiment: Experiment) -> str:
    """Return what a model of our own graph depends on beside the float weights and the data, as JSON."""
    config, strategy = experiment.config, resolved(experiment.compress.quantization)
    types = {key: strategy[key] for key in AFTER_TRAINING}
    return json.dumps([types, resolved(config.ptq), config.model.keep_in_float, config.seed], sort_keys=True)


def _saved_files(path: Path) -> list[str]:
    """Return the files of a saved model: itself, or those of a SavedModel folder."""
    if is_onnx(path):
        return [str(path), *map(str, external_files(path))]
    if not path.is_dir():
        return [str(path)]
    return sorted(str(file) for file in path.rglob("*") if file.is_file())


def _demo_folder(device: DeviceSection) -> str:
    return LIBRARY.format(target=device.target, toolchain=device.toolchain)
