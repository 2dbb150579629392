"""Chooses the width of each layer's weights by what fewer bits cost it, before training.

Each layer is measured by itself at each width, with all others at the widest: by how much the outputs diverge further
from float's. These costs are added up, and the least sum for each number of bytes is found exactly (`assign`). The
assignments for several numbers of bytes are a curve; each of them is then measured as a whole, because costs do not
quite add up. Activations have 8 bits, with ranges from the calibration pictures. No training is in the loop: what is
measured is quantisation after training; training usually regains a part of the loss.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from qatflow.base import provenance
from qatflow.base.code_digest import code_digest
from qatflow.base.errors import UserError
from qatflow.base.sums import write_sealed
from qatflow.base.work_folder import digest, work_folder
from qatflow.compress.preparation import equalise
from qatflow.config.recipe.auto_bits import AutoBitsSection
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.recipe.widths import DEVICE
from qatflow.config.sections.base import resolved
from qatflow.data.reader import calibration
from qatflow.graph.graph import Graph
from qatflow.graph.names import listed
from qatflow.inference.pictures import PreparedPictures
from qatflow.mixed_precision.assign import Assignment, WeightedLayer, front, packed_bytes, predicted, total_bytes
from qatflow.mixed_precision.record import ChosenLayer, ChosenWidths, Tried
from qatflow.quantise.as_if_quantised import as_if_quantised
from qatflow.quantise.placement import QuantSettings, quantised_kernels, quantised_tensors
from qatflow.sensitivity.forms import layer_forms
from qatflow.sensitivity.measure import added, comparing, digest_of
from qatflow.sensitivity.pictures import rows
from qatflow.tflite.lower import convert
from qatflow.tflite.stepwise import Choice, Form
from qatflow.trial.float_ranges import float_ranges

POINTS, CLOSER = 16, 6
"""Assignments on the curve: first over all sizes, then between the last that loses too much and the next."""


@dataclass(frozen=True)
class Measured:
    """A network whose layers can have several widths.

    Attributes:
        float_model: .tflite.
        forms: of each layer that is quantised, one for each width where it has a kernel.
        widths: the widest first.
        kernels: name and number of values of each kernel, by its layer.
        pictures: validation pictures.
        folder: of what is measured.
    """

    float_model: bytes
    forms: Mapping[str, Sequence[Form]]
    widths: Sequence[int]
    kernels: Mapping[str, tuple[str, int]]
    pictures: PreparedPictures
    folder: Path

    @staticmethod
    def of(
        graph: Graph, settings: QuantSettings, widths: Iterable[int], pictures: PreparedPictures, folder: Path
    ) -> "Measured":
        """Quantise the graph at each width, with ranges from the calibration pictures."""
        ordered = sorted(widths, reverse=True)
        kernels = quantised_kernels(graph, settings.quantizable_op_type, settings.skip_pattern)
        tensors = quantised_tensors(graph, kernels, settings.skip_pattern)
        ranges = float_ranges(graph, tensors, calibration(pictures.manifest))
        float_model = convert(graph).content
        forms: dict[str, list[Form]] = {}
        for bits in ordered:
            quantised = as_if_quantised(graph, replace(settings, weight_bits={".*": bits}), ranges)
            for layer in layer_forms(float_model, convert(quantised).content):
                if not forms.get(layer.name) or layer.name in kernels:
                    forms.setdefault(layer.name, []).append(layer.form)
        rest = sorted(set(kernels) - set(forms))
        if rest:
            print(f"these layers have no output of their own, and keep {DEVICE} bits: {listed(rest)}", flush=True)
        named = {name: (kernel, graph.weights[kernel].size) for name, kernel in kernels.items() if name in forms}
        return Measured(float_model, forms, ordered, named, pictures, folder)

    def costs(self) -> list[WeightedLayer]:
        """Measure each layer by itself at each width."""
        narrower = range(1, len(self.widths))
        widest: Choice = dict.fromkeys(self.forms, 0)
        choices = [widest, *({**widest, name: place} for name in self.kernels for place in narrower)]
        (whole, _), *others = self.measure(choices)[0]
        rises = iter(max(kl - whole, 0.0) for kl, _ in others)
        return [
            WeightedLayer(name, kernel, values, (0.0, *(next(rises) for _ in narrower)))
            for name, (kernel, values) in self.kernels.items()
        ]

    def together(self, assignments: Sequence[Assignment]) -> tuple[list[tuple[float, float]], float]:
        """Measure whole assignments: KL in nats and loss of top-1 of each; and top-1 of float."""
        choices = [
            {**dict.fromkeys(self.forms, 0), **dict(zip(self.kernels, map(self.widths.index, bits), strict=True))}
            for bits in assignments
        ]
        return self.measure(choices)

    def measure(self, choices: Sequence[Choice]) -> tuple[list[tuple[float, float]], float]:
        """Return KL in nats and loss of top-1 of each choice, and top-1 of float."""
        folder = self.folder / digest({"choices": [sorted(choice.items()) for choice in choices]})
        begin = comparing(self.float_model, self.forms, choices)
        totals, right = added(rows(self.pictures, begin, folder), len(choices))
        count = self.pictures.count
        return [(kl / count, (right - one) / count) for kl, one in totals], right / count


def choose(measured: Measured, section: AutoBitsSection) -> ChosenWidths:
    """Return the widths that the section asks for.

    Raises:
        UserError: no widths keep to the limit; says what the nearest are.
    """
    widths, layers = measured.widths, measured.costs()
    best = front(layers, widths)
    least, most = (sum(packed_bytes(one.values, bits) for one in layers) for bits in (widths[-1], widths[0]))
    if section.max_bytes is not None and section.max_bytes < least:
        raise UserError(
            f"auto_bits.max_bytes: {section.max_bytes:,} bytes cannot be kept to: with {widths[-1]} bits in every "
            f"layer the kernels have {least:,}; allow as many, or add fewer bits to widths"
        )

    def between(low: int, high: int, points: int) -> set[Assignment]:
        limits = {low + (high - low) * place // (points - 1) for place in range(points)}
        found = {best.within(limit) for limit in limits}
        return {assignment for assignment in found if assignment is not None}

    curve = between(least, most, POINTS)
    if section.max_bytes is not None:
        wanted = best.within(section.max_bytes)
        assert wanted is not None
        tried, float_top1 = _tried(measured, layers, sorted({*curve, wanted}))
        chosen = wanted
        goal = f"the least divergence within {section.max_bytes:,} bytes of kernels"
    else:
        assert section.max_drop is not None
        limit = section.max_drop / 100
        tried, float_top1 = _tried(measured, layers, sorted(curve))
        kept = [one for one in tried if one.drop <= limit]
        if not kept:
            nearest = min(tried, key=lambda one: (one.drop, one.bytes))
            raise UserError(
                f"auto_bits.max_drop: before training, all widths lose more than {section.max_drop:g} points of top-1 "
                f"on {measured.pictures.count} validation pictures; the least is {100 * nearest.drop:.2f}, with "
                f"{nearest.bytes:,} bytes of kernels: allow as much, or set max_bytes instead; training wins back a "
                "part of it"
            )
        smallest = min(kept, key=lambda one: one.bytes)
        below = max((one.bytes for one in tried if one.bytes < smallest.bytes), default=None)
        if below is not None:
            closer = between(below, smallest.bytes, CLOSER) - {one.bits for one in tried}
            if closer:
                tried += _tried(measured, layers, sorted(closer))[0]
        chosen = min((one for one in tried if one.drop <= limit), key=lambda one: (one.bytes, one.kl)).bits
        goal = f"the fewest bytes with a loss of at most {section.max_drop:g} points before training"
    return ChosenWidths(
        goal=goal,
        pictures=measured.pictures.count,
        float_top1=float_top1,
        widths=tuple(widths),
        layers=tuple(
            ChosenLayer(one.name, one.kernel, one.values, bits, one.costs)
            for one, bits in zip(layers, chosen, strict=True)
        ),
        curve=tuple(
            replace(one, chosen=one.bits == chosen) for one in sorted(tried, key=lambda one: (one.bytes, one.predicted))
        ),
    )


def choose_widths(
    graph: Graph, recipe: CompressConfig, skip: Sequence[str], pictures: PreparedPictures, work: Path, *, equal: bool
) -> ChosenWidths:
    """Return the widths that a recipe asks for; a killed choice goes on from what `work` has.

    Args:
        graph: in float.
        recipe: whose QuantizationStrategy has auto_bits.
        skip: texts in the names of layers that stay in float, beside those of the recipe.
        pictures: the validation pictures that are used.
        work: folder of the state of all settings, which may be removed.
        equal: whether channels are brought to one range before training, where there is one scale per tensor.

    Raises:
        UserError: no widths keep to the limit; or a picture cannot be read.
    """
    strategy = recipe.quantization
    assert strategy.auto_bits is not None
    settings = QuantSettings.of(strategy)
    settings = replace(settings, skip_pattern=(*settings.skip_pattern, *skip))
    if equal and strategy.weight_quantize_type == "abs_max":
        graph, _ = equalise(graph, quantised_kernels(graph, settings.quantizable_op_type, settings.skip_pattern))
    shape = {
        "model": digest_of(convert(graph).content),
        "settings": asdict(settings),
        "widths": sorted(strategy.auto_bits.widths),
        "data": pictures.manifest.content_digest(),
        "pictures": pictures.count,
        "code": code_digest("qatflow.mixed_precision.choose"),
    }
    with work_folder(work, shape, "choosing widths") as folder:
        return choose(Measured.of(graph, settings, strategy.auto_bits.widths, pictures, folder), strategy.auto_bits)


def write_widths(choice: ChosenWidths, recipe: CompressConfig, inputs: Sequence[Path], output: Path) -> None:
    """Write widths.json: the choice, and the weight_bits that it comes to."""
    bits = {f"{re.escape(layer.kernel)}$": layer.bits for layer in choice.layers}
    section = recipe.quantization.auto_bits
    assert section is not None
    record = provenance.record(inputs, {"auto_bits": resolved(section)})
    write_sealed(output, {"weight_bits": bits, "choice": asdict(choice), "provenance": record})


def _tried(
    measured: Measured, layers: Sequence[WeightedLayer], assignments: Sequence[Assignment]
) -> tuple[list[Tried], float]:
    """Return what each assignment comes to, and top-1 of float."""
    figures, float_top1 = measured.together(assignments)
    tried = [
        Tried(
            bytes=total_bytes(layers, bits),
            predicted=predicted(layers, measured.widths, bits),
            kl=kl,
            drop=drop,
            bits=bits,
            chosen=False,
        )
        for bits, (kl, drop) in zip(assignments, figures, strict=True)
    ]
    return tried, float_top1
