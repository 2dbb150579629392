"""Which model of an experiment goes to the device, and which jobs are needed only where it is a trained one.

With method auto, and behind the accuracy gate, that is known when a checkpoint of Snakemake has run: then the functions
here are called again.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakemake.exceptions import IncompleteCheckpointException
from snakemake.io import ancient

from qatflow.base.errors import UserError
from qatflow.base.sums import read_sealed
from qatflow.workflow.job_options import Compared
from qatflow.workflow.plan import PACKED, InputFunction, Plan, Wildcards, own_graph

ACCURACY_PASSED = "results/{experiment}/.gate_passed"
"""What a gate that is open leaves, beside the file with what it measured."""
DEVICE_PASSED = "results/{experiment}/device/{device}/.gate_passed"
PAGE = "results/{experiment}/report/report.html"
SUMMARY = "results/{experiment}/summary.json"
_FOLDER_END = {"ready": "ready", "ptq": "ptq", "qat": "opt"}


@dataclass(frozen=True)
class Shipping:
    """What the experiments ship.

    Attributes:
        plan: the run's.
        method_file: by experiment, the file of its checkpoint `choose_method`; raises `unfinished` until that has run.
        gate_file: by experiment, the file of its checkpoint `gate_accuracy`; raises `unfinished` until that has run.
        unfinished: Snakemake's exception, which has the jobs planned again behind the checkpoint.
    """

    plan: Plan
    method_file: Callable[[str], str]
    gate_file: Callable[[str], str]
    unfinished: type[Exception] = IncompleteCheckpointException

    def shipped(self, experiment: str) -> str:
        """Return which model goes to the device: `ready` (it came quantised), `ptq` or `qat`."""
        if experiment in self.plan.quantized:
            return "ready"
        method = self.plan.method_of(experiment)
        return str(_sealed(self.method_file(experiment))["method"]) if method == "auto" else method

    def trained(self) -> list[str]:
        """Return the experiments whose model trained for int8 goes to the device."""
        return [name for name in self.plan.experiments if self.shipped(name) == "qat"]

    def file(self, name: str) -> InputFunction:
        """Return an input function for a file of the folder that goes to the device."""

        def path(wildcards: Wildcards) -> str:
            experiment = wildcards["experiment"]
            return str(Path("results", experiment, f"{experiment}_{_FOLDER_END[self.shipped(experiment)]}", name))

        return path

    def files(self, *names: str) -> InputFunction:
        """Return an input function for several files of that folder."""
        return lambda wildcards: [str(self.file(name)(wildcards)) for name in names]

    def packed(self, wildcards: Wildcards) -> str | list[str]:
        """Return the packed form of the model that goes to the device, where it has one."""
        return self.file(PACKED)(wildcards) if wildcards["experiment"] in self.plan.packed() else []

    def sent_packed(self, wildcards: Wildcards) -> str | list[str]:
        """Return the packed form of the model, where it has one and the job's device is to get that."""
        return self.packed(wildcards) if self.plan.device_of(wildcards).packed else []

    def where_float(self, file: str | InputFunction) -> InputFunction:
        """Return an input function for a file that is needed only where there is a float model.

        Args:
            file: a path with `{experiment}`, or an input function.
        """

        def path(wildcards: Wildcards) -> str | list[str]:
            if wildcards["experiment"] in self.plan.quantized:
                return []
            return file.format(experiment=wildcards["experiment"]) if isinstance(file, str) else file(wildcards)

        return path

    def where_quantized(self, file: str) -> InputFunction:
        """Return an input function for a file that is needed only where the model came quantised."""
        return lambda wildcards: (
            file.format(experiment=wildcards["experiment"]) if wildcards["experiment"] in self.plan.quantized else []
        )

    def where_trained(self, *files: str) -> InputFunction:
        """Return an input function for files that are needed only where the model trained for int8 ships."""
        return lambda wildcards: self._trained(wildcards["experiment"], *files)

    def best_where_trained(self, best: Callable[[Wildcards], list[str]]) -> InputFunction:
        """Return an input function for what a search has, needed only where the model trained for int8 ships."""
        return lambda wildcards: self._trained(wildcards["experiment"], *best(wildcards))

    def rival(self, wildcards: Wildcards) -> list[str]:
        """Return the model quantised after training that a trained one is held to; none for a thinner network."""
        if self.plan.recipe_of(wildcards).thins():
            return []
        return self._trained(wildcards["experiment"], "results/{experiment}/{experiment}_ptq/model.tflite")

    def float_of_its_shape(self, wildcards: Wildcards) -> str | list[str]:
        """Return the float model that the shipped one is compared with layer by layer: of a thinner network its own."""
        experiment = wildcards["experiment"]
        if self.shipped(experiment) == "qat" and self.plan.recipe_of(wildcards).thins():
            return [f"results/{experiment}/trained/{file}" for file in ("model", "weights")]
        return f"results/{experiment}/{experiment}_float_opt/model.tflite"

    def training_time(self, experiment: str) -> list[str]:
        """Return the benchmark file of an experiment's training, where the trained model ships."""
        return self._trained(experiment, "logs/train_int8/{experiment}.jsonl")

    def training_times(self, wildcards: Wildcards) -> list[str]:
        """Return the benchmark files of all such experiments."""
        return [path for name in self.plan.experiments for path in self.training_time(name)]

    def stages(self, wildcards: Wildcards) -> list[str]:
        """Return the benchmark files of an experiment's stages, in their order.

        They are no inputs: whoever removes the logs wants nothing to run again. A report leaves out what is not there.
        """
        experiment, plan = wildcards["experiment"], self.plan
        config = plan.config_of(wildcards)
        names = [f"prepare_data/{config.data.name}"]
        if experiment in plan.quantized:
            names.append(f"adopt_ready_model/{experiment}")
        else:
            labelled = () if config.data.has_labels else ("label_pictures",)
            rules: tuple[str, ...] = ("make_pretrained", *labelled, "optimize_float")
            names += [f"{rule}/{config.pretrained.name}" for rule in rules]
            own = own_graph(plan.experiments[experiment])
            names.append(f"{'quantise_graph' if own else 'quantise_after_training'}/{plan.shared_ptq_stage(wildcards)}")
            names += [f"optimize_quantised/{plan.own_ptq_stage(wildcards)}"] if own else []
            if self.shipped(experiment) == "qat":
                trained = ("choose_widths", "train_int8", "export_models", "optimize_int8")
                names += [f"{rule}/{experiment}" for rule in (*trained, "evaluate_fake_quant")]
            names.append(f"inspect_layers/{experiment}")
        packed = experiment in plan.packed()
        names += [f"pack_model/{experiment}_{_FOLDER_END[self.shipped(experiment)]}"] if packed else []
        names += [f"{rule}/{experiment}" for rule in ("gate_accuracy", "evaluate_tflite")]
        devices = {} if self.gate_is_closed(experiment) else plan.devices[experiment]
        demos = dict.fromkeys(f"{device.target}.{device.toolchain}" for device in devices.values())
        names += [f"build_mobile_light/{demo}" for demo in demos]
        names += [f"run_on_device/{experiment}.{device}" for device in devices]
        return [f"logs/{name}.jsonl" for name in names]

    def compared(self) -> list[Compared]:
        """Return what the comparison has of each experiment, once their gates say whether they have run on devices."""
        return [
            Compared(
                name=name,
                shipped=self.shipped(name),
                devices=list(self.plan.devices[name]) if self.gate_is_open(name) else [],
                training=next(iter(self.training_time(name)), None),
            )
            for name in self.plan.experiments
        ]

    @property
    def compared_flag(self) -> str:
        """The flag of a report that leads to the comparison, which there is of several experiments."""
        return "--compared" if len(self.plan.experiments) > 1 else ""

    def _trained(self, experiment: str, *files: str) -> list[str]:
        return [file.format(experiment=experiment) for file in files] if self.shipped(experiment) == "qat" else []

    # The accuracy gate

    def gate_is_open(self, experiment: str) -> bool:
        """Return whether an experiment's model may go to the device, once gate_accuracy has run."""
        return bool(_sealed(self.gate_file(experiment))["passed"])

    def gate_is_closed(self, experiment: str) -> bool:
        """Return whether the gate is closed; False until gate_accuracy has run, since its readers are planned again."""
        try:
            return not self.gate_is_open(experiment)
        except self.unfinished:
            return False

    def accuracy_passed(self, wildcards: Wildcards) -> Any:
        """Return the mark of the open gate, for the order: with another limit, a device measures nothing again.

        With method auto the mark has a time: behind an ancient one Snakemake did not see that another model ships.
        """
        experiment = wildcards["experiment"]
        passed = ACCURACY_PASSED.format(experiment=experiment)
        return passed if self.plan.method_of(experiment) == "auto" else ancient(passed)

    def report_where_closed(self, wildcards: Wildcards) -> list[str]:
        """Return what is made before a closed gate ends the run, for the order: it is wanted most then.

        Not as ancient: behind an ancient one Snakemake did not see that the gate is another.
        """
        closed = self.gate_is_closed(wildcards["experiment"])
        return [SUMMARY.format(experiment=wildcards["experiment"])] if closed else []

    def on_devices_where_open(self, *patterns: str) -> InputFunction:
        """Return an input function for files of an experiment's runs on its devices: none where its gate is closed."""

        def paths(wildcards: Wildcards) -> list[str]:
            experiment = wildcards["experiment"]
            return [] if self.gate_is_closed(experiment) else self.plan.on_devices_of(experiment, *patterns)

        return paths

    def on_each_device_where_open(self, *patterns: str) -> InputFunction:
        """Return an input function for files of the runs of all experiments whose gate is open."""

        def paths(wildcards: Wildcards) -> list[str]:
            opened = [name for name in self.plan.experiments if self.gate_is_open(name)]
            return [path for name in opened for path in self.plan.on_devices_of(name, *patterns)]

        return paths

    def all_reports(self, wildcards: Wildcards) -> list[str]:
        """Return the summaries of all experiments, once their gates say what these have."""
        for name in self.plan.experiments:
            self.gate_is_open(name)
        return self.plan.of_each(SUMMARY)


def _sealed(path: str) -> dict[str, Any]:
    """Return what a checkpoint's file says; where it has changed since it was written the run ends."""
    try:
        return read_sealed(Path(path))
    except UserError as error:
        sys.exit(f"error: {error}")
