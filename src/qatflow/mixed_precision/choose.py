"""Chooses the precision of each layer by what fewer bits cost it, before training.

Each layer is measured by itself in each precision, with all others at the widest weights: by how much the outputs
diverge further from float's. These costs are added up, and the least sum for each budget is found exactly (`assign`).
The assignments for several budgets are a curve; each of them is then measured as a whole, because costs do not quite
add up. Ranges are from the calibration pictures. No training is in the loop: what is measured is quantisation after
training; training usually regains a part of the loss.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from qatflow.base import provenance
from qatflow.base.code_digest import code_digest
from qatflow.base.errors import UserError
from qatflow.base.sums import write_sealed
from qatflow.base.work_folder import work_folder
from qatflow.compress.preparation import equalise
from qatflow.config.recipe.auto_bits import AutoBitsSection
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.base import resolved
from qatflow.data.answers import measure_of
from qatflow.graph.graph import Graph
from qatflow.inference.pictures import PreparedPictures
from qatflow.mixed_precision.assign import Assignment, Front, WeightedLayer, front, predicted, total_bytes
from qatflow.mixed_precision.latency import Latencies
from qatflow.mixed_precision.measured import Measured
from qatflow.mixed_precision.precision import Precision, as_settings
from qatflow.mixed_precision.record import ChosenLayer, ChosenWidths, Tried
from qatflow.quantisation.placement import QuantSettings, quantised_kernels
from qatflow.sensitivity.measure import digest_of
from qatflow.tflite.latency_table import LatencyTable
from qatflow.tflite.lower import convert

POINTS, CLOSER = 16, 6
"""Assignments on the curve: first over all sizes, then between the last that loses too much and the next."""


@dataclass
class Compared:
    """Assignments that are measured as a whole.

    Attributes:
        measured: the network.
        layers: what each costs by itself; sizes are in bytes.
        latencies: of whole networks; None where the latency does not matter.
        tried: what is measured so far.
        float_top1: of the float model, a share of 1; 0 before anything is measured.
    """

    measured: Measured
    layers: Sequence[WeightedLayer]
    latencies: Latencies | None
    tried: dict[Assignment, Tried]
    float_top1: float = 0.0

    def add(self, assignments: set[Assignment]) -> None:
        """Measure those of some assignments that are new."""
        new = sorted(assignments - set(self.tried))
        if not new:
            return
        figures, self.float_top1 = self.measured.together(new)
        for assignment, (kl, drop) in zip(new, figures, strict=True):
            given = self.measured.given(assignment)
            self.tried[assignment] = Tried(
                bytes=total_bytes(self.layers, assignment),
                latency=None if self.latencies is None else self.latencies.of(given),
                predicted=predicted(self.layers, assignment),
                kl=kl,
                drop=drop,
                bits=tuple(map(str, given.values())),
                chosen=False,
            )


def choose(measured: Measured, section: AutoBitsSection, table: LatencyTable | None = None) -> ChosenWidths:
    """Return the precisions that the section asks for.

    Args:
        measured: the network.
        section: the limit.
        table: latencies of the network's operators, where the latency is limited.

    Raises:
        UserError: nothing is within the limit (the message gives the nearest value); or the limit leaves all in float.
    """
    latencies = None
    if table is not None:
        latencies = Latencies(measured.graph, measured.settings, measured.kernels, table)
    compared = Compared(measured, measured.costs(), latencies, {})
    if section.max_latency is not None:
        goal, chosen = _within_latency(compared, section.max_latency)
    elif section.max_bytes is not None:
        goal, chosen = _within_bytes(compared, section.max_bytes)
    else:
        assert section.max_drop is not None
        goal, chosen = _within_drop(compared, section.max_drop)
    given = measured.given(chosen)
    if all(one.in_float for one in given.values()):
        raise UserError(
            "auto_bits: within this limit all layers may stay in float, so that nothing is left to quantise: set a "
            "lower one, or float_layers: false"
        )
    every = tuple(dict.fromkeys(one for layer in compared.layers for one in layer.precisions))
    order = sorted(compared.tried, key=lambda one: _order(compared.tried[one]))
    return ChosenWidths(
        goal=goal,
        pictures=measured.pictures.count,
        float_top1=compared.float_top1 if measure_of(measured.pictures.manifest).is_accuracy else None,
        latency_unit=None if table is None else table.unit,
        widths=tuple(map(str, every)),
        layers=tuple(_layer(layer, given[layer.name], every) for layer in compared.layers),
        curve=tuple(replace(compared.tried[one], chosen=one == chosen) for one in order),
    )


def _within_bytes(compared: Compared, limit: int) -> tuple[str, Assignment]:
    best = front(compared.layers)
    chosen = best.within(limit)
    if chosen is None:
        bits = min(one.weights for one in compared.layers[0].precisions)
        raise UserError(
            f"auto_bits.max_bytes: {limit:,} bytes are too few: with {bits} bits in every layer the kernels take "
            f"{best.sizes[0]:,.0f}; allow at least that, or add a smaller number of bits to widths"
        )
    compared.add({*_between(best, *_ends(compared.layers), POINTS), chosen})
    return f"the least divergence within {limit:,} bytes of kernels", chosen


def _within_drop(compared: Compared, points: float) -> tuple[str, Assignment]:
    best, limit = front(compared.layers), points / 100
    measure = measure_of(compared.measured.pictures.manifest)
    compared.add(_between(best, *_ends(compared.layers), POINTS))
    kept = [one for one in compared.tried.values() if one.drop <= limit]
    if not kept:
        nearest = min(compared.tried.values(), key=lambda one: (one.drop, one.bytes))
        raise UserError(
            f"auto_bits.max_drop: before training, all widths lose more than {points:g} points of {measure.name} on "
            f"{compared.measured.pictures.count} validation pictures; the least is {100 * nearest.drop:.2f}, with "
            f"{nearest.bytes:,} bytes of kernels: allow at least that, or set max_bytes instead; training usually "
            "regains a part of the loss"
        )
    smallest = min(one.bytes for one in kept)
    below = max((one.bytes for one in compared.tried.values() if one.bytes < smallest), default=None)
    if below is not None:
        compared.add(_between(best, below, smallest, CLOSER))
    keeping = {one: tried for one, tried in compared.tried.items() if tried.drop <= limit}
    chosen = min(keeping, key=lambda one: (keeping[one].bytes, keeping[one].kl))
    lost = "" if measure.is_accuracy else f" of {measure.name}"
    return f"the fewest bytes with a loss of at most {points:g} points{lost} before training", chosen


def _within_latency(compared: Compared, limit: float) -> tuple[str, Assignment]:
    """Choose by the latencies of single layers; those of whole networks, which conversions between layers add to,
    decide what keeps to the limit.
    """
    latencies = compared.latencies
    if latencies is None:
        raise UserError("auto_bits.max_latency needs a table of latencies: give choose_widths.py one (--latency)")
    first: dict[str, Precision] = {layer.name: layer.precisions[0] for layer in compared.layers}
    whole, unit = latencies.of(first), latencies.table.unit
    layers = [
        replace(
            layer,
            sizes=(0.0, *(latencies.of({**first, layer.name: one}) - whole for one in layer.precisions[1:])),
        )
        for layer in compared.layers
    ]
    best = front(layers)
    least, most = (whole + value for value in _ends(layers))
    curve = {best.within(value - whole) for value in (*np.geomspace(least, most, POINTS), limit)}
    compared.add({(0,) * len(layers), *(one for one in curve if one is not None)})
    keeping = {one: tried for one, tried in compared.tried.items() if (tried.latency or 0.0) <= limit}
    if not keeping:
        nearest = min(compared.tried.values(), key=lambda one: one.latency or 0.0)
        raise UserError(
            f"auto_bits.max_latency: {limit:,.6g} {unit} are too few: the fastest choice takes "
            f"{nearest.latency:,.6g} on {latencies.table.device['name']}; allow at least that, or use a thinner network"
        )
    chosen = min(keeping, key=lambda one: (keeping[one].predicted, keeping[one].latency))
    return f"the least divergence within {limit:,.6g} {unit} on {latencies.table.device['name']}", chosen


def _ends(layers: Sequence[WeightedLayer]) -> tuple[float, float]:
    """Return the least and the greatest sum of sizes."""
    return sum(min(layer.sizes) for layer in layers), sum(max(layer.sizes) for layer in layers)


def _between(best: Front, low: float, high: float, points: int) -> set[Assignment]:
    """Return the best assignments within sizes from low to high, both above 0, at equal ratios."""
    found = {best.within(limit) for limit in np.geomspace(low, high, points)[1:-1]} | {
        best.within(low),
        best.within(high),
    }
    return {assignment for assignment in found if assignment is not None}


def _order(tried: Tried) -> tuple[float, float, float]:
    return (tried.bytes if tried.latency is None else tried.latency, tried.bytes, tried.predicted)


def _layer(layer: WeightedLayer, given: Precision, every: Sequence[Precision]) -> ChosenLayer:
    costs = dict(zip(layer.precisions, layer.costs, strict=True))
    return ChosenLayer(layer.name, layer.kernel, layer.values, str(given), tuple(costs.get(one) for one in every))


def choose_widths(
    graph: Graph,
    recipe: CompressConfig,
    skip: Sequence[str],
    pictures: PreparedPictures,
    work: Path,
    *,
    equal: bool,
    table: LatencyTable | None = None,
) -> ChosenWidths:
    """Return the precisions that a recipe asks for; a killed choice goes on from what `work` has.

    Args:
        graph: in float.
        recipe: whose QuantizationStrategy has auto_bits.
        skip: texts in the names of layers that stay in float, beside those of the recipe.
        pictures: the validation pictures that are used.
        work: folder of the state of all settings, which may be removed.
        equal: whether channels are brought to one range before training, where there is one scale per tensor.
        table: latencies of the network's operators, where the latency is limited.

    Raises:
        UserError: nothing is within the limit; or a picture cannot be read.
    """
    strategy = recipe.quantization
    section = strategy.auto_bits
    assert section is not None
    settings = choosing_settings(recipe, skip)
    if equal and strategy.weight_quantize_type == "abs_max":
        graph, _ = equalise(graph, quantised_kernels(graph, settings.quantizable_op_type, settings.skip_pattern))
    float_model = convert(graph).content
    shape = {
        "model": digest_of(float_model),
        "settings": asdict(settings),
        "widths": section.tried_widths,
        "float_layers": section.float_layers,
        "wide_activations": section.wide_activations,
        "data": pictures.manifest.content_digest(),
        "pictures": pictures.count,
        "code": code_digest("qatflow.mixed_precision.choose"),
    }
    with work_folder(work, shape, "choosing widths") as folder:
        measured = Measured.of(graph, float_model, settings, section, pictures, folder)
        return choose(measured, section, table)


def choosing_settings(recipe: CompressConfig, skip: Sequence[str]) -> QuantSettings:
    """Return how the graph is quantised while its precisions are chosen.

    Args:
        recipe: whose QuantizationStrategy has auto_bits.
        skip: texts in the names of layers that stay in float, beside those of the recipe.
    """
    settings = QuantSettings.of(recipe.quantization)
    return replace(settings, skip_pattern=(*settings.skip_pattern, *skip))


def write_widths(choice: ChosenWidths, recipe: CompressConfig, inputs: Sequence[Path], output: Path) -> None:
    """Write widths.json: the choice, and the keys of the QuantizationStrategy that it comes to."""
    kernels = {layer.name: layer.kernel for layer in choice.layers}
    given = {layer.name: Precision.of(layer.bits) for layer in choice.layers}
    section = recipe.quantization.auto_bits
    assert section is not None
    record = provenance.record(inputs, {"auto_bits": resolved(section)})
    strategy = as_settings(kernels, given, recipe.quantization.skip_pattern)
    write_sealed(output, {"strategy": strategy, "choice": asdict(choice), "provenance": record})
