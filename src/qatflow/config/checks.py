"""What the types of the configuration cannot say: combinations, and files that must exist."""

from collections.abc import Iterator

from qatflow.config.compress_model import CompressConfig
from qatflow.config.data_checks import check_data
from qatflow.config.model import Config
from qatflow.config.model_checks import check_model
from qatflow.config.paths import file_problem
from qatflow.config.pretrained_checks import check_pretrained
from qatflow.config.ready_checks import check_quantized_model
from qatflow.config.validate import Problem, problem
from qatflow.device.cpus import find_cpu
from qatflow.device.sysroot import CORES
from qatflow.errors import UserError

COMPARISON = "comparison"


def check_config(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with the combination of values, and which files are missing."""
    yield from check_data(config)
    if config.quantized_model.given:
        yield from check_quantized_model(config)
    else:
        for above, made in zip(((), ("teacher",)), config.float_models(), strict=False):
            for found in (*check_model(made), *check_pretrained(made)):
                yield Problem(tuple((*above, *keys) for keys in found.keys), found.message)
    yield from _device(config)
    yield from _demo(config)
    if config.experiment.lower() == COMPARISON:
        yield problem("is the name of the folder with the comparison of all experiments: choose another", "experiment")
    if config.method == "auto" and config.accuracy.max_drop is None:
        yield problem(
            "must be a number with method 'auto', which trains where ptq loses more than that; with null it never "
            "would: set method to 'ptq' instead",
            "accuracy.max_drop",
            "method",
        )


def check_together(config: Config, compress: CompressConfig) -> Iterator[Problem]:
    """Yield what is wrong with the configuration together with its compress YAML."""
    last, every = compress.compressor.epoch - 1, compress.compressor.eval_epoch
    for strategy in compress.quantizations().values():
        epochs = range(strategy.start_epoch, strategy.end_epoch + 1)
        evaluated = [epoch for epoch in epochs if every and ((epoch + 1) % every == 0 or epoch == last)]
        if config.compress.export == "best" and not evaluated:
            yield problem(
                f"'best' needs an epoch that is evaluated, from start_epoch {strategy.start_epoch} to end_epoch "
                f"{strategy.end_epoch}; with compressor.eval_epoch {every} in {config.compress.config} there is none",
                "compress.export",
                "compress.config",
            )


def _device(config: Config) -> Iterator[Problem]:
    if config.device.type == "adb" and config.device.serial is None:
        yield problem(
            "is missing: type 'adb' needs the serial number that `adb devices` prints", "device.serial", "device.type"
        )
    if config.device.type == "emulator" and config.device.serial is not None:
        yield problem("is for type 'adb': remove it, or set device.type to 'adb'", "device.serial", "device.type")
    if config.device.type == "emulator":
        try:
            find_cpu(config.device.cpu)
        except UserError as error:
            yield problem(str(error), "device.cpu", "device.type")
    if config.device.type == "emulator" and config.device.max_latency_ms is not None:
        yield problem(
            "is for type 'adb': emulated times say nothing of a real device. Remove it, or set device.type to 'adb'",
            "device.max_latency_ms",
            "device.type",
        )
    threads = config.device.threads
    if config.device.type == "emulator" and threads[0] > CORES:
        yield problem(
            f"begins with {threads[0]}, and the emulator has {CORES} cores: begin with no more",
            "device.threads",
            "device.type",
        )
    if doubled := sorted({number for number in threads if threads.count(number) > 1}):
        yield problem(f"has {', '.join(map(str, doubled))} more than once", "device.threads")


def _demo(config: Config) -> Iterator[Problem]:
    device = config.device
    target, toolchain, kind, aar = "device.target", "device.toolchain", "device.type", "device.aar"
    if device.toolchain == "clang" and device.target != "android.armv8":
        yield problem("'clang' is the Android NDK's, which builds for target 'android.armv8' alone", toolchain, target)
    elif device.toolchain == "clang" and device.type == "emulator":
        yield problem(
            "programs of 'clang' need Android's own libraries, which the emulator does not have: set it to 'gcc', or "
            "device.type to 'adb'",
            toolchain,
            kind,
        )
    if device.target == "linux.x86_64" and device.type == "emulator":
        yield problem(
            "the emulator runs arm64 programs: choose another target, or set device.type to 'adb'", target, kind
        )
    if device.toolchain == "gcc" and device.aar is not None:
        yield problem("is for toolchain 'clang': remove it, or set device.toolchain to 'clang'", aar, toolchain)
    elif device.toolchain == "clang" and device.aar is None:
        yield problem(
            "is missing: toolchain 'clang' needs LiteRT for Android, litert-<version>.aar (Maven: "
            "com.google.ai.edge.litert:litert)",
            aar,
            toolchain,
        )
    elif device.aar is not None:
        if reason := file_problem(device.aar):
            yield problem(reason, aar)
        elif not device.aar.endswith(".aar"):
            yield problem(f"{device.aar} is no .aar, the kind of archive that Android projects use", aar)
