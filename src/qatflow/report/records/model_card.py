"""The model card beside the model: what it is, what it was trained on, what it does, and what it does not do.

Its sections are those of Mitchell et al. 2019, Model Cards for Model Reporting (FAT* 2019, 220-229).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qatflow.base.files import sha256
from qatflow.base.measure import measure_in, share
from qatflow.base.metrics import wilson
from qatflow.report.change import signed
from qatflow.report.records.run import NOT_STATED, FinishedRun

METHODS = {
    "qat": "trained for it (quantisation-aware training)",
    "ptq": "quantised after training",
    "ready": "came quantised, and was not trained here",
}
STEPS = ("epoch", "batch_size", "learning_rate", "weight_decay", "augmentation")


def model_card(run: FinishedRun, evaluation: Mapping[str, Any]) -> str:
    """Return the text of MODEL_CARD.md; `evaluation` is the content of evaluation.json."""
    sections = {
        "The model": _model(run),
        "Intended use": [run.card["intended_use"] or NOT_STATED.capitalize() + "."],
        "Data": _data(run),
        "Training": _training(run),
        "Figures": _figures(run, evaluation),
        "Limits": _limits(run),
        "Licence and contact": _licence(run),
    }
    title = f"# {run.summary['experiment']}\n\n{run.summary['verdict']['sentence']}\n"
    return title + "".join(f"\n## {name}\n\n" + "\n".join(lines) + "\n" for name, lines in sections.items())


def _model(run: FinishedRun) -> Iterator[str]:
    summary, nodes = run.summary, run.summary["network"]
    in_float = [node["name"] for node in nodes if node["role"] == "float"]
    bits = sorted({node["weight_bits"] for node in nodes if node["weight_bits"] is not None})
    first = run.config["model"]
    yield f"* File: `{run.model.name}`, {run.model.stat().st_size:,} bytes, SHA-256 `{sha256(run.model)}`"
    yield f"* Kind: image classifier as .tflite in {summary['quantised_words']}, {METHODS[summary['shipped']]}"
    if summary["shipped"] != "ready":
        own = first["file"] or first["function"] or first["architecture"]
        named = f"{own}, " if own else ""
        yield f"* Network: {named}weights {run.config['pretrained']['name']}, {len(nodes)} operators"
        yield f"* Input: {_input(run)}; `preprocessing.json` beside the model says how it is made of a picture"
    yield f"* Output: {_classes(run)} classes, in the order of `labels.txt`"
    if bits:
        yield f"* Bits of the weights: {', '.join(map(str, bits))} (the least that hold a layer's weights)"
    yield f"* Layers in float: {', '.join(in_float) if in_float else 'none'}"
    yield f"* Made: {summary['made'][:10]}, by qatflow {summary['provenance']['commit'] or ''}".rstrip()


def _classes(run: FinishedRun) -> int:
    return int(run.summary["data"]["classes"])


def _input(run: FinishedRun) -> str:
    size = run.config["data"]["preprocessing"]["size"]
    height, width = size if isinstance(size, list) else (size, size)
    return f"{height}×{width} pixels"


def _data(run: FinishedRun) -> Iterator[str]:
    data = run.summary["data"]
    yield f"* Pictures: {data['origin']} ({data['name']})"
    yield "* Splits: " + ", ".join(f"{count:,} {name}" for name, count in data["splits"].items())
    yield f"* Classes: {data['classes']}"
    yield f"* Rejected: {data['rejected']:,}"
    if not measure_in(run.summary).is_accuracy:
        yield "* Labels: none; the float model's answers serve as labels"
    yield f"* Licence of the data: {data['licence'] or NOT_STATED}"


def _training(run: FinishedRun) -> Iterator[str]:
    summary, config = run.summary, run.config
    if summary["shipped"] == "ready":
        yield "The model came trained and quantised."
        return
    pretrained = config["pretrained"]
    yield f"* Float weights: {pretrained['name']} (source: {pretrained['source']})"
    for curve in summary["curves"]:
        exported = curve["exported_epoch"]
        of = "" if exported is None else f"; epoch {exported} is exported"
        yield f"* Training of {curve['name']}: {len(curve['epochs'])} epochs{of}"
    for section, name in ((pretrained["train"], "float"), (config["compress"], summary["quantised"])):
        if any(curve["name"] == name for curve in summary["curves"]):
            known = ", ".join(f"{key} {section[key]}" for key in STEPS if section.get(key) is not None)
            yield f"* Settings of {name}: {known}" if known else f"* Settings of {name}: see config.yaml"
    yield f"* Seed: {config['seed']}"
    yield "* All settings: `../config.yaml` and `../compress.yaml`; the whole run: `../ro-crate-metadata.json`"


def _figures(run: FinishedRun, evaluation: Mapping[str, Any]) -> Iterator[str]:
    measure, models = measure_in(evaluation), evaluation["models"]
    if measure.about:
        yield measure.about + "\n"
    yield f"On {run.summary['test_pictures']:,} test pictures, with 95 % intervals (Wilson; of changes, paired):"
    yield ""
    shipped = run.summary["shipped"]
    if measure.is_accuracy:
        yield "| model | top-1, % | interval | change against float, points | interval | bytes |"
        yield "|---|---|---|---|---|---|"
        for key in [name for name in ("float", shipped) if name in models]:
            yield _row("float" if key == "float" else "this model", models[key])
    else:
        yield f"| model | {measure.name}, % | interval | bytes |"
        yield "|---|---|---|---|"
        cells = ("float", "", "", f"{models['float']['bytes']:,}"), ("this model", *_share(models[shipped]))
        yield from (f"| {' | '.join(row)} |" for row in (cells[0], (*cells[1], f"{models[shipped]['bytes']:,}")))
    devices = run.summary["on_device"]
    yield ""
    for device in devices:
        measured = {figure["name"]: figure for figure in device["figures"] if figure["int8_model"] is not None}
        shown = [
            f"{name} {figure['int8_model']:,.{figure['digits']}f}"
            for name, figure in measured.items()
            if "median" in name or "percentile" in name or "instructions" in name or "memory" in name
        ]
        yield f"* On {device['device']}: {'; '.join(shown)}"
    if not devices:
        yield "* On a device: not run"
    worst = sorted(run.summary["classes"], key=lambda one: one["right"])[:3]
    shown = [
        f"{one['label']} {100 * one['right']:.1f} % of {one['pictures']:,} pictures"
        f" ({100 * one['low']:.1f} … {100 * one['high']:.1f})"
        for one in worst
    ]
    weakest = "Weakest classes" if measure.is_accuracy else "Classes with the least agreement with float"
    yield f"* {weakest}: {'; '.join(shown)}"


def _row(name: str, measured: Mapping[str, Any]) -> str:
    drop = measured.get("against_float")
    change = "", ""
    if drop is not None:
        change = signed(0.0 - drop["points"]), f"{signed(0.0 - drop['high'])} … {signed(0.0 - drop['low'])}"
    cells = (name, *_share(measured), *change)
    return f"| {' | '.join(cells)} | {measured['bytes']:,} |"


def _share(measured: Mapping[str, Any]) -> tuple[str, str]:
    low, high = wilson(round(share(measured) * measured["pictures"]), measured["pictures"])
    return f"{100 * share(measured):.2f}", f"{100 * low:.2f} … {100 * high:.2f}"


def _limits(run: FinishedRun) -> Sequence[str]:
    lines = []
    if run.card["limits"]:
        lines.append(run.card["limits"] + "\n")
    lines.append(f"* It knows {_classes(run)} classes, and answers with one of them for any picture.")
    if not measure_in(run.summary).is_accuracy:
        lines.append("* How often it is right is not known: the pictures have no labels.")
    lines.append("* The figures hold for pictures like those of the data; nothing is known of others.")
    for gate in run.summary["gates"]:
        if gate["state"] not in ("passed", "not set"):
            lines.append(f"* The gate of {gate['name']} is {gate['state']}: {gate['measured']}; {gate['limit']}.")
    if any(device["emulated"] for device in run.summary["on_device"]):
        lines.append("* Times are of an emulator, and say nothing about a real device.")
    return lines


def _licence(run: FinishedRun) -> Iterator[str]:
    card = run.card
    link = f" (<{card['licence_url']}>)" if card["licence_url"] else ""
    yield f"* Licence of the model: {card['licence'] or NOT_STATED}{link}"
    yield f"* Licence of the data: {run.summary['data']['licence'] or NOT_STATED}"
    yield f"* Authors: {', '.join(card['authors']) or NOT_STATED}"
    yield f"* Contact: {card['contact'] or NOT_STATED}"
