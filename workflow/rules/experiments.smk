"""Which experiment a job belongs to, and what it takes from that one's configuration."""

import hashlib

from qatflow.config.sections.devices import devices
from qatflow.device.build.targets import find_target
from qatflow.models.own_function import source_files
from qatflow.config.named_files import quantized_model_file, weights_file

DEPLOYED = ("model.tflite", "labels.txt", "preprocessing.json", "optimization.json")


def kept_in_float(config):
    """Return what tells a choice of layers in float from others in a folder's name: nothing where there are none."""
    names = config.model.keep_in_float
    digest = hashlib.sha256(json.dumps(names).encode()).hexdigest()
    return f"_float_{digest[:12]}" if names else ""


# What a wildcard stands for: experiments that share data or float weights agree in what these are made with.
OF = {
    "experiment": CONFIGS,
    "pretrained": {
        made.pretrained.name: made
        for config in CONFIGS.values()
        if not config.quantized_model.given
        for made in config.float_models()
    },
    "dataset": {config.data.name: config for config in CONFIGS.values()},
}
WEIGHTS = {
    name: weights_file(config, Path("pretrain/download"))
    for name, config in OF["pretrained"].items()
}
# Models that are quantised already: nothing is trained then, and there is no float model beside them.
READY = {
    name: quantized_model_file(config, Path("pretrain/download"))
    for name, config in CONFIGS.items()
    if config.quantized_model.given
}
# A configuration with each choice of layers in float, by what the folder of the model quantised after training ends in.
KEPT_IN_FLOAT = {kept_in_float(config): config for config in CONFIGS.values()}
# The devices of each experiment, by name.
DEVICES = {
    name: {device.section.name: device.section for device in devices(config)}
    for name, config in CONFIGS.items()
}
# The demos that are wanted, by target and toolchain, each with a device that it is for.
DEMOS = {
    (device.target, device.toolchain): device
    for of_experiment in DEVICES.values()
    for device in of_experiment.values()
}
DOWNLOADED = {}
for file in [*WEIGHTS.values(), *READY.values()]:
    if file and file.url and DOWNLOADED.setdefault(file.path.name, file) != file:
        sys.exit(
            f"error: {file.url} and {DOWNLOADED[file.path.name].url} are kept by one name, {file.path.name}:"
            " give one of them by a file here"
        )


wildcard_constraints:
    dataset="|".join(OF["dataset"]),
    pretrained="|".join(OF["pretrained"]),
    experiment="|".join(CONFIGS),
    device="|".join(
        {name for of_experiment in DEVICES.values() for name in of_experiment}
    ),
    target="|".join({target.replace(".", "[.]") for target, _ in DEMOS}),
    toolchain="|".join({toolchain for _, toolchain in DEMOS}),


def of(wildcards):
    """Return the configuration of a job: its experiment's, or that of any experiment which shares the job."""
    kind = next(kind for kind in OF if kind in wildcards.keys())
    return OF[kind][wildcards[kind]]


def data_manifest(wildcards):
    """Return the manifest of a job's data set."""
    return f"data/{of(wildcards).data.name}/manifest.json"


def pretrained_file(file):
    """Return an input function for a file of a job's float model."""
    return (
        lambda wildcards: f"pretrain/{of(wildcards).pretrained.name}_pretrained/{file}"
    )


def shared_float_model(wildcards):
    """Return the files of the float .tflite that all experiments with a job's weights have."""
    folder = f"pretrain/{of(wildcards).pretrained.name}_float_opt"
    return [f"{folder}/{file}" for file in DEPLOYED]


def shared_ptq_model(wildcards):
    """Return the files of the model quantised after training that all experiments with a job's weights and layers have."""
    config = of(wildcards)
    folder = f"pretrain/{config.pretrained.name}_ptq{kept_in_float(config)}"
    return [f"{folder}/{file}" for file in DEPLOYED]


def device_of(wildcards):
    """Return the device of a job."""
    found = DEVICES[wildcards.experiment]
    if wildcards.device not in found:
        raise WorkflowError(
            f"{wildcards.experiment} has no device {wildcards.device}, but {', '.join(found)}"
        )
    return found[wildcards.device]


def teacher_files(wildcards):
    """Return the files of the network that distillation follows, where there is one beside the float model."""
    config, compress = of(wildcards), COMPRESS[wildcards.experiment]
    if config.teacher is None or not compress.distils():
        return []
    folder = f"pretrain/{config.teacher.pretrained.name}_pretrained"
    return [f"{folder}/model", f"{folder}/weights"]


def init_model_files(wildcards):
    """Return the files of the graph that training begins with, where that is not the float model."""
    folder = COMPRESS[wildcards.experiment].compressor.init_model
    if folder is None:
        return []
    # the same name as that of the rule which makes it
    folder = os.path.normpath(folder)
    return [f"{folder}/model", f"{folder}/weights"]


def on_its_devices(*files):
    """Return an input function for files that an experiment's runs on its devices leave."""
    return lambda wildcards: expand(
        files, experiment=wildcards.experiment, device=DEVICES[wildcards.experiment]
    )


def demo_file(file):
    """Return an input function for a file of the demo that is built for a job's device."""

    def path(wildcards):
        device = device_of(wildcards)
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


def saved_files(path):
    """Return the files of a saved model: itself, or those of a SavedModel folder."""
    if not path.is_dir():
        return [str(path)]
    return sorted(str(file) for file in path.rglob("*") if file.is_file())


def weights_of(wildcards):
    """Return the files that float weights are read from, where they are not trained here or the model's own."""
    weights = WEIGHTS[wildcards.pretrained]
    return saved_files(weights.path) if weights else []


def own_model_of(wildcards):
    """Return the files of a model of the user's own: those it is saved in, or its function's code."""
    model = of(wildcards).model
    if model.function:
        return [os.path.relpath(path) for path in source_files(model.function)]
    return saved_files(Path(model.file)) if model.file else []


def ready_files(wildcards):
    """Return the files of a model that is quantised already."""
    path = READY[wildcards.experiment].path
    return (
        [f"{path}/{name}" for name in ("model", "weights")]
        if path.is_dir()
        else [str(path)]
    )


def of_each(*files):
    """Return files of each experiment."""
    return expand(files, experiment=CONFIGS)


def of_each_made_here(*files):
    """Return files of each experiment whose float model is at hand."""
    return expand(files, experiment=[name for name in CONFIGS if name not in READY])


def on_each_device(*files):
    """Return files of each experiment's runs on its devices."""
    return [
        path
        for name in CONFIGS
        for path in expand(files, experiment=name, device=DEVICES[name])
    ]
