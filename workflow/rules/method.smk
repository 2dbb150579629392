"""Which model goes to the device, and what is needed only where it is a trained one."""

from snakemake.exceptions import IncompleteCheckpointException

from qatflow.base.sums import read_sealed

# What a gate that is open leaves, beside the file with what it measured.
ACCURACY_PASSED = "results/{experiment}/.gate_passed"
PAGE = "results/{experiment}/report/report.html"
LATENCY_PASSED = "results/{experiment}/device/{device}/.gate_passed"


def written(path):
    """Return what a checkpoint's file says; where it has changed since it was written the run ends."""
    try:
        return read_sealed(Path(path))
    except UserError as error:
        sys.exit(f"error: {error}")


def shipped(experiment):
    """Return which model goes to the device, `ready`, `ptq` or `qat`; with method auto, once choose_method has run."""
    if experiment in READY:
        return "ready"
    if CONFIGS[experiment].method != "auto":
        return CONFIGS[experiment].method
    found = checkpoints.choose_method.get(experiment=experiment).output[0]
    return written(found)["method"]


def shipped_file(file):
    """Return an input function for a file of the folder that goes to the device."""

    def path(wildcards):
        experiment = wildcards.experiment
        end = {"ready": "ready", "ptq": "ptq", "qat": "opt"}[shipped(experiment)]
        return str(Path("results", experiment, f"{experiment}_{end}", file))

    return path


def accuracy_passed(wildcards):
    """Return the gate that a model passes before it runs on a device, for the order: another limit measures nothing again.

    With method auto the mark has a time: behind an ancient one Snakemake did not see that another model ships.
    """
    passed = ACCURACY_PASSED.format(experiment=wildcards.experiment)
    return passed if CONFIGS[wildcards.experiment].method == "auto" else ancient(passed)


def made_here(file):
    """Return an input function for a file that is needed only where the float model is at hand.

    Args:
        file: a path with wildcards, or an input function.
    """

    def path(wildcards):
        if wildcards.experiment in READY:
            return []
        return (
            file(wildcards)
            if callable(file)
            else file.format(experiment=wildcards.experiment)
        )

    return path


def ready_model(file):
    """Return an input function for a file that is needed only where the model is quantised already."""

    def path(wildcards):
        ready = wildcards.experiment in READY
        return file.format(experiment=wildcards.experiment) if ready else []

    return path


def where_trained(*files):
    """Return an input function for files that are needed only where training for int8 ships."""

    def paths(wildcards):
        trained = shipped(wildcards.experiment) == "qat"
        return expand(files, experiment=wildcards.experiment) if trained else []

    return paths


def rival(wildcards):
    """Return the model quantised after training that a trained one must not be worse than: none of a thinner network."""
    if COMPRESS[wildcards.experiment].thins():
        return []
    return where_trained("results/{experiment}/{experiment}_ptq/model.tflite")(
        wildcards
    )


def float_of_its_shape(wildcards):
    """Return the float model that the shipped one is held to layer by layer: a thinner network to its own real values."""
    name = wildcards.experiment
    if shipped(name) == "qat" and COMPRESS[name].thins():
        return expand(
            "results/{experiment}/trained/{file}",
            experiment=name,
            file=["model", "weights"],
        )
    return f"results/{name}/{name}_float_opt/model.tflite"


def flag_where(name, of):
    """Return a params function for the flag `--name`, given only where the input `of` is there."""

    def flag(wildcards, input):
        return f"--{name} {input[of]}" if input[of] else ""

    return flag


def training_time(experiment):
    """Return the benchmark file of an experiment's training, where the trained model goes to the device."""
    trained = shipped(experiment) == "qat"
    return [f"logs/train_int8/{experiment}.jsonl"] if trained else []


def training_times(wildcards):
    """Return the benchmark files of all such experiments."""
    return [path for name in CONFIGS for path in training_time(name)]


def gate_is_open(experiment):
    """Return whether an experiment's model may go to the device, once gate_accuracy has run."""
    found = checkpoints.gate_accuracy.get(experiment=experiment).output[0]
    return written(found)["passed"]


def gate_is_closed(experiment):
    """Return whether the gate is closed; not before gate_accuracy has run: what reads gate.json is planned again then."""
    try:
        return not gate_is_open(experiment)
    except IncompleteCheckpointException:
        return False


def report_where_closed(wildcards):
    """Return what is made before a closed gate ends the run, for the order: it is wanted most then."""
    # not ancient: behind an ancient one Snakemake did not see that the gate is another
    closed = gate_is_closed(wildcards.experiment)
    return [f"results/{wildcards.experiment}/summary.json"] if closed else []


def on_its_devices_where_open(*files):
    """Return an input function for files that an experiment's runs on its devices leave: none where its gate is closed."""
    return lambda wildcards: (
        []
        if gate_is_closed(wildcards.experiment)
        else on_its_devices(*files)(wildcards)
    )


def on_device_where_open(*files):
    """Return an input function for files of the runs on the devices, of the experiments whose gate is open."""
    return lambda wildcards: [
        path
        for name in CONFIGS
        if gate_is_open(name)
        for path in dict.fromkeys(expand(files, experiment=name, device=DEVICES[name]))
    ]


def reports_of_all(wildcards):
    """Return the reports of all experiments, once their gates say what these have."""
    for name in CONFIGS:
        gate_is_open(name)
    return of_each("results/{experiment}/summary.json")


def compared(wildcards):
    """Return the options that name each experiment, its devices, and how long it trained, for the comparison."""
    return job_options.compared(
        job_options.Compared(
            name=name,
            shipped=shipped(name),
            devices=list(DEVICES[name]) if gate_is_open(name) else [],
            training=next(iter(training_time(name)), None),
        )
        for name in CONFIGS
    )


def comparison(wildcards):
    """Return the files of the comparison, where there is something to compare."""
    return rules.compare_experiments.output if len(CONFIGS) > 1 else []
