"""The differences as rows of texts, which the plain text and the page share, and as plain text."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qatflow.base.columns import aligned
from qatflow.report.change import signed
from qatflow.report.diff.differences import Differences, Layer, Metric, Setting

SETTINGS = ("setting", "first", "second")
METRICS = ("figure", "first", "second", "change", "95 % interval")
LAYERS = ("layer", "bits", "scale of the weights", "scale of the output", "SQNR, dB", "also")
SHOWN = {"weight_bits": "{:d}", "weight_scale_high": "{:.4g}", "scale": "{:.4g}", "sqnr_db": "{:.1f}"}
"""Facts with a column of their own, and their form."""
LISTED = {
    "operator": "operator", "shape": "shape", "type": "type", "activation": "activation",
    "zero_point": "zero point", "clipped": "clipped share",
}  # fmt: skip
"""Facts that are listed where they differ. The JSON has all; a scale of weights is the greatest of its channels."""


def setting_cells(setting: Setting) -> tuple[str, ...]:
    """Return a setting as a row of `SETTINGS`."""
    return (setting.key, _value(setting.first), _value(setting.second))


def _value(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def metric_cells(metric: Metric) -> tuple[str, ...]:
    """Return a figure as a row of `METRICS`."""
    change = "" if metric.change is None else signed(metric.change, metric.digits)
    if metric.ratio is not None:
        change = f"{metric.ratio:.3f}×"
    interval = metric.interval
    ends = "" if interval is None else f"{signed(interval.low)} … {signed(interval.high)}"
    if interval is not None and not interval.paired:
        ends += ", not paired"
    values = ("" if value is None else f"{value:,.{metric.digits}f}" for value in (metric.first, metric.second))
    return (metric.name, *values, change, ends)


def layer_cells(layer: Layer) -> tuple[str, ...]:
    """Return a layer as a row of `LAYERS`."""
    if layer.state != "changed":
        facts = layer.first or layer.second
        shown = (_fact(facts.get(name), form) for name, form in SHOWN.items())
        return (layer.name, *shown, layer.state)
    columns = (_pair(layer, name, form) for name, form in SHOWN.items())
    others = (f"{words} {_pair(layer, name, '{:.3g}')}" for name, words in LISTED.items() if name in layer.changed)
    return (layer.name, *columns, "; ".join(others))


def _pair(layer: Layer, name: str, form: str) -> str:
    first, second = (_fact(facts.get(name), form) for facts in (layer.first, layer.second))
    return first if name not in layer.changed else f"{first or 'none'} → {second or 'none'}"


def _fact(value: Any, form: str) -> str:
    if isinstance(value, list):
        return "×".join(map(str, value))
    return form.format(value) if isinstance(value, int | float) else "" if value is None else str(value)


def heads(found: Differences) -> Mapping[str, str]:
    """Return a sentence on the models and one on the pictures."""
    return {
        "models": "The models that ship are equal, byte by byte."
        if found.same_model
        else "The models that ship are not equal.",
        "pictures": "Both were tested on the same pictures: intervals of differences are paired."
        if found.same_pictures
        else "They were not tested on the same pictures: intervals are those of independent figures, and wider.",
    }


def text(found: Differences) -> str:
    """Return the differences as plain text."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Differences) -> Iterator[str]:
    yield f"first   {found.first}"
    yield f"second  {found.second}"
    yield ""
    yield from heads(found).values()
    yield ""
    yield from _table([SETTINGS, *map(setting_cells, found.settings)], "No setting differs.")
    if found.tools:
        yield from _table([("tool", "first", "second"), *map(setting_cells, found.tools)], "")
    yield from _table([METRICS, *map(metric_cells, found.metrics)], "")
    yield from _table([LAYERS, *map(layer_cells, found.layers)], "No layer differs.")
    if found.layers and found.equal_layers:
        yield f"{found.equal_layers} more layers are equal."


def _table(rows: Sequence[tuple[str, ...]], nothing: str) -> Iterator[str]:
    yield from aligned(rows, left=(0, 1, 2) if rows[0][0] in ("setting", "tool") else (0, 5)) if rows[1:] else [nothing]
    yield ""
