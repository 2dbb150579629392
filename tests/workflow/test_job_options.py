"""What the rules hand to their programs: all that these need, and in the part that says when a job runs again."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from helpers.places import ROOT
from qatflow.config.read_recipe import load_compress
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.base import STATE_KEYS, resolved
from qatflow.config.sections.config import Config
from qatflow.config.sections.device import DeviceSection
from qatflow.config.sections.named_files import NamedFile
from qatflow.config.sections.options import merged
from qatflow.workflow import job_options
from qatflow.workflow.job_options import Compared, RecipeParts

PRESETS = {path.stem: path for path in sorted((ROOT / "config/compress").glob("*.yaml"))}
SEARCHES = ("auto_prune", "light_nas")


def config(**values: Any) -> Config:
    return Config.model_validate(values)


def recipe(preset: str, **overrides: Any) -> CompressConfig:
    return load_compress(PRESETS[preset], overrides)


def kinds(preset: str) -> list[str]:
    """Return the jobs that a preset's recipe is handed to."""
    found = ["trained", "exported"]
    if preset in SEARCHES:
        found += ["proposed", "evaluated"]
    return [*found, "measured"] if preset == "light_nas" else found


def parts(kind: str, of: CompressConfig) -> RecipeParts:
    return getattr(job_options, f"{kind}_recipe")(of)


@pytest.mark.parametrize(("preset", "kind"), [(preset, kind) for preset in PRESETS for kind in kinds(preset)])
def test_both_parts_of_a_recipe_are_the_whole_one_and_each_value_is_in_one_of_them(preset, kind):
    whole = recipe(preset)
    found = parts(kind, whole)
    rest, shaping = json.loads(found.rest), json.loads(found.shaping)
    together = merged(rest, shaping)
    assert together == resolved(whole) and list(together["strategies"]) == list(resolved(whole)["strategies"])
    assert CompressConfig.model_validate_json(json.dumps(together)) == whole
    assert not ways(rest) & ways(shaping)


def ways(values: dict[str, Any]) -> set[str]:
    found = set()
    for key, value in values.items():
        found |= {f"{key}.{way}" for way in ways(value)} if isinstance(value, dict) else {key}
    return found


NAS = "strategies.light_nas_strategy"
QUANTISATION = "strategies.quantization_strategy"


@pytest.mark.parametrize(
    ("key", "value", "again"),
    [
        (f"{QUANTISATION}.float_model_save_path", "./elsewhere", set()),
        (f"{QUANTISATION}.save_out_nodes", None, {"exported"}),
        ("compressor.eval_epoch", 2, {"trained"}),
        (f"{QUANTISATION}.activation_quantize_type", "range_abs_max", {"trained"}),
        (f"{QUANTISATION}.weight_quantize_type", "channel_wise_abs_max", {"trained", "measured"}),
        (f"{QUANTISATION}.skip_pattern", ["conv1"], {"trained", "measured"}),
        (f"{NAS}.widths", [0.5, 1.0], {"trained", "proposed", "evaluated", "measured"}),
        (f"{NAS}.kernel_sizes", [3], {"trained", "proposed", "evaluated", "measured"}),
        (f"{NAS}.retrain_epoch", 3, {"trained", "evaluated"}),
        (f"{NAS}.metric_name", "acc_top5", {"trained", "evaluated"}),
        (f"{NAS}.target_flops", 10**6, {"trained", "proposed"}),
        (f"{NAS}.target_latency", 1e9, {"trained", "proposed"}),
        (f"{NAS}.search_steps", 1, {"trained"}),
        (f"{NAS}.end_epoch", 3, {"trained"}),
        ("controllers.sa_controller.reduce_rate", 0.5, {"trained", "proposed"}),
    ],
)
def test_a_value_of_a_recipe_runs_again_what_it_shapes(key, value, again):
    before, after = recipe("light_nas"), recipe("light_nas", **{key: value})
    assert before != after
    changed = {kind for kind in kinds("light_nas") if parts(kind, before).shaping != parts(kind, after).shaping}
    assert changed == again


def test_how_kernels_are_stored_is_of_the_optimise_stage_alone():
    before, after = (recipe("light_nas", weight_bits=4, int4_storage=stored) for stored in (False, True))
    assert [job_options.int4_storage(one) for one in (before, after)] == ["", "--int4_storage"]
    for kind in kinds("light_nas"):
        assert parts(kind, before).shaping == parts(kind, after).shaping, kind


def test_which_ratios_may_be_searched_runs_no_evaluation_again():
    before, pruner = recipe("auto_prune"), "pruners.pruner_1.criterions"
    for key, value, again in (
        ("min_ratio", 0.3, {"trained", "proposed"}),
        ("start_epoch", 5, {"trained"}),
        (pruner, {"*": "geometric_median"}, {"trained", "proposed", "evaluated"}),
    ):
        after = recipe("auto_prune", **{key: value})
        changed = {kind for kind in kinds("auto_prune") if parts(kind, before).shaping != parts(kind, after).shaping}
        assert changed == again, key


