"""Kernels of a graph by a pattern of the compress YAML."""

import re
from collections.abc import Sequence

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph


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


def matching(kernels: Sequence[str], pattern: str, key: str) -> list[str]:
    """Return those of some kernels' names that start with a match of a regular expression; see `matching_kernels`."""
    matches = [kernel for kernel in kernels if re.match(pattern, kernel)]
    if not matches:
        raise UserError(f"{key}: no kernel's name matches '{pattern}'; the names are {', '.join(kernels[:6])}, …")
    return matches
