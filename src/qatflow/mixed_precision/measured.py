"""What the precisions of a network's layers cost, measured on pictures: one layer after another, and all together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qatflow.base.work_folder import digest
from qatflow.config.recipe.auto_bits import AutoBitsSection
from qatflow.config.recipe.widths import DEVICE, WIDE
from qatflow.graph.families import fixed_grid
from qatflow.graph.graph import Graph
from qatflow.graph.layer_texts import exactly
from qatflow.graph.names import listed
from qatflow.graph.never_negative import never_negative
from qatflow.inference.pictures import PreparedPictures
from qatflow.mixed_precision.assign import Assignment, WeightedLayer
from qatflow.mixed_precision.precision import Precision, exactly_pattern, possible, without_wide_output
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.calibration import Range
from qatflow.quantisation.grids import grid
from qatflow.quantisation.placement import QuantSettings, fits, quantised_kernels, quantised_tensors
from qatflow.quantisation.widths import tensor_bits
from qatflow.sensitivity.forms import layer_forms
from qatflow.sensitivity.measure import added, comparing
from qatflow.sensitivity.pictures import rows
from qatflow.tflite.lower import convert
from qatflow.tflite.stepwise import Choice, Form
from qatflow.trial.calibrated_ranges import calibrated_ranges
from qatflow.trial.float_ranges import names_on_device


@dataclass(frozen=True)
class Measured:
    """A network whose layers can have several precisions.

    Attributes:
        graph: in float.
        settings: how it is quantised, but for the precisions.
        float_model: .tflite.
        forms: of each layer that is quantised: of one with a kernel for each of its precisions, else one.
        names: of the layer that computes each quantised tensor, by the tensor's node.
        kernels: name of the kernel of each layer that can be chosen, by the layer.
        precisions: of each of these layers, the one that it is measured against first.
        pictures: validation pictures.
        folder: of what is measured.
    """

    graph: Graph
    settings: QuantSettings
    float_model: bytes
    forms: Mapping[str, Sequence[Form]]
    names: Mapping[str, str]
    kernels: Mapping[str, str]
    precisions: Mapping[str, Sequence[Precision]]
    pictures: PreparedPictures
    folder: Path

    @staticmethod
    def of(
        graph: Graph,
        float_model: bytes,
        settings: QuantSettings,
        section: AutoBitsSection,
        pictures: PreparedPictures,
        folder: Path,
    ) -> "Measured":
        """Quantise the graph at each width, with ranges from the calibration pictures.

        Args:
            graph: in float.
            float_model: its .tflite.
            settings: how it is quantised; its calibration method finds the ranges.
            section: which precisions there are.
            pictures: validation pictures.
            folder: for what is measured.
        """
        kernels = quantised_kernels(graph, settings.quantizable_op_type, settings.skip_pattern)
        tensors = quantised_tensors(graph, kernels, settings.skip_pattern)
        ranges = _ranges(graph, settings, dict.fromkeys(tensors, DEVICE), pictures)
        by_width: dict[int, dict[str, Form]] = {}
        for bits in section.tried_widths:
            quantised = as_if_quantised(graph, replace(settings, weight_bits={".*": bits}), ranges)
            layers = layer_forms(float_model, convert(quantised).content)
            by_width[bits] = {layer.name: layer.form for layer in layers}
        base = by_width[section.tried_widths[0]]
        chosen = {name: kernel for name, kernel in kernels.items() if name in base}
        if rest := sorted(set(kernels) - set(chosen)):
            print(f"these layers have no output of their own, and keep {DEVICE} bits: {listed(rest)}", flush=True)
        narrow = dict(without_wide_output(graph, settings, list(chosen))) if section.wide_activations else {}
        for name, problem in narrow.items():
            print(f"{name}: its output is not tried with {WIDE} bits: {problem}", flush=True)
        precisions = {name: possible(section, wide=name not in narrow) for name in chosen}
        grids = _wide_grids(graph, settings, precisions, pictures)
        forms: dict[str, Sequence[Form]] = {name: [form] for name, form in base.items()}
        for name, possible_here in precisions.items():
            forms[name] = [
                replace(base[name], weights={})
                if one.in_float
                else Form(by_width[one.weights][name].weights, grids[name], f"INT{WIDE}")
                if one.activations == WIDE
                else by_width[one.weights][name]
                for one in possible_here
            ]
        names = names_on_device(graph, tensors)
        return Measured(graph, settings, float_model, forms, names, chosen, precisions, pictures, folder)

    def costs(self) -> list[WeightedLayer]:
        """Measure each layer by itself in each precision; sizes are bytes."""
        start: Assignment = (0,) * len(self.kernels)
        alone = [
            (*start[:place], one, *start[place + 1 :])
            for place, name in enumerate(self.kernels)
            for one in range(1, len(self.precisions[name]))
        ]
        (whole, _), *others = self.together([start, *alone])[0]
        rises = iter(kl - whole for kl, _ in others)
        layers = []
        for name, kernel in self.kernels.items():
            precisions, values = tuple(self.precisions[name]), self.graph.weights[kernel].size
            # fewer bits and less divergence: that is chance
            costs = (0.0, *(next(rises) if one.gains else max(next(rises), 0.0) for one in precisions[1:]))
            sizes = tuple(one.bytes(values) for one in precisions)
            layers.append(WeightedLayer(name, kernel, values, precisions, sizes, costs))
        return layers

    def together(self, assignments: Sequence[Assignment]) -> tuple[list[tuple[float, float]], float]:
        """Measure whole assignments: KL in nats and loss of top-1 of each; and top-1 of float."""
        choices = [self.choice(assignment) for assignment in assignments]
        folder = self.folder / digest({"choices": [sorted(choice.items()) for choice in choices]})
        begin = comparing(self.float_model, self.forms, choices)
        totals, right = added(rows(self.pictures, begin, folder), len(choices))
        count = self.pictures.count
        return [(kl / count, (right - one) / count) for kl, one in totals], right / count

    def given(self, assignment: Assignment) -> dict[str, Precision]:
        """Return the precision of each layer."""
        pairs = zip(self.precisions.items(), assignment, strict=True)
        return {name: precisions[one] for (name, precisions), one in pairs}

    def choice(self, assignment: Assignment) -> Choice:
        """Return the form of each layer; a tensor that layers in float alone write and read is not rounded."""
        given = self.given(assignment)
        skip = (*self.settings.skip_pattern, *(exactly(name) for name, one in given.items() if one.in_float))
        kernels = quantised_kernels(self.graph, self.settings.quantizable_op_type, skip)
        left = {self.names[tensor] for tensor in quantised_tensors(self.graph, kernels, skip)}
        own = dict(zip(self.kernels, assignment, strict=True))
        return {name: own.get(name, 0) for name in self.forms if name in left}


def _ranges(
    graph: Graph, settings: QuantSettings, bits: Mapping[str, int], pictures: PreparedPictures
) -> dict[str, Range]:
    """Return the range of each tensor; `bits` holds their widths by name."""
    calibration = PreparedPictures.calibration(pictures.manifest, processes=pictures.processes)
    by_tensor = fits(settings, bits, never_negative(graph))
    return calibrated_ranges(graph, by_tensor, bits, settings.calibration_method, calibration)


def _wide_grids(
    graph: Graph, settings: QuantSettings, precisions: Mapping[str, Sequence[Precision]], pictures: PreparedPictures
) -> dict[str, tuple[float, int]]:
    """Return scale and zero point of the output of each layer that may have 16 bits there."""
    kernels = quantised_kernels(graph, settings.quantizable_op_type, settings.skip_pattern)
    tensors = quantised_tensors(graph, kernels, settings.skip_pattern)
    ends = {}
    for name, possible_here in precisions.items():
        if any(one.activations == WIDE for one in possible_here):
            bits = tensor_bits(graph, tensors, {exactly_pattern(name): WIDE})
            (ends[name],) = (tensor for tensor, width in bits.items() if width == WIDE)
    if not ends:
        return {}
    wide = dict.fromkeys(ends.values(), WIDE)
    ranges, by_tensor = _ranges(graph, settings, wide, pictures), fits(settings, wide, never_negative(graph))
    return {
        name: fixed_grid(graph.node(end).operation, WIDE) or grid(*ranges[end], WIDE, by_tensor[end])
        for name, end in ends.items()
    }
