"""The search space of LightNASStrategy: the width of each group of tied layers, the window of each depthwise layer."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from qatflow.base.errors import UserError
from qatflow.config.recipe.search import LightNASStrategySection
from qatflow.graph.channels import channels
from qatflow.graph.counts import total
from qatflow.graph.graph import Graph
from qatflow.graph.kernels import UNFREEZE, frozen_layers, matching
from qatflow.graph.names import listed
from qatflow.graph.operations import DepthwiseConv2D
from qatflow.graph.resized import Sizes, fixed_channels, fixed_windows, resized
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.search.candidate import Size, Tokens
from qatflow.search.space import SearchSetup
from qatflow.tflite.latency_table import read_table
from qatflow.tflite.lower import convert


class LightNASSpace:
    """Tokens are places in `widths`, one per group of tied layers, then in `kernel_sizes`, one per depthwise layer.

    Attributes:
        groups: number of channels for each width, by the name of each group whose width is searched.
        windows: the depthwise kernels whose window is searched.
    """

    def __init__(self, setup: SearchSetup, section: LightNASStrategySection):
        """Find what can be searched.

        Args:
            setup: the graph whose layers are kept, and the latency table where target_latency is given.
            section: the YAML's settings.

        Raises:
            UserError: layers are frozen, nothing that searched_params names can be searched, init_tokens does not fit
                it, a window is too small, or no network keeps the limits.
        """
        if frozen := frozen_layers(setup.graph):
            raise UserError(
                "LightNASStrategy gives all layers new weights, and so cannot keep those of frozen layers "
                f"({listed(frozen)}): {UNFREEZE}"
            )
        self.section = section
        self._setup, self._channels = setup, channels(setup.graph)
        self.groups, self.windows = self._searched()
        self.range_table = (len(section.widths),) * len(self.groups) + (len(section.kernel_sizes),) * len(self.windows)
        self._sizes: dict[Tokens, Size] = {}
        # without target_latency, the table may have the operators of another search
        self._table = read_table(setup.latency) if setup.latency is not None and section.target_latency else None
        tokens = section.init_tokens
        if tokens is not None and (
            len(tokens) != len(self.range_table) or any(a >= b for a, b in zip(tokens, self.range_table, strict=True))
        ):
            raise UserError(
                f"init_tokens: must be {len(self.range_table)} places, counted from 0: in widths ({section.widths}) "
                f"for each of {', '.join(self.groups) or 'no layers'}; in kernel_sizes ({section.kernel_sizes}) for "
                f"each of {', '.join(self.windows) or 'no layers'}"
            )
        try:
            self.graph(tuple(0 for _ in self.range_table))
        except ValueError as error:
            raise UserError(f"kernel_sizes: {error}") from error

    def _searched(self) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
        graph, section = self._setup.graph, self.section
        fixed = {**fixed_channels(self._channels), **fixed_windows(graph)}
        depthwise = [n.kernel for n in graph.nodes if isinstance(n.operation, DepthwiseConv2D) and n.kernel]
        wanted = matching([n.kernel for n in graph.nodes if n.kernel], section.searched_params, "searched_params")
        groups = {
            group.name: tuple(max(1, round(width * group.size)) for width in section.widths)
            for group in self._channels.groups
            if section.widths != [1.0] and set(wanted) & set(group.unit_of) and group.name not in fixed
        }
        windows = tuple(
            kernel for kernel in depthwise if kernel in wanted and kernel not in fixed and section.kernel_sizes
        )
        if not groups and not windows:
            why = "; ".join(f"{kernel}: {fixed[kernel]}" for kernel in wanted if kernel in fixed)
            raise UserError(f"searched_params: nothing of '{section.searched_params}' can have another size: {why}")
        return groups, windows

    @cached_property
    def initial(self) -> Tokens:
        """The network as it is, or the nearest one; if that exceeds the limits, the widest even one within them.

        Raises:
            UserError: even the thinnest one with the smallest windows exceeds them.
        """
        section = self.section
        present = [self._setup.graph.weights[kernel].shape[0] for kernel in self.windows]
        own = tuple(_nearest(section.kernel_sizes, size) for size in present)
        small = tuple(_nearest(section.kernel_sizes, 0) for _ in self.windows)
        even = sorted(range(len(section.widths)), key=lambda place: -section.widths[place])
        first = (_nearest(section.widths, 1.0),) * len(self.groups)
        tried = [first + own, *((place,) * len(self.groups) + windows for place in even for windows in (own, small))]
        for tokens in tried:
            if not self.refused(tokens):
                return tokens
        raise UserError(
            f"no network keeps the limits: {self.refused(tried[-1])}, with the smallest of widths and kernel_sizes; "
            "give smaller ones, raise the limit, or let searched_params name more layers"
        )

    def sizes(self, tokens: Tokens) -> Sizes:
        """Return the channels and windows that tokens stand for."""
        widths, windows = tokens[: len(self.groups)], tokens[len(self.groups) :]
        return Sizes(
            {name: numbers[token] for (name, numbers), token in zip(self.groups.items(), widths, strict=True)},
            {kernel: self.section.kernel_sizes[token] for kernel, token in zip(self.windows, windows, strict=True)},
        )

    def graph(self, tokens: Tokens) -> Graph:
        """Return the network with new weights, which depend on the seed alone."""
        return resized(self._setup.graph, self._channels, self.sizes(tokens), self._setup.seed)

    def int8(self, tokens: Tokens) -> bytes:
        """Return a .tflite model with the operators that the network has on the device."""
        return int8_model(self.graph(tokens), self._setup)

    def size(self, tokens: Tokens) -> Size:
        """Return multiply-adds and parameters, and the latency if it is limited."""
        if tokens not in self._sizes:
            graph = self.graph(tokens)
            count = total(graph)
            latency = None if self._table is None else self._table.predict(int8_model(graph, self._setup))
            unit = None if self._table is None else self._table.unit
            self._sizes[tokens] = Size(count.multiply_adds, count.parameters, latency, unit)
        return self._sizes[tokens]

    def refused(self, tokens: Tokens) -> str:
        """Return which limit the network exceeds; an empty text if none."""
        section, size = self.section, self.size(tokens)
        if section.target_flops and size.multiply_adds > section.target_flops:
            return f"{size.multiply_adds} multiply-adds are more than target_flops ({section.target_flops})"
        if section.target_latency:
            if size.latency is None or self._table is None:
                raise UserError("target_latency needs a table of latencies: give the program one (--latency)")
            if size.latency > section.target_latency:
                return (
                    f"a latency of {size.latency:.6g} {self._table.unit} is more than target_latency "
                    f"({section.target_latency:g})"
                )
        return ""

    def described(self, tokens: Tokens) -> Mapping[str, Any]:
        """Return channels and windows by kernel."""
        sizes = self.sizes(tokens)
        return {"channels": dict(sizes.channels), "windows": dict(sizes.windows)}

    def network(self, tokens: Tokens) -> Tokens:
        """Return the channels and windows: in a group of few channels several widths are the same number."""
        sizes = self.sizes(tokens)
        return (*sizes.channels.values(), *sizes.windows.values())


def _nearest(values: list[Any], wanted: float) -> int:
    """Return the place of the value that is nearest to `wanted`; of two the first."""
    return min(range(len(values)), key=lambda place: abs(values[place] - wanted))


def int8_model(graph: Graph, setup: SearchSetup) -> bytes:
    """Return the .tflite model that a float graph would become; its operators are right, its values mean nothing.

    Raises:
        UserError: the runtime does not have an operation, or a bit width.
    """
    settings = QuantSettings.of(setup.config.quantization)
    skip = (*settings.skip_pattern, *setup.keep_in_float)
    return convert(as_if_quantised(graph, replace(settings, skip_pattern=skip))).content
