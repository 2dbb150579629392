"""The tables of the page, from the summary's figures."""

from collections.abc import Iterator, Mapping, Sequence

from qatflow.base.measure import Measure
from qatflow.device.results.report import DeviceReport
from qatflow.evaluate.layers import InspectedLayer
from qatflow.mixed_precision.record import ChosenWidths
from qatflow.report import on_device
from qatflow.report.change import signed
from qatflow.report.classes import NAMED, ClassFigures, ConfusedPair
from qatflow.report.drawing.histogram import histogram_picture
from qatflow.report.drawing.network import kind_words, shape_words, type_words
from qatflow.report.network import NetworkNode
from qatflow.report.on_device import OnDevice
from qatflow.report.pages.tables import Cell, Table, filled, number, plain
from qatflow.report.slowest import SlowOperator
from qatflow.report.stages import Stage
from qatflow.report.summary import Row, Summary
from qatflow.report.table import HEAD, cells, head, shows_top5
from qatflow.sensitivity.measure import LayerSensitivity, Sensitivities

MANY, WORST = 100, 30
"""Of more classes than this, the page lists the worst and those that lose most; summary.json has all."""


def models_table(rows: Sequence[Row], classes: int, measure: Measure) -> Table:
    """Return the models side by side."""
    lines = [cells(row, shows_top5(classes, measure)) for row in rows]
    return plain("The models", head(measure), lines, words=(0, len(HEAD) - 1))


def layers_table(nodes: Sequence[NetworkNode], layers: Sequence[InspectedLayer]) -> Table:
    """Return every operator in the order of execution, with what was measured of its output."""
    measured = {layer.name: layer for layer in layers}
    head = (
        "no.", "layer", "noise so far, dB", "own rounding, dB", "clipped, %", "values on the grid", "float range",
        "scale", "weights, bytes", "multiply-adds", "time, ms", "instructions (per multiply-add)",
    )  # fmt: skip
    rows = tuple(_layer(node, measured.get(node.name) if node.sqnr_db is not None else None) for node in nodes)
    return filled(Table("Layers in the order of execution", head, rows, sortable=True, words=(1,), title=1))


def _layer(node: NetworkNode, layer: InspectedLayer | None) -> tuple[Cell, ...]:
    about = (
        Cell(str(node.number + 1), node.number + 1),
        Cell(node.name, second=f"{kind_words(node)} → {shape_words(node)}{type_words(node)}"),
    )
    each = per_multiply_add(node.instructions, node.multiply_adds)
    costs = (
        number(node.weight_bytes or None, ",.0f"),
        number(node.multiply_adds or None, ",.0f"),
        # an emulator's times mean nothing: the instructions take their place
        number(node.ms if node.instructions is None else None, ".3f"),
        Cell("")
        if node.instructions is None
        else Cell(f"{node.instructions:,}", node.instructions, second="" if each is None else f"({each:.3g})"),
    )
    if layer is None:
        return (*about, *[Cell("")] * 6, *costs)
    low, high = layer.grid_range
    return (
        *about,
        number(layer.sqnr_db, ".1f"),
        number(layer.rounding_db, ".1f"),
        number(layer.clipped, ".3g", 100),
        Cell(histogram_picture(layer), layer.clipped, html=True),
        Cell(
            _range(layer.float_low, layer.float_high),
            layer.float_high - layer.float_low,
            second=f"{node.type} {_range(low, high)}",
        ),
        Cell(f"{layer.scale:.3g}", layer.scale, second=_weight_scales(layer)),
        *costs,
    )


def sensitivities_table(nodes: Sequence[NetworkNode], measured: Sensitivities | None, measure: Measure) -> Table | None:
    """Return what the quantisation of each layer costs, the worst first; None where that was not measured."""
    if measured is None:
        return None
    head = (
        "layer", "KL alone", f"{measure.name} alone, points", "KL of all but it", "left in float, KL",
        f"{measure.name} of all but it, points", "kernel",
    )  # fmt: skip
    by_name = {node.name: node for node in nodes if node.alone_kl is not None}
    listed = ((layer, by_name.get(layer.name.partition(";")[0])) for layer in measured.worst_first)
    rows = tuple(_sensitivity(layer, node, measured) for layer, node in listed)
    return filled(Table("What each layer's quantisation costs", head, rows, sortable=True, words=(0, 6)))


