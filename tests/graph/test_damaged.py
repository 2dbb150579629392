"""A stored graph with wrong values: one message, or it means what it says."""

import copy
import json
import random
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from helpers.branching import branching
from helpers.graphs import small_graph
from qatflow.base.errors import UserError
from qatflow.graph.graph import ActivationScale, Graph
from qatflow.graph.store import from_text, load, tensors, to_json, write
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.lower import convert

SETTINGS = QuantSettings(8, 8, "channel_wise_abs_max", "moving_average_abs_max")
MUTANTS = 1000  # of the description and of the weights, of each of the two graphs
VALUES = [
    None, True, False, -1, 0, 1, 2**31, 2**63, 10**30, 10**400, 0.5, 1e308, -1e308, float("nan"), float("inf"), "x", "",
    "\ud800", "a\0b", [], [1], [[]], {}, {"a": 1}, "__class__", [10**9, 10**9], -(2**31), "relu", "valid", "Add",
]  # fmt: skip
GRAPHS: dict[str, Callable[[], Graph]] = {
    "float": branching,
    "int8": lambda: as_if_quantised(small_graph(), SETTINGS),
}


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in items:
        yield (*at, key)
        yield from places(one, (*at, key))


def damaged(description: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """The description with one value replaced, removed, added or renamed, or its nodes wired or ordered otherwise."""
    made = copy.deepcopy(description)
    nodes = made["nodes"]
    way = draw.choice(["value", "value", "value", "gone", "more", "wired", "twice", "order", "name"])
    *above, last = draw.choice(list(places(made)))
    inside: Any = made
    for key in above:
        inside = inside[key]
    if way == "value":
        inside[last] = draw.choice(VALUES)
    elif way == "gone":
        del inside[last]
    elif way == "more" and isinstance(inside, dict):
        inside[draw.choice(["strides", "inputs", "zero_point", "dynamic", "activation", "x"])] = draw.choice(VALUES)
    elif way == "more":
        inside.insert(0, draw.choice([*VALUES, *inside]))
    elif way == "wired":
        node = draw.choice(nodes)
        node["inputs"] = [draw.choice(nodes)["name"] for _ in range(draw.choice([len(node["inputs"]), 1, 2]))]
    elif way == "twice":
        nodes.insert(draw.randrange(len(nodes)), copy.deepcopy(draw.choice(nodes)))
    elif way == "order":
        one, two = draw.sample(range(len(nodes)), 2)
        nodes[one], nodes[two] = nodes[two], nodes[one]
    else:
        draw.choice(nodes)["name"] = draw.choice([*VALUES, *(node["name"] for node in nodes)])
    return made


def damaged_weights(content: bytes, draw: random.Random) -> bytes:
    """The file of the weights with a header, a shape, a type, an array or some bytes changed."""
    length = struct.unpack("<Q", content[:8])[0]
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    one, two = (draw.choice([name for name in header if name != "__metadata__"]) for _ in range(2))
    way = draw.randrange(9)
    if way == 0:
        header[one]["data_offsets"] = header[two]["data_offsets"]
    elif way == 1:
        header[one]["shape"] = draw.choice([[], [-1], [2**40, 2**40], [0], [10**9], header[two]["shape"]])
    elif way == 2:
        header[one]["dtype"] = draw.choice(["F64", "I64", "I32", "BOOL", "F16", "BF16", "X", "U8", "I8", "F8_E4M3"])
    elif way == 3:
        header[one], header[two] = header[two], header[one]
    elif way == 4:
        return content[: draw.randrange(len(content))]
    elif way == 5:
        return draw.choice([2**20, 2**31, 2**40, 2**62]).to_bytes(8, "little") + content[8:]
    elif way == 6:
        place = draw.randrange(8 + length)
        return content[:place] + draw.randbytes(1) + content[place + 1 :]
    if way < 4:
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + body
    return _other_arrays(content, one, two, draw)


def _other_arrays(content: bytes, one: str, two: str, draw: random.Random) -> bytes:
    from safetensors.numpy import load as parse

    arrays = parse(content)
    values = arrays[one].copy()
    change = draw.choice(["gone", "more", "nan", "infinite", "minus", "half", "wide", "flat", "as another"])
    if change == "gone":
        del arrays[one]
    elif change == "more":
        arrays[f"{one}.more"] = values
    elif change == "wide":
        arrays[one] = values.astype(np.float64)
    elif change == "flat":
        arrays[one] = values.reshape(-1)
    elif change == "as another":
        arrays[one] = arrays[two]
    else:
        values = values.astype(np.float32)
        values.reshape(-1)[draw.randrange(values.size)] = {
            "nan": np.nan, "infinite": np.inf, "minus": -1e5, "half": 0.3,
        }[change]  # fmt: skip
        arrays[one] = values
    return save(arrays)


def plain(value: Any) -> Any:
    """As it comes back from a file, names of a set in one order."""
    return json.loads(json.dumps({**value, "in_float": sorted(value["in_float"])}))


def outcome(text: bytes, model: Path, weights: Path) -> Graph | None:
    """The graph; None where it is refused, in one message that names the file or the folder and says what to do."""
    try:
        return from_text(text, model, weights)
    except UserError as error:
        wanted = (
            rf"({re.escape(str(model.parent))}\S*: damaged \(.+\): make or export it again|.*not a qatflow graph 1.*)"
        )
        assert re.fullmatch(wanted, str(error)), str(error)
        return None


def same_weights(graph: Graph, weights: Path) -> None:
    """Assert that the graph says of its arrays what the file does."""
    stored, kept = load_file(weights), tensors(graph, "integer")
    assert stored.keys() == kept.keys()
    for name, values in stored.items():
        np.testing.assert_array_equal(kept[name], values)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_damaged_description_is_refused_or_means_what_it_says(name: str, tmp_path: Path):
    write(GRAPHS[name](), tmp_path)
    model, weights = tmp_path / "model", tmp_path / "weights"
    whole, draw, accepted = json.loads(model.read_text()), random.Random(name), 0
    for _ in range(MUTANTS):
        mutant = damaged(whole, draw)
        graph = outcome(json.dumps(mutant).encode(), model, weights)
        if graph is None:
            continue
        accepted += mutant != whole
        assert plain(to_json(graph)) == plain(mutant)
        same_weights(graph, weights)
        runs(graph)
    # other names of aliases, bits, rates and the like; were it none, the mutants would show nothing
    assert 0 < accepted < MUTANTS / 4


@pytest.mark.parametrize("name", GRAPHS)
def test_damaged_weights_are_refused_or_mean_what_they_say(name: str, tmp_path: Path):
    write(GRAPHS[name](), tmp_path)
    model, weights = tmp_path / "model", tmp_path / "weights"
    text, whole, draw, accepted = model.read_bytes(), weights.read_bytes(), random.Random(name), 0
    for _ in range(MUTANTS):
        mutant = damaged_weights(whole, draw)
        weights.write_bytes(mutant)
        graph = outcome(text, model, weights)
        if graph is None:
            continue
        accepted += mutant != whole
        same_weights(graph, weights)
        assert all(np.isfinite(values).all() for values in graph.weights.values())
        runs(graph)
    assert 0 < accepted < MUTANTS / 4


def runs(graph: Graph) -> None:
    """Assert that an accepted graph becomes a .tflite, or is refused in words."""
    try:
        assert convert(graph).content
    except UserError as error:
        assert str(error)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"[]", b"null", b"1", b'"x"', b"{}", b'{"format": 1}', b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe",
        b"\xef\xbb\xbf{}", b"1" * 5000, b'{"format": "qatflow graph 1"}', b'{"format": "qatflow graph 1", "format": 2}',
    ],
)  # fmt: skip
def test_a_text_that_is_no_graph_is_one_message(text: bytes, tmp_path: Path):
    write(branching(), tmp_path)
    assert outcome(text, tmp_path / "model", tmp_path / "weights") is None


