"""What a job asks a cluster for: what it is expected to take, with a margin, and twice as much at each further attempt."""

from qatflow.workflow import cost
from qatflow.workflow.cost import LIGHT, Cost


def asks(expected):
    """Return memory and time for a rule's resources.

    `expected` is a Cost, or a function of wildcards, configuration and the pictures of each split. Until these are
    prepared a dry run says <TBD>; Snakemake asks again before it starts the job.
    """

    def found(wildcards, input):
        if isinstance(expected, Cost):
            return expected
        return expected(wildcards, of(wildcards), cost.pictures(Path(input.data)))

    return {
        "mem_mb": lambda wildcards, input, attempt: found(wildcards, input).memory_mb(
            attempt
        ),
        "runtime": lambda wildcards, input, attempt: found(
            wildcards, input
        ).runtime_minutes(attempt),
    }


def gpus_of(wildcards):
    """Return how many GPUs a training asks for: none where it takes what is there."""
    return of(wildcards).hardware.gpus or 0


def float_training(wildcards, config, pictures):
    return cost.float_training(config, pictures)


def int8_training(wildcards, config, pictures):
    epochs = COMPRESS[wildcards.experiment].compressor.epoch
    return cost.int8_training(config, pictures, epochs)


def candidate_evaluation(wildcards, config, pictures):
    epochs = SEARCHES[wildcards.experiment].retrain_epoch
    return cost.candidate_evaluation(config, pictures, epochs)


def fake_quant_evaluation(wildcards, config, pictures):
    return cost.fake_quant_evaluation(config, pictures)


def validation_by_litert(wildcards, config, pictures):
    return cost.inference(config, pictures["validation"], models=3)


def test_by_litert(wildcards, config, pictures):
    return cost.inference(config, pictures["test"], models=3)


def calibration_by_litert(wildcards, config, pictures):
    # float and int8, and every tensor of both is looked at
    return cost.inference(config, config.data.calibration, models=5)
