"""Which experiment a job belongs to, and what it takes from that one's configuration."""

from qatflow.device.targets import find_target
from qatflow.pretrained.sources import weights_file

# What a wildcard stands for: experiments that share data or float weights agree in what these are made with.
OF = {
    "experiment": CONFIGS,
    "pretrained": {config.pretrained.name: config for config in CONFIGS.values()},
    "dataset": {config.data.name: config for config in CONFIGS.values()},
}
WEIGHTS = {
    name: weights_file(config, Path("pretrain/download"))
    for name, config in OF["pretrained"].items()
}
# The demos that are wanted, by target and toolchain, each with a device that it is for.
DEMOS = {
    (config.device.target, config.device.toolchain): config.device
    for config in CONFIGS.values()
}
DOWNLOADED = {
    weights.path.stem: weights
    for weights in WEIGHTS.values()
    if weights and weights.url
}


wildcard_constraints:
    dataset="|".join(OF["dataset"]),
    pretrained="|".join(OF["pretrained"]),
    experiment="|".join(CONFIGS),
    device="|".join({config.device.name for config in CONFIGS.values()}),
    target="|".join({target.replace(".", "[.]") for target, _ in DEMOS}),
    toolchain="|".join({toolchain for _, toolchain in DEMOS}),


def of(wildcards):
    """Return the configuration of a job: its experiment's, or that of any experiment which shares the job."""
    kind = next(kind for kind in OF if kind in wildcards.keys())
    return OF[kind][wildcards[kind]]


def flags_of(section, leave_out=()):
    """Return a params function for the flags of a section."""
    return lambda wildcards: flags(getattr(of(wildcards), section), leave_out)


def data_manifest(wildcards):
    """Return the manifest of a job's data set."""
    return f"data/{of(wildcards).data.name}/manifest.json"


def pretrained_file(file):
    """Return an input function for a file of a job's float model."""
    return (
        lambda wildcards: f"pretrain/{of(wildcards).pretrained.name}_pretrained/{file}"
    )


def device_of(wildcards):
    """Return the device of a job."""
    device = of(wildcards).device
    if device.name != wildcards.device:
        raise WorkflowError(
            f"{wildcards.experiment} has no device {wildcards.device}, but {device.name}"
        )
    return device


def device_file(file):
    """Return an input function for a file that an experiment's run on its device leaves."""
    return (
        lambda wildcards: f"results/{wildcards.experiment}/device/{of(wildcards).device.name}/{file}"
    )


def demo_file(file):
    """Return an input function for a file of the demo that is built for a job's device."""

    def path(wildcards):
        device = of(wildcards).device
        folder = LIBRARY.format(target=device.target, toolchain=device.toolchain)
        return f"{folder}/{file}"

    return path


def demo_runtime(wildcards):
    """Return the LiteRT library that a demo is linked with, and for one that is fetched the file that tells of it."""
    target, toolchain = wildcards.target, wildcards.toolchain
    if DEMOS[target, toolchain].aar is not None:
        return {"runtime": DEMOS[target, toolchain].aar}
    folder = f"resources/litert/{find_target(target, toolchain).machine}"
    return {"runtime": f"{folder}/libLiteRt.so", "about": f"{folder}/libLiteRt.json"}


def data_files(wildcards):
    """Return an archive of pictures, or the lists of them: of a tree nothing is an input, it may have a million."""
    data = of(wildcards).data
    return named_files(data.source, data.path)


def weights_of(wildcards):
    """Return the file that float weights are read from, where they are not trained here."""
    weights = WEIGHTS[wildcards.pretrained]
    return [str(weights.path)] if weights else []


def of_each(*files):
    """Return files of each experiment."""
    return expand(files, experiment=CONFIGS)


def on_each_device(*files):
    """Return files of each experiment's run on its device."""
    return [
        file.format(experiment=name, device=config.device.name)
        for name, config in CONFIGS.items()
        for file in files
    ]
