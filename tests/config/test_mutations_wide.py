"""Keys and values changed wherever they stand: in overrides, experiments, matrices, devices and compress files.

About 2,500 mutants, the same in every run. Of an accepted one the resolved configuration has what it says, and is
otherwise as it was; a refused one has a message with its line and its key. No other exception ever.
"""

import copy
import itertools
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.mutants import SCALARS, UNREADABLE, at, same
from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.config.load import Experiment, load_experiments
from qatflow.config.read_recipe import load_compress
from qatflow.config.recipe.recipe import STRATEGIES, CompressConfig
from qatflow.config.schema import json_schema
from qatflow.config.sections.base import resolved
from qatflow.config.sections.config import Config
from qatflow.config.sections.device import DeviceSection
from qatflow.config.sections.devices import devices

Keys = tuple[str, ...]

RECIPE = """\
pruners: {p: {class: StructurePruner}}
controllers: {c: {class: SAController}}
distillers: {d: {class: SoftLabelDistiller}}
strategies:
  distil: {class: DistillationStrategy, distillers: [d], end_epoch: 2}
  prune: {class: AutoPruneStrategy, pruner: p, controller: c, search_steps: 3}
  quantise: {class: QuantizationStrategy, start_epoch: 1, end_epoch: 2, float_model_save_path: out/a}
compressor: {epoch: 3, strategies: [distil, prune, quantise]}
"""
BASE = """\
data: {source: digits, validation: 300, preprocessing: {resize: stretch}}
compress: {config: recipe.yaml}
"""
GARBAGE = [
    *("", ".", "..", "foo", "é", "\ud800", "a\udfffb", "1", "null", "class", "class_", "version", "include", "x" * 200),
    *(
        "compressor",
        "pruners",
        "distillers",
        "quantizers",
        "quantise",
        "prune",
        "p",
        "model_config",
        "__class__",
        "{x}",
    ),
    *("weight_quantise_type", "weight_bit", "epochs", "compressor.epochs", "strategies.quantize.weight_bits", "a b"),
    *("strategies.quantise", "strategies.quantise.", ".epoch", "compressor..epoch", "compressor.strategies.0", "\n"),
    *("target_ratio", "number_of_clusters", "reduce_rate", "widths", "student_temperature", "compress.epoch", "data"),
]
NUMBERS: dict[str, Any] = {
    "1000000000000": 10**12,
    "1e300": 1e300,
    "4.9e-324": 4.9e-324,
    "0.25": 0.25,
    "4": 4,
    "2.0": 2.0,
}
VALUES: dict[str, Any] = {**SCALARS, **NUMBERS}


@pytest.fixture(autouse=True, scope="module")
def in_a_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("wide"))
        Path("config").symlink_to(ROOT / "config")
        Path("recipe.yaml").write_text(RECIPE)
        yield