def _sensitivity(layer: LayerSensitivity, node: NetworkNode | None, whole: Sensitivities) -> tuple[Cell, ...]:
    alone, without = -100 * layer.alone_drop, -100 * layer.without_drop
    gain = layer.without_kl - whole.kl
    return (
        Cell(layer.name, second="" if node is None else f"{kind_words(node)}{type_words(node)}"),
        number(layer.alone_kl, ".3g"),
        Cell(signed(alone, 2), alone),
        number(layer.without_kl, ".3g"),
        Cell(f"{gain:+.2g}".replace("-", "−"), gain),
        Cell(signed(without, 2), without),
        Cell("float's kernel, rounded" if layer.trained else ""),
    )


def per_multiply_add(instructions: int | None, multiply_adds: int) -> float | None:
    """Return how many instructions a multiply-add takes, with all that is around it; None where one is not known."""
    return None if instructions is None or not multiply_adds else instructions / multiply_adds


def work_words(multiply_adds: int, devices: Sequence[DeviceReport]) -> str:
    """Return the network's multiply-adds in words, and how many instructions each takes where they were counted."""
    words = f"The network has {multiply_adds:,} multiply-adds for one picture"
    for run in devices:
        each = per_multiply_add(run.models.int8.instructions, multiply_adds)
        if each is not None:
            return f"{words}; with all that is around it, one takes {each:.3g} instructions in {run.device.name}."
    return f"{words}."


def _range(low: float, high: float) -> str:
    return f"{low:.3g} … {high:.3g}".replace("-", "−")


def _weight_scales(layer: InspectedLayer) -> str:
    low, high = layer.weight_scale_low, layer.weight_scale_high
    if low is None or high is None:
        return ""
    return f"weights {low:.2g}" if low == high else f"weights {low:.2g} … {high:.2g}"


def classes_table(figures: Sequence[ClassFigures], measure: Measure, quantised: str = "int8") -> Table:
    """Return accuracy (or agreement) by class; of many classes the worst, and those that lose most against float."""
    head = (
        "class",
        "test pictures",
        f"{quantised}, %",
        "95 % interval",
        "float, %",
        "change, points",
        "mostly taken for",
    )
    kept = figures if len(figures) <= MANY else chosen_classes(figures)
    title = "Accuracy by class" if measure.is_accuracy else "Agreement with float by class"
    return filled(Table(title, head, tuple(map(_class, kept)), sortable=True, words=(0, 6)))


def chosen_classes(figures: Sequence[ClassFigures]) -> list[ClassFigures]:
    """Return the classes that int8 recognises least, and those that lose most against float, the worst first."""
    worst = sorted(figures, key=lambda one: one.right)[:WORST]
    compared = [one for one in figures if one.float_right is not None]
    lost = sorted(compared, key=lambda one: one.right - (one.float_right or 0.0))[:WORST]
    return sorted({one.label: one for one in (*worst, *lost)}.values(), key=lambda one: one.right)


def _class(one: ClassFigures) -> tuple[Cell, ...]:
    change = None if one.float_right is None else 100 * (one.right - one.float_right)
    return (
        Cell(one.label),
        number(one.pictures, ",.0f"),
        number(one.right, ".1f", 100),
        Cell(f"{100 * one.low:.1f} … {100 * one.high:.1f}", one.low),
        number(one.float_right, ".1f", 100),
        Cell("") if change is None else Cell(signed(change, 1), change),
        Cell(f"{one.taken_for} ({one.taken})" if one.taken_for else "", one.taken),
    )


def pairs_table(pairs: Sequence[ConfusedPair], classes: int) -> Table | None:
    """Return the most confused pairs, where there are too many classes for a matrix."""
    if classes <= NAMED or not pairs:
        return None
    rows = [
        (
            Cell(pair.label),
            Cell(pair.taken_for),
            number(pair.pictures, ",.0f"),
            number(pair.share, ".1f", 100),
            number(pair.float_pictures, ",.0f"),
        )
        for pair in pairs
    ]
    head = ("class", "taken for", "test pictures", "% of the class", "by float")
    return filled(Table("The most confused pairs of classes", head, tuple(rows), sortable=True, words=(0, 1)))


def stages_table(stages: Sequence[Stage]) -> Table:
    """Return time and memory of the stages."""
    rows = [
        (
            Cell(stage.words),
            Cell(stage.of),
            Cell(duration(stage.seconds), stage.seconds),
            Cell("" if stage.cpu_seconds is None else duration(stage.cpu_seconds), stage.cpu_seconds),
            number(stage.memory_mb, ",.0f"),
        )
        for stage in stages
    ]
    head = ("stage", "of", "time", "time of all cores", "peak memory, MB")
    return filled(Table("Time and memory of the stages", head, tuple(rows), sortable=True, words=(0, 1)))


