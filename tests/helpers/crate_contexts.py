"""The JSON-LD contexts of a crate without a network: the IRIs of the terms that ours use, as their specifications say.

RO-Crate 1.1: https://w3id.org/ro/crate/1.1/context; Workflow Run: https://w3id.org/ro/terms/workflow-run/context.
"""

from collections.abc import Iterator
from typing import Any

OTHERS = {
    "File": "http://schema.org/MediaObject",
    "conformsTo": "http://purl.org/dc/terms/conformsTo",
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "FormalParameter": "https://bioschemas.org/FormalParameter",
    "input": "https://bioschemas.org/ComputationalWorkflow#input",
    "output": "https://bioschemas.org/ComputationalWorkflow#output",
    "sha256": "https://w3id.org/ro/terms/workflow-run#sha256",
}
"""Terms of RO-Crate 1.1, and of Workflow Run, that are not schema.org's."""


def terms(crate: dict[str, Any]) -> dict[str, str]:
    """Return the IRI of each type and property of a crate's metadata."""
    return {name: OTHERS.get(name, f"http://schema.org/{name}") for name in sorted(set(_names(crate)))}


def _names(crate: dict[str, Any]) -> Iterator[str]:
    for entity in crate["@graph"]:
        types = entity["@type"]
        yield from types if isinstance(types, list) else [types]
        yield from (key for key in entity if not key.startswith("@"))