def load(text: str) -> list[Experiment]:
    Path("mutant.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    return list(load_experiments([Path("mutant.yaml")]).values())


def names(lines: list[str], key: str, meant: Any) -> bool:
    """Return whether a message names the key, as it shows keys, at a line of a file.

    Of what is no YAML the line is known, and the key where it is a plain word.
    """
    if meant is UNREADABLE and not re.fullmatch(r"[\w.-]+", key):
        return any(re.match(r"\S+\.yaml:\d+: ", line) for line in lines)
    steps = key.split(".")
    # of a way that ends early, what there is not
    parts = [key, steps[-1] or "''", *(".".join(steps[:length]) for length in range(2, len(steps)))]
    shown = ["".join(char if char.isprintable() else repr(char)[1:-1] for char in part) for part in parts if part]
    named = re.compile("|".join(rf"(?<!\w){re.escape(part)}(?!\w)" for part in shown))
    return any(re.match(r"\S+\.yaml:\d+: ", line) and named.search(line) for line in lines)


def misspelt(key: str, chance: random.Random) -> str:
    """Return a key with one letter left out, doubled, exchanged with the next, replaced, or in another case."""
    place = chance.randrange(len(key))
    before, letter, after = key[:place], key[place], key[place + 1 :]
    return chance.choice(
        [before + after, before + letter * 2 + after, before + after[:1] + letter + after[1:], before + "x" + after,
         before + letter.upper() + after, key + "s"]
    )  # fmt: skip


def leaves(values: dict[str, Any], above: Keys = ()) -> Iterator[Keys]:
    for key, inner in values.items():
        if isinstance(inner, dict) and inner:
            yield from leaves(inner, (*above, key))
        else:
            yield (*above, key)


def choices(schema: dict[str, Any], keys: Keys) -> list[str]:
    """Return the words that the schema allows at `keys`."""
    for key in keys:
        several = schema.get("anyOf", schema.get("oneOf", [schema]))
        schema = next((one["properties"][key] for one in several if key in one.get("properties", {})), {})
    words = [word for one in [schema, *schema.get("anyOf", [])] for word in (*one.get("enum", []), one.get("const"))]
    return [word for word in words if isinstance(word, str)]


def near(plain: Any) -> Iterator[Any]:
    """Yield values like one that fits."""
    match plain:
        case bool():
            yield not plain
        case int():
            yield from (plain + 1, max(plain - 1, 0), plain + 2)
        case float():
            yield from (plain / 2, plain * 0.75, 0.125)
        case str():
            yield from ("other", f"{plain}2")
        case [first, *_]:
            yield from ([value] for value in near(first))
        case _:
            yield from (None, 3)


class Mutants:
    """Values and keys, drawn in the same order in every run; and how many of their mutants were accepted."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.tried = self.accepted = 0

    def value(self, words: list[str], plain: Any = None) -> tuple[str, Any]:
        """Return a value as it stands in a file, and what that means: one that may fit the key, or any."""
        draw = self.chance.random()
        if draw < 0.3 and words:
            word = self.chance.choice(words)
            return word, word
        if draw < 0.6:
            fitting = self.chance.choice(list(near(plain)))
            return json.dumps(fitting), fitting
        written = self.chance.choice(sorted(VALUES))
        return written, VALUES[written]

    def key(self, right: list[str]) -> str:
        """Return a key: mostly one of those that are right, else one that is nearly, or far from it."""
        draw = self.chance.random()
        if draw < 0.6:
            return self.chance.choice(right)
        return misspelt(self.chance.choice(right), self.chance) if draw < 0.85 else self.chance.choice(GARBAGE)

    def read(self, text: str, key: str, meant: Any) -> list[Experiment] | None:
        """Return what a mutant comes to; None where it is refused, by its key."""
        self.tried += 1
        try:
            found = load(text)
        except UserError as error:
            assert names(str(error).splitlines()[1:], key, meant), (key, text, str(error))
            return None
        self.accepted += 1
        return found


CLASSES = {"distil": "DistillationStrategy", "prune": "AutoPruneStrategy", "quantise": "QuantizationStrategy"}
HAS = {name: set(STRATEGIES[of].model_json_schema()["properties"]) for name, of in CLASSES.items()}
COMPRESSOR = set(json_schema(CompressConfig)["properties"]["compressor"]["properties"])


def stands_for(key: str) -> list[Keys]:
    """Return the ways in the recipe that a key of compress.overrides stands for, as its description has it."""
    if "." in key:
        return [tuple(key.split("."))]
    if key in COMPRESSOR:
        return [("compressor", key)]
    return [("strategies", name, key) for name, keys in HAS.items() if key in keys]


def set_at(values: dict[str, Any], keys: Keys, value: Any) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
    values[keys[-1]] = value


def none_as_null(value: Any) -> Any:
    """The text `none`, in any case, is null in a compress YAML."""
    if isinstance(value, list):
        return [none_as_null(inner) for inner in value]
    return None if isinstance(value, str) and value.lower() == "none" else value


def check_recipe(found: dict[str, Any], key: str, meant: Any) -> None:
    """The recipe has the value wherever the key stands for, and is otherwise as it was."""
    ways = stands_for(key)
    assert ways and meant is not UNREADABLE, key
    if meant == {}:
        return
    wanted = resolved(load_compress(Path("recipe.yaml")))
    for way in ways:
        assert same(at(found, way), meant), (key, meant)
        set_at(wanted, way, meant)
    assert found == wanted


def recipe_keys() -> list[str]:
    """Return keys with dots and short ones."""
    with_dots = [".".join(way) for way in leaves(resolved(load_compress(Path("recipe.yaml")))) if len(way) > 1]
    return [*with_dots, *sorted(COMPRESSOR), *sorted(set.union(*HAS.values()) - {"class"})]


def plain_at(values: dict[str, Any], ways: list[Keys]) -> Any:
    """Return what stands at the first of the ways; None where there is nothing."""
    for key in ways[0] if ways else ():
        values = values.get(key) if isinstance(values, dict) else None
    return values if ways else None


def words_of(key: str) -> list[str]:
    schema = json_schema(CompressConfig)["properties"]
    for way in stands_for(key)[:1]:
        if way[0] == "strategies" and way[1] in CLASSES:
            return choices(STRATEGIES[CLASSES[way[1]]].model_json_schema(), way[2:])
        if way[0] == "compressor":
            return choices(schema["compressor"], way[1:])
    return []


def test_an_override_is_in_the_resolved_recipe_or_refused_by_its_key():
    mutants, right, plain = Mutants(1), recipe_keys(), resolved(load_compress(Path("recipe.yaml")))
    keys = [*right, *GARBAGE, *(mutants.key(right) for _ in range(500))]
    for key in keys:
        written, meant = mutants.value(words_of(key), plain_at(plain, stands_for(key)))
        head = BASE.replace("compress: {config: recipe.yaml}", "compress:\n  config: recipe.yaml\n  overrides:")
        found = mutants.read(f"{head}    {json.dumps(key)}: {written}\n", key, meant)
        if found is not None:
            check_recipe(resolved(found[0].compress), key, none_as_null(meant))
    assert mutants.tried > 600 and mutants.accepted > 60


def config_keys() -> list[str]:
    """Return keys of a configuration with dots: all that an experiment may have."""
    plain = resolved(Config.model_validate({}))
    return [".".join(way) for way in leaves(plain) if way[0] not in ("experiments", "only", "experiment", "teacher")]


def check_experiment(found: Experiment, key: str, meant: Any, name: str) -> None:
    """The configuration, or the recipe, has the value at the key, and is otherwise that of the base."""
    plain = resolved(load(BASE)[0].config) | {"experiment": name}
    for section in ("data", "pretrained"):
        plain[section]["seed"] = plain["seed"]  # experiments share what these make
    config, way = resolved(found.config), tuple(key.split("."))
    if way[0] in plain:
        assert meant is not UNREADABLE, key
        if meant == {}:
            return
        written = at(config, way)
        assert same(written, meant), (key, meant)
        set_at(plain, way, meant)
        assert config == plain
    else:
        check_recipe(resolved(found.compress), key, none_as_null(meant))
        assert same(at(config, ("compress", "overrides", key)), meant)


def any_plain(key: str) -> Any:
    """Return what stands at a key of the base configuration or of its recipe."""
    config = plain_at(resolved(Config.model_validate({})), [tuple(key.split("."))])
    return config if config is not None else plain_at(resolved(load_compress(Path("recipe.yaml"))), stands_for(key))


def all_words(key: str) -> list[str]:
    return choices(json_schema(Config), tuple(key.split("."))) or words_of(key)


def test_a_key_of_an_experiment_is_in_its_resolved_configuration_or_refused_by_name():
    mutants, right = Mutants(2), [*config_keys(), *recipe_keys()]
    for key in [*right, *GARBAGE, *(mutants.key(right) for _ in range(330))]:
        written, meant = mutants.value(all_words(key), any_plain(key))
        found = mutants.read(f"{BASE}experiments:\n  a:\n    {json.dumps(key)}: {written}\n", key, meant)
        if found is None:
            continue
        if key == "seed" and isinstance(meant, list):  # each of a list is an experiment
            assert [one.config.seed for one in found] == meant
            continue
        check_experiment(found[0], key, meant, "a")
    assert mutants.tried > 500 and mutants.accepted > 80


def test_a_matrix_has_an_experiment_with_each_of_its_values_or_is_refused_by_its_key():
    mutants, right = Mutants(3), [*config_keys(), *recipe_keys()]
    for key in [*right, *GARBAGE, *(mutants.key(right) for _ in range(50))]:
        several = [mutants.value(all_words(key), any_plain(key)) for _ in range(mutants.chance.choice([1, 1, 2]))]
        listed = ", ".join(written for written, _ in several)
        found = mutants.read(
            f"{BASE}experiments:\n  a:\n    matrix:\n      {json.dumps(key)}: [{listed}]\n", key, several[0][1]
        )
        if found is None:
            continue
        assert len({one.config.experiment for one in found}) == len(found) == len(several)
        for one, (_, meant) in zip(found, several, strict=True):
            assert re.fullmatch(r"a_[\w-]+", one.config.experiment)
            check_experiment(one, key, meant, one.config.experiment)
    assert mutants.tried > 250 and mutants.accepted > 20


def test_a_key_of_a_device_is_that_of_this_device_alone_or_refused_by_its_name():
    mutants, right = Mutants(4), list(DeviceSection.model_fields)
    for key in [*GARBAGE, *(mutants.key(right) for _ in range(260))]:
        words = choices(DeviceSection.model_json_schema(), (key,))
        written, meant = mutants.value(words, resolved(DeviceSection()).get(key))
        own = "" if key == "name" else "    name: one\n"
        text = f"{BASE}device: {{repeats: 7}}\ndevices:\n  - name: two\n  -\n{own}    {json.dumps(key)}: {written}\n"
        found = mutants.read(text, key, meant)
        if found is None:
            continue
        assert meant is not UNREADABLE and key in right
        two, one = (resolved(device.section) for device in devices(found[0].config))
        plain = resolved(DeviceSection(repeats=7))
        assert two == plain | {"name": "two"}
        assert same(one[key], meant)
        assert one == plain | {"name": "one"} | {key: meant}
    assert mutants.tried > 250 and mutants.accepted > 40


PRESETS = ("auto_prune", "clustering", "light_nas", "filter_pruning_sensitive", "sparsity", "quantization_distillation")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_compress_file_means_what_it_says_or_is_refused_by_its_key(preset):
    plain = resolved(load_compress(ROOT / f"config/compress/{preset}.yaml"))
    mutants, ways = Mutants(5), [way for way in leaves(plain) if way != ("include",)]
    for way, turn in itertools.product(ways, ("value", "value", "key")):
        values = copy.deepcopy(plain)
        section, key = at(values, way[:-1]), way[-1]
        del section[key]
        written, meant = mutants.value([], at(plain, way))
        if turn == "key":
            wrong = misspelt(key, mutants.chance)
            key, written, meant = wrong, json.dumps(at(plain, way)), at(plain, way)
            if wrong in section or wrong == way[-1]:
                continue
        section["KEY"] = "VALUE"
        text = yaml.safe_dump(values, sort_keys=False).replace("KEY: VALUE", f"{json.dumps(key)}: {written}")
        Path("file.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
        mutants.tried += 1
        try:
            found = resolved(load_compress(Path("file.yaml")))
        except UserError as error:
            lines = str(error).splitlines()[1:]
            # without its class it is not known what else a section may have
            assert names(lines, "class" if way[-1] == "class" else key, meant), (key, written, lines)
            continue
        mutants.accepted += 1
        if turn == "key":  # names of strategies and the like, and keys of mappings by name, are the user's own
            assert same(at(found, (*way[:-1], key)), meant)
            continue
        assert meant is not UNREADABLE
        if meant != {}:
            wanted = copy.deepcopy(plain)
            set_at(wanted, way, none_as_null(meant))
            assert same(at(found, way), none_as_null(meant)) and found == wanted
    assert mutants.accepted > 3