def duration(seconds: float) -> str:
    """Return `4.2 s`, `3 min 05 s` or `2 h 04 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02} min" if hours else f"{minutes} min {rest:02} s"


def device_table(results: OnDevice, quantised: str) -> Table:
    """Return both models on a device."""
    return plain(
        f"On {results.name}", on_device.head(quantised), [on_device.cells(figure) for figure in results.figures]
    )


def times_table(report: DeviceReport, quantised: str) -> Table:
    """Return all timings on a device."""
    head = ("model", "threads", "runs", "first", "min", "mean", "median", "p90", "max", "standard deviation")
    rows = [
        (
            quantised if name == "int8" else name,
            str(time.threads),
            str(time.runs),
            *(
                f"{value:.3f}"
                for value in (
                    *(time.first_ms, time.min_ms, time.mean_ms, time.median_ms),
                    *(time.p90_ms, time.max_ms, time.stddev_ms),
                )
            ),
        )
        for name, time in on_device.times(report)
    ]
    return plain("Times in ms", head, rows)


def slowest_tables(slowest: Sequence[SlowOperator], device: str, quantised: str) -> Iterator[tuple[str, Table]]:
    """Yield title and table of the slowest operators of each model on a device."""
    of_device = [one for one in slowest if one.device == device]
    for model in dict.fromkeys(one.model for one in of_device):
        listed = [one for one in of_device if one.model == model]
        name = quantised if model == "int8" else model
        yield (
            f"{name}: {listed[0].operators} operators",
            plain(
                f"Slowest operators of {name}",
                ("layer", "kernel", "mean ms", "%"),
                [
                    (one.layer or f"no. {one.place + 1}", one.kernel, f"{one.ms:.3f}", f"{one.percent:.1f}")
                    for one in listed
                ],
                words=(0, 1),
            ),
        )


def split_words(splits: Mapping[str, int]) -> str:
    """Return the numbers of pictures in words."""
    return ", ".join(f"{count:,} {name}" for name, count in splits.items())


def widths_table(choice: ChosenWidths | None) -> Table | None:
    """Return the precision of each layer, and what the others would cost it."""
    if choice is None:
        return None
    head = ("layer", "bits", "values", *(f"cost: {bits}" for bits in choice.widths[1:]))
    rows = tuple(
        (
            Cell(layer.name),
            Cell(layer.bits, float(choice.widths.index(layer.bits))),
            number(layer.values, ",.0f"),
            *map(_nats, layer.costs[1:]),
        )
        for layer in choice.layers
    )
    return filled(Table("Bits of the layers", head, rows, sortable=True))


def _nats(value: float | None) -> Cell:
    return Cell("") if value is None else Cell(f"{value:.2g}".replace("-", "−"), value)


def tried_table(choice: ChosenWidths | None, measure: Measure) -> Table | None:
    """Return the assignments of precisions on the curve, the smallest first."""
    if choice is None:
        return None
    unit = choice.latency_unit or ""
    points = f"{measure.name}, points"
    head = (unit, "bytes of kernels", "taken", "KL predicted", "KL measured", points, "layers × bits")
    rows = tuple(
        (
            number(one.latency, ",.6g" if unit == "ms" else ",.0f"),
            number(one.bytes, ",.0f"),
            Cell("taken" if one.chosen else ""),
            _nats(one.predicted),
            _nats(one.kl),
            Cell(signed(-100 * one.drop, 2), -one.drop),
            Cell(", ".join(f"{count}×{bits}" for bits in choice.widths if (count := one.bits.count(bits)))),
        )
        for one in choice.curve
    )
    return filled(Table("Choices that were compared", head, rows, sortable=True, words=(2, 6)))


def search_table(summary: Summary, number_of_leaders: int) -> Table | None:
    """Return the best candidates of a search, the best first."""
    search = summary.search
    if search is None:
        return None
    leaders = sorted(search.outcomes, key=lambda outcome: (-outcome.reward, outcome.candidate.number))
    unit = search.best.candidate.size.latency_unit
    head = ("candidate", f"{search.metric_name} %", "multiply-adds", "parameters", f"latency, {unit}", "tokens")
    rows = [
        (
            str(outcome.candidate.number),
            f"{100 * outcome.metric:.2f}",
            f"{outcome.candidate.size.multiply_adds:,}",
            f"{outcome.candidate.size.parameters:,}",
            "" if outcome.candidate.size.latency is None else f"{outcome.candidate.size.latency:.6g}",
            " ".join(map(str, outcome.candidate.tokens)),
        )
        for outcome in leaders[:number_of_leaders]
    ]
    return plain("The best candidates", head, rows)
