"""Time and memory of the stages, from Snakemake's benchmark files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WORDS = {
    "prepare_data": "prepare the pictures",
    "make_pretrained": "float weights",
    "label_pictures": "labels by the float model",
    "quantise_after_training": "quantise after training",
    "quantise_graph": "quantise the graph after training",
    "choose_widths": "choose the widths",
    "train_int8": "train for int8",
    "evaluate_fake_quant": "evaluate with fake quantisation",
    "export_models": "export the models",
    "optimize_float": "optimise the float model",
    "optimize_quantised": "optimise the quantised graph",
    "optimize_int8": "optimise for the device",
    "adopt_ready_model": "check the model that came quantised",
    "pack_model": "pack the model",
    "build_mobile_light": "build the C++ program",
    "run_on_device": "run on the device",
    "inspect_layers": "inspect the layers",
    "gate_accuracy": "accuracy gate",
    "evaluate_tflite": "evaluate on the test pictures",
}


@dataclass(frozen=True)
class Stage:
    """A stage, at its last run.

    Attributes:
        rule: name of its rule.
        of: what it was run for: a data set, a float model, an experiment.
        words: what it does.
        seconds: wall time; of a training that was resumed, since its last start.
        cpu_seconds: time of all cores; None if it was too short to be measured.
        memory_mb: peak resident memory in 10⁶ bytes; None likewise.
    """

    rule: str
    of: str
    words: str
    seconds: float
    cpu_seconds: float | None
    memory_mb: float | None


def stages(files: Sequence[Path]) -> tuple[Stage, ...]:
    """Return the stages; `files` are logs/<rule>/<of>.jsonl, whose last line is the last run. Some may be gone."""
    return tuple(_stage(path) for path in files if path.is_file())


def _stage(path: Path) -> Stage:
    last = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    rule, memory = path.parent.name, _number(last.get("max_rss"))
    return Stage(
        rule=rule,
        of=path.stem,
        words=WORDS[rule],
        seconds=float(last["s"]),
        cpu_seconds=_number(last.get("cpu_time")),
        memory_mb=None if memory is None else memory * 2**20 / 1e6,
    )


def _number(value: object) -> float | None:
    """Return a figure of the file: Snakemake writes null, `NA` or `-` for one that it could not measure."""
    return float(value) if isinstance(value, int | float) else None