def test_what_was_accepted_before_and_is_nonsense_is_refused(tmp_path: Path):
    write(GRAPHS["int8"](), tmp_path)
    whole = json.loads((tmp_path / "model").read_text())
    first = whole["nodes"][0]["name"]

    def refused(message: str, **changed: Any) -> None:
        (tmp_path / "model").write_text(json.dumps({**whole, **changed}))
        with pytest.raises(UserError, match=rf"{tmp_path}/model: damaged \({message}.*\): make or export it again"):
            load(tmp_path)

    refused("it has no outputs", outputs=[])
    refused("two nodes have the name", nodes=[whole["nodes"][0], *whole["nodes"]])
    refused("node 'conv' reads 'input', but no earlier node", nodes=whole["nodes"][1:])
    refused(
        r"it, activations, 'input', zero_point is nan", activations={first: {"bits": 8, "zero_point": float("nan")}}
    )
    refused("the zero point of 'input' is 128", activations={first: {"bits": 8, "zero_point": 128}})
    dynamic = {"bits": 8, "zero_point": 3, "dynamic": True}
    refused("the zero point of 'input' is 3; without a scale it is 0 or -128", activations={first: dynamic})
    refused("activations has 'pad', which takes its scale", activations={"pad": {"bits": 8, "zero_point": 0}})
    refused("it has an unknown entry 'more'", more=1)
    refused("it, weight_bits, 'conv/kernel' is 1, but must be a number from 2 to 16", weight_bits={"conv/kernel": 1})
    refused("in_float has 'logits'", in_float=["logits"])
    joined = next(node for node in whole["nodes"] if node["name"] == "sum")
    alone = [{**node, "inputs": ["left_bn"]} if node is joined else node for node in whole["nodes"]]
    (tmp_path / "model").write_text(json.dumps({**whole, "nodes": alone}))
    with pytest.raises(UserError, match=r"weights: damaged \('sum/constant' is missing\): make or export it again"):
        load(tmp_path)
    thrice = [{**node, "inputs": ["left_bn"] * 3} if node is joined else node for node in whole["nodes"]]
    refused(r"node 'sum' \(Add\) has 3 inputs, and needs 1 or 2", nodes=thrice)


def test_a_scale_that_is_gone_is_not_taken_for_one_found_for_each_picture(tmp_path: Path):
    graph = GRAPHS["int8"]()
    dynamic = replace(graph, activation_scales={**graph.activation_scales, "pool": ActivationScale(8, None)})
    write(dynamic, tmp_path)
    assert load(tmp_path).activation_scales["pool"] == ActivationScale(8, None)
    write(graph, tmp_path)
    arrays = load_file(tmp_path / "weights")
    del arrays["pool.scale"]
    (tmp_path / "weights").write_bytes(save(arrays))
    with pytest.raises(UserError, match=r"weights: damaged \('pool\.scale' is missing\)"):
        load(tmp_path)
