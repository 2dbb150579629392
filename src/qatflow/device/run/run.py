"""Run the models on a device, time them, and compare their outputs with the host's; write report.json."""

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from qatflow.base import provenance
from qatflow.base.files import sha256, write_text
from qatflow.config.sections.device import DeviceSection
from qatflow.device.build.bundle import Bundle, open_bundle
from qatflow.device.interface import Device, DeviceSettings
from qatflow.device.results.report import (
    FILE,
    FORMAT,
    TEXT,
    Agreement,
    DeviceAccuracy,
    DeviceReport,
    LongTiming,
    ModelReport,
    Models,
    TensorForm,
    write_report,
)
from qatflow.device.results.warnings import held_back, not_stable, ratio, slower_than_float
from qatflow.device.results.words import left_out, times
from qatflow.device.run.demo import Demo
from qatflow.device.run.inputs import FLOAT, ModelFolder, Pictures, read_pictures
from qatflow.device.run.instructions import count_instructions
from qatflow.device.run.operator_instructions import operator_instructions
from qatflow.device.run.registry import device_settings, open_device
from qatflow.device.run.timing import Measured, temperatures_around, threads_to_time, time_long, time_models
from qatflow.device.run.tolerance import float_tolerance_of, tolerance_of
from qatflow.device.run.verify import verify
from qatflow.device.timing_rules import RULES, TimingRules
from qatflow.tflite.precision import precision_of
from qatflow.tflite.run import TensorType
from qatflow.tflite.slow_layers import slow_layers


@dataclass(frozen=True)
class RunSettings:
    """What to run.

    Attributes:
        device: the device to run on.
        pictures: number of validation pictures, starting with the first.
        tolerance: greatest difference of an output of the int8 model from the host's, as in `verify.verify`; None: as
            the model's type needs (`tolerance.tolerance_of`). The float model has at least `tolerance.FLOAT_TOLERANCE`.
        threads: numbers of threads to time with; the pictures run with the first.
        warmup: runs before the timed ones.
        repeats: timed runs.
        count_instructions: whether to count instructions, if the device can.
        rules: of a long timing besides; None: none.
    """

    device: DeviceSettings
    pictures: int
    tolerance: float | None
    threads: tuple[int, ...]
    warmup: int
    repeats: int
    count_instructions: bool = True
    rules: TimingRules | None = None

    @staticmethod
    def of(section: DeviceSection) -> "RunSettings":
        """Return the settings that the configuration's section of a device says."""
        return RunSettings(
            device=device_settings(section),
            pictures=section.pictures,
            tolerance=section.tolerance,
            threads=tuple(section.threads),
            warmup=section.warmup,
            repeats=section.repeats,
            count_instructions=section.count_instructions,
            rules=RULES.get(section.rules),
        )


def run_demo(
    settings: RunSettings,
    int8_dir: Path,
    float_dir: Path | None,
    library: Path,
    manifest: Path,
    output_dir: Path,
    packed: Path | None = None,
) -> str:
    """Run both models on the device, compare them with the host, and write the results.

    `output_dir` gets output.txt, the program's output for the int8 model and an input of ones, and report.json. Older
    ones are removed first, and a failed run leaves neither. Times and warnings are printed to stderr.

    Args:
        settings: what to run, and where.
        int8_dir: the model that ships: model.tflite, labels.txt, preprocessing.json.
        float_dir: the float model, with the same files; None if there is none.
        library: the built demo, inference_lite_lib.<target>.
        manifest: manifest.json of the data set.
        output_dir: folder of the results.
        packed: the packed form of the model that ships, which the device gets in place of the .tflite; None: it gets
            the .tflite.

    Returns:
        The text of output.txt.

    Raises:
        UserError: something is missing, the device failed, or host and device disagree: then it names the picture, the
            class, both values, and the first layer that differs.
    """
    text_file, report_file = output_dir / TEXT, output_dir / FILE
    for file in (text_file, report_file):
        file.unlink(missing_ok=True)
    models = [ModelFolder("int8", int8_dir, packed)]
    if float_dir is not None:
        models.append(ModelFolder(FLOAT, float_dir))
    bundle = open_bundle(library)
    pictures = {model: read_pictures(model, manifest, settings.pictures) for model in models}

    with open_device(settings.device) as device:
        text, report = _run(settings, device, bundle, pictures, manifest)
    for line in (*times(report), *(f"warning: {warning}" for warning in report.warnings)):
        print(line, file=sys.stderr)
    write_text(text_file, text)
    write_report(report_file, report)
    return text


