"""What a job asks a cluster for: its expected cost with a margin, and twice as much at each further attempt."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qatflow.workflow import cost
from qatflow.workflow.cost import LIGHT, Cost
from qatflow.workflow.plan import Plan, Wildcards

Asked = Mapping[str, Callable[..., int]]
"""Memory (`mem_mb`) and time (`runtime`, in minutes), as functions that Snakemake calls for a job."""
_Expected = Callable[[Wildcards, dict[str, int]], Cost]
"""What a job is expected to take, from its wildcards and the pictures of each split."""
_ExpectedOnCores = Callable[[Wildcards, dict[str, int], int], Cost]
"""The same where it also depends on the job's cores."""


@dataclass(frozen=True)
class JobResources:
    """What the jobs of each kind ask for: the mappings are the `resources` of their rules.

    Where the cost depends on the pictures, the rule's input `data` is their manifest. Until they are prepared a dry run
    says <TBD>; Snakemake asks again before it starts the job.

    Attributes:
        plan: the run's.
    """

    plan: Plan

    @property
    def light(self) -> Asked:
        """What programs ask for that look at few pictures or none."""
        return _light(lambda threads: cost.LIGHT_SECONDS)

    @property
    def building(self) -> Asked:
        """What the build of the C++ program asks for."""
        return _light(lambda threads: cost.BUILD_SECONDS)

    @property
    def device_run(self) -> Asked:
        """What a run on a device asks for: its program waits for it."""

        def seconds(wildcards: Wildcards, input: Any, threads: int) -> float:
            manifest = Path(str(input.data))
            validation = cost.pictures(manifest)["validation"] if manifest.is_file() else None
            return cost.device_run(self.plan.config_of(wildcards), self.plan.device_of(wildcards), validation).seconds

        return _light(seconds)

    def device_threads(self, cores: int) -> Callable[[Wildcards], int]:
        """Return a function for the threads of a run on a device: all cores where that is this machine itself.

        None are taken from other jobs for the others: a phone computes by itself, and times in the emulator mean
        nothing.
        """
        return lambda wildcards: cores if self.plan.device_of(wildcards).runs_here else 0

    @property
    def float_training(self) -> Asked:
        """What the training of a float model asks for."""
        return _by_pictures(lambda wildcards, counts: cost.float_training(self.plan.config_of(wildcards), counts))

    @property
    def int8_training(self) -> Asked:
        """What training for int8 asks for."""

        def expected(wildcards: Wildcards, counts: dict[str, int]) -> Cost:
            epochs = self.plan.recipe_of(wildcards).compressor.epoch
            return cost.int8_training(self.plan.config_of(wildcards), counts, epochs)

        return _by_pictures(expected)

    @property
    def candidate_evaluation(self) -> Asked:
        """What the evaluation of a search's candidate asks for."""

        def expected(wildcards: Wildcards, counts: dict[str, int]) -> Cost:
            search = self.plan.recipe_of(wildcards).search
            assert search is not None
            return cost.candidate_evaluation(self.plan.config_of(wildcards), counts, search.retrain_epoch)

        return _by_pictures(expected)

    @property
    def fake_quant_evaluation(self) -> Asked:
        """What the evaluation of the fake-quantised graph asks for."""
        return _by_pictures(
            lambda wildcards, counts: cost.fake_quant_evaluation(self.plan.config_of(wildcards), counts)
        )

    @property
    def validation_by_litert(self) -> Asked:
        """What LiteRT asks for on the validation pictures, with three models at most."""
        return self._by_litert("validation")

    @property
    def test_by_litert(self) -> Asked:
        """What LiteRT asks for on the test pictures, with three models at most."""
        return self._by_litert("test")

    @property
    def labels_by_litert(self) -> Asked:
        """What LiteRT asks for where the float model labels all pictures."""

        def expected(wildcards: Wildcards, counts: dict[str, int], cores: int) -> Cost:
            return cost.inference(self.plan.config_of(wildcards), sum(counts.values()), models=1, cores=cores)

        return _by_pictures_and_cores(expected)

    @property
    def calibration_by_litert(self) -> Asked:
        """What LiteRT asks for on the calibration pictures: float and int8, and every tensor of both is read."""

        def expected(wildcards: Wildcards, counts: dict[str, int], cores: int) -> Cost:
            config = self.plan.config_of(wildcards)
            return cost.inference(config, config.data.calibration, models=5, cores=cores)

        return _by_pictures_and_cores(expected)

    @property
    def layers_by_litert(self) -> Asked:
        """What LiteRT asks for where each layer is looked at, and is exchanged by itself."""

        def expected(wildcards: Wildcards, counts: dict[str, int], cores: int) -> Cost:
            return cost.inspection(self.plan.config_of(wildcards), counts["validation"], cores)

        return _by_pictures_and_cores(expected)

    @property
    def widths_by_litert(self) -> Asked:
        """What LiteRT asks for where each layer is tried in each precision."""

        def expected(wildcards: Wildcards, counts: dict[str, int], cores: int) -> Cost:
            auto = self.plan.recipe_of(wildcards).quantization.auto_bits
            assert auto is not None
            pictures = min(auto.pictures, counts["validation"])
            return cost.choice_of_widths(self.plan.config_of(wildcards), pictures, auto.precisions, cores)

        return _by_pictures_and_cores(expected)

    def gpus(self, wildcards: Wildcards) -> int:
        """Return how many GPUs a training asks for: none where it takes what is there."""
        return self.plan.config_of(wildcards).hardware.gpus or 0

    def _by_litert(self, split: str) -> Asked:
        def expected(wildcards: Wildcards, counts: dict[str, int], cores: int) -> Cost:
            return cost.inference(self.plan.config_of(wildcards), counts[split], models=3, cores=cores)

        return _by_pictures_and_cores(expected)


