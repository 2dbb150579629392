"""Files of whole models whose description is damaged: one message, or the model that the description says."""

import copy
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from qatflow.base.errors import UserError
from qatflow.models.described_fit import described_classes, described_float_layers, ends_problem, picture_shape
from qatflow.models.own_file import DEFAULTS, check_description, model_of
from qatflow.models.saved.weights_file import description, open_weights

VERSION = json.dumps({"keras_version": "2.15.0"})
UNUSED = ("dtype", "build_config", "trainable")  # computed in float32, built by what they read, trained as a whole
Entry = tuple[str, str | bytes]
"""Name and content."""
VALUES: Any = (
    None, -1, 0, 3, 1.5, 1e30, "x", "same", True, [], [1], [2, 2], {}, {"class_name": "Conv2D"}, [[[["x"]]]]
)  # fmt: skip


def archive(path: Path, *parts: tuple[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts:
            file.writestr(name, content)
    return path


def described(path: Path) -> dict[str, Any]:
    found = description(path)
    clean = check_description(found, str(path))
    for judged in (ends_problem, picture_shape, described_classes, lambda plain: described_float_layers(plain, ["x"])):
        judged(clean)  # says nothing of a description that is damaged in another way
    return found


@pytest.mark.parametrize(
    "text", ["[1]", "x", "null", "1", '"x"', "{}", '{"class_name": 1, "config": []}', "[" * 100_000]
)
def test_a_description_that_is_none_is_one_message(tmp_path: Path, text: str):
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file.attrs["model_config"] = text if len(text) < 60_000 else text[:60_000]
    weights = (tmp_path / "own.h5").read_bytes()
    parts: list[Entry] = [("metadata.json", VERSION), ("config.json", text), ("model.weights.h5", weights)]
    for path in (tmp_path / "own.h5", archive(tmp_path / "own.keras", *parts)):
        with pytest.raises(UserError, match=rf"{path.name} is damaged.* \(.+\)"):
            described(path)


def test_an_archive_with_odd_entries_is_one_message(tmp_path: Path):
    parts: list[Entry] = [("metadata.json", VERSION), ("config.json", "{}"), ("model.weights.h5", b"")]
    deep = archive(tmp_path / "deep.keras", ("metadata.json", "[" * 100_000), *parts[1:])
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = archive(tmp_path / "twice.keras", *parts, ("config.json", "[1]"))
    content = bytearray(archive(tmp_path / "encrypted.keras", *parts).read_bytes())
    content[content.find(b"PK\1\2") + 8] |= 1  # the flag of an encrypted entry
    (tmp_path / "encrypted.keras").write_bytes(content)
    for path in (deep, twice, tmp_path / "encrypted.keras"):
        with pytest.raises(UserError, match=rf"{path.name} is damaged.* \(.+\)"):
            described(path)


def test_a_link_to_another_file_is_refused_and_not_followed(tmp_path: Path):
    os.mkfifo(tmp_path / "fifo")  # whoever opens it waits for ever
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = np.array([b"conv1"])
        group = file.create_group("conv1")
        group.attrs["weight_names"] = np.array([b"kernel"])
        group["kernel"] = h5py.ExternalLink(str(tmp_path / "fifo"), "/x")
    with pytest.raises(UserError, match=r"w\.h5"), open_weights(tmp_path / "w.h5", ["conv2d"]):
        pass


@pytest.mark.parametrize(
    ("activation", "shown"),
    [
        ({"class_name": "__lambda__", "config": {"value": ["4wEAAAAAAAAA\n", None, None]}}, "that is written as code"),
        ({"value": ["4wEAAAAAAAAA\n", None, None]}, "that is written as code"),
        ({"class_name": "function", "config": "log_softmax", "registered_name": "log_softmax"}, "log_softmax"),
        ({"class_name": "PReLU", "config": {}}, "PReLU"),
        ("log_softmax", "log_softmax"),
    ],
)
def test_an_activation_that_is_not_known_is_named_in_one_line(activation: Any, shown: str):
    layer = {"class_name": "Conv2D", "config": {"name": "conv", "activation": activation}}
    whole = {"class_name": "Sequential", "config": {"name": "own", "layers": [layer]}}
    with pytest.raises(UserError, match=f"layer conv: activation {shown}.* cannot be translated; known: ") as refused:
        check_description(whole, "own.h5")
    assert "4wE" not in str(refused.value) and "\n" not in str(refused.value)


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value within nested lists and mappings."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*way, key)
        yield from places(inner, (*way, key))


def at(value: Any, way: tuple[Any, ...]) -> Any:
    for key in way:
        value = value[key]
    return value


def plain(value: Any) -> Any:
    """As Keras may write the same: lists for tuples, pairs for single numbers, names for activations."""
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return float(value) if isinstance(value, int | float) else value


def same(said: Any, made: Any) -> bool:
    """Whether Keras has taken a value as it is: by its truth, in float32, as a whole number, or as a pair of itself."""
    if not said and not made:
        return True
    if isinstance(said, float) and isinstance(made, int | float):
        return made == int(said) or made == pytest.approx(said, rel=1e-6)
    return plain(made) in (plain(said), plain([said, said]), plain([said]))


@pytest.mark.tensorflow
def test_a_mutant_of_a_description_is_refused_or_means_what_it_says(tmp_path: Path):
    from tf_keras import Model, layers

    given = layers.Input((8, 8, 1), name="input")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(given)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Add(name="sum")([x, layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)])
    x = layers.MaxPooling2D(2, name="pool")(layers.LeakyReLU(0.1, name="leaky")(x))
    x = layers.Dense(3, activation="softmax", name="head")(layers.Flatten(name="flat")(x))
    whole = json.loads(Model(given, x).to_json())
    ways = list(places(whole["config"]))
    random = np.random.default_rng(0)
    accepted, ignored = 0, []
    for _ in range(300):
        mutant = copy.deepcopy(whole)
        way = ways[random.integers(len(ways))]
        parent = at(mutant["config"], way[:-1])
        value = copy.deepcopy(VALUES[random.integers(len(VALUES))])
        gone = random.random() < 0.2
        if gone:
            del parent[way[-1]]
        else:
            parent[way[-1]] = value
        try:
            made = model_of(mutant, "own.keras")
        except UserError as error:
            assert str(error).startswith("own.keras")
            continue
        accepted += 1
        if gone or any(isinstance(key, str) and (key.endswith(DEFAULTS) or key in UNUSED) for key in way):
            continue  # the library's default; what only matters to new weights
        try:
            if not same(value, at(json.loads(made.to_json())["config"], way)):
                ignored.append((way, value))
        except (LookupError, TypeError):
            ignored.append((way, value))
    assert accepted > 50
    assert ignored == [], "\n".join(map(str, ignored))
