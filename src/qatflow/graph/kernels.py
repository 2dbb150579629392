"""Kernels of a graph by a pattern of the compress YAML."""

import re
from collections.abc import Collection, Mapping, Sequence

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.graph.kinds import CONSTANTS
from qatflow.graph.names import listed
from qatflow.graph.operations import BatchNorm

UNTRAINED = (*CONSTANTS, "constant")
"""Roles of weights that no training changes; their nodes count as frozen too."""
UNFREEZE = "with model.frozen_layers: train they are like all others"


def matching_kernels(graph: Graph, pattern: str, key: str) -> list[str]:
    """Return the names of the kernels that start with a match of a regular expression, in the graph's order.

    Args:
        graph: in float.
        pattern: the expression.
        key: of the compress YAML that gives it, for the error.

    Raises:
        UserError: it matches none.
    """
    return matching([node.kernel for node in graph.nodes if node.kernel is not None], pattern, key)


def trained_kernels(graph: Graph, pattern: str, key: str, without: str = "") -> list[str]:
    """Return what `matching_kernels` does, without the kernels of frozen layers.

    Args:
        graph: in float.
        pattern: the expression.
        key: of the compress YAML that gives it, for the error.
        without: what those of frozen layers do not become, to print them: `pruned`, …

    Raises:
        UserError: the expression matches no kernel, or those of frozen layers alone.
    """
    matches = matching_kernels(graph, pattern, key)
    untrained = frozen_kernels(graph)
    frozen = [kernel for kernel in matches if kernel in untrained]
    if len(frozen) == len(matches):
        raise UserError(
            f"{key}: '{pattern}' matches kernels of frozen layers alone, which stay as they are "
            f"({listed(frozen)}): {UNFREEZE}"
        )
    if frozen and without:
        print(f"frozen, and so not {without}: {listed(frozen)}; {UNFREEZE}", flush=True)
    return [kernel for kernel in matches if kernel not in untrained]


def by_pattern(graph: Graph, quantised: Collection[str], values: Mapping[str, int], key: str) -> dict[str, int]:
    """Return the value of each quantised kernel that a pattern matches, by its name.

    Args:
        graph: in float.
        quantised: names of its quantised kernels.
        values: by regular expression for the beginning of their names.
        key: of the compress YAML that gives them, for the error.

    Raises:
        UserError: an expression matches no kernel, or only some that stay in float; or two with different values match
            the same kernel.
    """
    none = (
        "matches kernels alone that stay in float ({}): remove it, or take these layers out of what keeps them in float"
    )
    kernels = [node.kernel for node in graph.nodes if node.kernel is not None]
    return values_by_pattern(kernels, {kernel: kernel for kernel in quantised}, values, key, none)


def values_by_pattern(
    names: Sequence[str],
    owners: Mapping[str, str],
    values: Mapping[str, int],
    key: str,
    none: str,
    kind: str = "kernel",
) -> dict[str, int]:
    """Return the value of each owner of a name that a pattern matches.

    Args:
        names: of kernels or layers.
        owners: who has the value, by those of the names that may be matched.
        values: by regular expression for the beginning of the names.
        key: of the compress YAML that gives them, for the error.
        none: what is wrong where a pattern matches only names without an owner; `{}` stands for these names.
        kind: what the names are of: kernel or layer.

    Raises:
        UserError: an expression matches no name, or none with an owner; or two with different values match names of the
            same owner.
    """
    chosen: dict[str, tuple[str, int]] = {}
    for pattern, value in values.items():
        matches = matching(names, pattern, key, kind)
        wanted = [owners[name] for name in matches if name in owners]
        if not wanted:
            raise UserError(f"{key}: '{pattern}' {none.format(listed(matches))}")
        for owner in wanted:
            other, known = chosen.setdefault(owner, (pattern, value))
            if known != value:
                raise UserError(
                    f"{key}: '{other}' and '{pattern}' both match {owner}, with {known} and {value}: change one of "
                    f"them, so that each {kind} has one value"
                )
    return {owner: value for owner, (_, value) in chosen.items()}


def frozen_kernels(graph: Graph) -> set[str]:
    """Return the names of the kernels that training leaves as they are."""
    return {node.kernel for node in graph.nodes if node.kernel is not None and node.name in graph.frozen}


def frozen_layers(graph: Graph) -> list[str]:
    """Return the names of the nodes that other weights than constants are frozen in."""
    owners = {name.rpartition("/")[0] for name in graph.weights if name.rpartition("/")[2] not in UNTRAINED}
    frozen = [node for node in graph.nodes if node.name in graph.frozen & owners]
    # batch-norm without gamma and beta has them as constants, and new statistics in each batch
    return [n.name for n in frozen if not isinstance(n.operation, BatchNorm) or n.name in graph.moving_statistics]


def matching(names: Sequence[str], pattern: str, key: str, kind: str = "kernel") -> list[str]:
    """Return those of some names that start with a match of a regular expression; see `matching_kernels`."""
    matches = [name for name in names if re.match(pattern, name)]
    if not matches:
        raise UserError(f"{key}: no {kind}'s name matches '{pattern}'; the names are {', '.join(names[:6])}, …")
    return matches