def _light(seconds: Callable[..., float]) -> Asked:
    """Return what light programs ask for; `seconds` is what one is expected to take, for qatflow.workflow.expected."""

    def runtime(wildcards: Wildcards, attempt: int) -> int:
        return LIGHT.runtime_minutes(attempt)

    runtime.seconds = seconds  # type: ignore[attr-defined]
    return {"mem_mb": lambda wildcards, attempt: LIGHT.memory_mb(attempt), "runtime": runtime}


def _by_pictures(expected: _Expected) -> Asked:
    def job_cost(wildcards: Wildcards, input: Any) -> Cost:
        return expected(wildcards, cost.pictures(Path(input.data)))

    def runtime(wildcards: Wildcards, input: Any, attempt: int) -> int:
        return job_cost(wildcards, input).runtime_minutes(attempt)

    # for qatflow.workflow.expected, which asks for the time without its margin
    runtime.seconds = lambda wildcards, input: job_cost(wildcards, input).seconds  # type: ignore[attr-defined]
    return {
        "mem_mb": lambda wildcards, input, attempt: job_cost(wildcards, input).memory_mb(attempt),
        "runtime": runtime,
    }


def _by_pictures_and_cores(expected: _ExpectedOnCores) -> Asked:
    def job_cost(wildcards: Wildcards, input: Any, threads: int) -> Cost:
        return expected(wildcards, cost.pictures(Path(input.data)), threads)

    def runtime(wildcards: Wildcards, input: Any, threads: int, attempt: int) -> int:
        return job_cost(wildcards, input, threads).runtime_minutes(attempt)

    runtime.seconds = lambda wildcards, input, threads: job_cost(wildcards, input, threads).seconds  # type: ignore[attr-defined]
    return {
        "mem_mb": lambda wildcards, input, threads, attempt: job_cost(wildcards, input, threads).memory_mb(attempt),
        "runtime": runtime,
    }