def _run(
    settings: RunSettings, device: Device, bundle: Bundle, pictures: dict[ModelFolder, Pictures], manifest: Path
) -> tuple[str, DeviceReport]:
    """Run on an open device; return the program's output for the first model, and the report."""
    demo, models = Demo(device, bundle), list(pictures)
    about = demo.description
    counts = threads_to_time(settings.threads, about)
    shipped, *others = ((model.files["model.tflite"].read_bytes(), model.host.output) for model in models)
    tolerance = tolerance_of(*shipped, settings.tolerance)
    tolerances = (tolerance, *(float_tolerance_of(*content, tolerance) for content in others))
    for model, allowed in zip(models, tolerances, strict=True):
        print(f"{model.name}: allowed difference from the host: {allowed.text()}", file=sys.stderr)
        demo.push_model(model.sent, model.name)
    # timed first: running the pictures warms the device
    before = device.temperatures()
    measured = time_models(demo, models, counts, settings.warmup, settings.repeats)
    long: list[LongTiming] | list[None] = [None] * len(models)
    if settings.rules is not None:
        long = time_long(demo, device, models, counts[0], settings.warmup, settings.rules)
    temperature = temperatures_around(before, device)
    verified = [
        verify(demo, model, shown, allowed, counts[0])
        for (model, shown), allowed in zip(pictures.items(), tolerances, strict=True)
    ]
    counted = [
        count_instructions(device, bundle, model.name, runs=1) if settings.count_instructions else None
        for model in models
    ]
    # of the model that ships; and of float, if that does not take more, to see which operator is at fault
    fewer = counted[-1] is None or counted[0] is None or counted[0] < counted[-1]
    for place, model in enumerate(models if not fewer else models[:1]):
        if settings.count_instructions:
            profile = operator_instructions(device, bundle, demo, model.name, measured[place].profile)
            measured[place] = replace(measured[place], profile=profile)
    reports = [
        replace(_model_report(model, *right, fast, instructions), long_timing=over_tries)
        for model, right, fast, instructions, over_tries in zip(models, verified, measured, counted, long, strict=True)
    ]
    both = Models(int8=reports[0], float=reports[1] if len(reports) > 1 else None)
    skipped = tuple(number for number in settings.threads if number not in counts)
    files = [file for model in models for file in {**model.files, **model.sent}.values()]
    inputs = [*files, bundle.manifest, manifest]
    return measured[0].text, DeviceReport(
        format_version=FORMAT,
        device=about,
        litert_version=bundle.litert_version,
        models=both,
        ratio=ratio(both),
        threads_left_out=skipped,
        temperature=temperature,
        warnings=(
            *left_out(skipped, about),
            *held_back(about),
            *not_stable(both, about),
            *slower_than_float(both, about, precision_of(models[0].files["model.tflite"]).short),
            *slow_layers(shipped[0]),
        ),
        provenance=provenance.record(inputs, asdict(settings)),
    )


def _model_report(
    model: ModelFolder, agreement: Agreement, accuracy: DeviceAccuracy, fast: Measured, instructions: int | None
) -> ModelReport:
    file = model.files["model.tflite"]
    return ModelReport(
        sha256=sha256(file),
        bytes=file.stat().st_size,
        packed_bytes=None if model.packed is None else model.packed.stat().st_size,
        input=_form(model.host.input),
        output=_form(model.host.output),
        agreement=agreement,
        accuracy=accuracy,
        timing=fast.timing,
        profile=fast.profile,
        instructions=instructions,
    )


def _form(tensor: TensorType) -> TensorForm:
    return TensorForm(str(tensor.dtype), tensor.shape)