def test_how_a_state_is_kept_is_apart_from_what_is_trained():
    before = config()
    state = {"checkpoint_steps": 7, "checkpoint_seconds": 1.5}
    after = config(compress={**state, "keep_checkpoints": 9}, pretrained={"train": state})
    assert job_options.training(before) == job_options.training(after)
    assert job_options.candidate_training(before) == job_options.candidate_training(after)
    assert job_options.float_weights(before) == job_options.float_weights(after)
    assert json.loads(job_options.training_state(after)) == {**state, "keep_checkpoints": 9}
    assert json.loads(job_options.float_state(after)) == {"train": state}
    whole = merged(json.loads(job_options.training(after)), json.loads(job_options.training_state(after)))
    assert set(whole) == set(resolved(after.compress)) - {"config", "overrides"}
    train = merged(json.loads(job_options.float_weights(after)), json.loads(job_options.float_state(after)))["train"]
    assert train == resolved(after.pretrained.train) and set(state) < set(STATE_KEYS)


def test_where_the_recipe_is_written_is_no_reason_to_train_again():
    other = config(compress={"config": "mine.yaml", "overrides": {"epoch": 3}})
    assert job_options.training(other) == job_options.training(config())


def test_float_weights_say_only_what_holds_for_their_source():
    taken = {"source": "keras-applications", "train": {"epochs": 3}, "top1_tolerance": 1.0}
    assert json.loads(job_options.float_weights(config(pretrained=taken))) == {"source": "file", "fine_tune": False}
    # downloaded or not, it is a file by then
    same = {job_options.float_weights(config(pretrained={"source": source})) for source in ("file", "url")}
    assert same == {job_options.float_weights(config(pretrained=taken))}
    held = json.loads(job_options.float_weights(config(pretrained={**taken, "expected_top1": 70.0, "fine_tune": True})))
    assert (held["expected_top1"], held["top1_tolerance"], held["train"]["epochs"]) == (70.0, 1.0, 3)


def test_layers_kept_in_float_are_apart_from_the_float_model():
    kept = config(model={"keep_in_float": ["elu"]})
    assert job_options.float_model(kept) == job_options.float_model(config())
    assert json.loads(job_options.kept_in_float(kept)) == {"keep_in_float": ["elu"]}
    auto = config(model={"keep_in_float": "auto"})
    assert json.loads(job_options.kept_in_float(auto)) == {"keep_in_float": "auto"} and auto.model.kept_by_name == ()


def test_a_figure_is_published_of_a_model_that_is_given():
    figure = {"expected_top1": 70.9, "top1_tolerance": 2.0}
    assert job_options.published(config(quantized_model=figure)) == "{}"
    assert json.loads(job_options.published(config(quantized_model={**figure, "file": "m.tflite"}))) == figure
    assert job_options.published(config(quantized_model={"file": "m.tflite"})) == "{}"


def test_the_seed_of_the_data_is_no_value_of_its_section():
    assert job_options.data(config(data={"seed": 3})) == job_options.data(config())


def test_a_choice_of_method_asks_for_what_it_depends_on_alone():
    before, after = config(), config(accuracy={"worse_than_ptq": "allow"})
    assert job_options.choice_of_method(before) == job_options.choice_of_method(after)
    assert job_options.accuracy(before) != job_options.accuracy(after)


def test_a_device_is_told_to_each_job_as_far_as_it_concerns_it():
    phone = DeviceSection(
        type="adb", serial="x y", max_latency_ms=3.5, max_bytes=9, toolchain="clang", aar="a.aar", pictures=5
    )
    whole = resolved(phone)
    run, table = json.loads(job_options.device(phone)), json.loads(job_options.measured_device(phone))
    limits = {"max_latency_ms": 3.5, "max_memory_bytes": None, "max_instructions": None}
    others = {**limits, "max_bytes": 9, "packed": True, "toolchain": "clang", "aar": "a.aar"}
    assert whole == {**run, **others} and table.items() < run.items()
    assert "pictures" not in table and json.loads(job_options.device_limit(phone)) == limits
    assert json.loads(job_options.device_limits([phone])) == [limits]
    sizes = job_options.size_limits({"a b": phone, "watch": DeviceSection()})
    assert shlex.split(sizes) == ["--max-bytes", '{"a b": 9}'] and job_options.size_limits({}) == ""


def test_options_that_are_of_no_section():
    assert job_options.checksum(NamedFile(Path("w"), "u", "0" * 64)) == f"--sha256 {'0' * 64}"
    assert job_options.checksum(NamedFile(Path("w"), "u", None, "f" * 32)) == f"--md5 {'f' * 32}"
    text = job_options.compared([Compared("a", "qat", ["x", "y"], "logs/a.jsonl"), Compared("b", "ptq", [], None)])
    assert shlex.split(text) == [
        *("--experiment", "results/a", "shipped=qat", "devices=x,y", "training=logs/a.jsonl"),
        *("--experiment", "results/b", "shipped=ptq"),
    ]


def test_what_is_written_beside_the_results_is_the_whole_configuration():
    whole = config(experiment="mine", seed=5)
    written = json.loads(job_options.configuration(whole))
    assert Config.model_validate(written).seed_of("data") == 5
    assert written["compress"]["config"] == "results/mine/compress.yaml"
    assert json.loads(job_options.whole_recipe(recipe("sparsity"))) == resolved(recipe("sparsity"))
