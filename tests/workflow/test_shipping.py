"""Which model ships, and what follows from it: the checkpoints are plain files here, without Snakemake."""

import json
from pathlib import Path

import pytest
from snakemake.io import is_flagged

from helpers.graphs import small_graph
from helpers.places import ROOT
from qatflow.base.sums import write_sealed
from qatflow.config.load import load_experiments
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.lower import convert
from qatflow.workflow.plan import Plan
from qatflow.workflow.shipping import Shipping

THIN = {"compress.config": "config/compress/quantization_pruning.yaml"}


class NotYetError(Exception):
    """What Snakemake raises while a checkpoint has not run."""


@pytest.fixture
def shipping(tmp_path, monkeypatch) -> Shipping:
    """An experiment of each kind; a checkpoint has run where its file is in the folder."""
    (tmp_path / "ready.tflite").write_bytes(b"a model")
    experiments = {
        "q": {"method": "qat"},
        "p": {"method": "ptq"},
        "auto": {"method": "auto"},
        "thin": {"method": "qat", **THIN},
        "ready": {"quantized_model.file": str(tmp_path / "ready.tflite")},
    }
    monkeypatch.chdir(ROOT)
    files = [Path("config/config.yaml"), Path("config/test.yaml")]
    plan = Plan.of(load_experiments(files, {"experiments": experiments}))

    def checkpoint(name: str):
        def file(experiment: str) -> str:
            path = tmp_path / f"{experiment}.{name}.json"
            if not path.exists():
                raise NotYetError
            return str(path)

        return file

    return Shipping(plan, checkpoint("method"), checkpoint("gate"), NotYetError)


def has_run(tmp_path: Path, experiment: str, name: str, **values: object) -> None:
    (tmp_path / f"{experiment}.{name}.json").write_text(json.dumps(values))


def job(experiment: str) -> dict[str, str]:
    return {"experiment": experiment}


def test_the_method_says_what_ships_and_with_auto_its_checkpoint(shipping, tmp_path):
    assert [shipping.shipped(name) for name in ("q", "p", "ready")] == ["qat", "ptq", "ready"]
    assert shipping.file("model.tflite")(job("q")) == "results/q/q_opt/model.tflite"
    assert shipping.file("labels.txt")(job("p")) == "results/p/p_ptq/labels.txt"
    assert shipping.file("labels.txt")(job("ready")) == "results/ready/ready_ready/labels.txt"
    for ask in (shipping.shipped, lambda name: shipping.file("x")(job(name)), lambda _: shipping.trained()):
        with pytest.raises(NotYetError):
            ask("auto")
    for method, trained in (("ptq", ["q", "thin"]), ("qat", ["q", "auto", "thin"])):
        has_run(tmp_path, "auto", "method", method=method)
        assert shipping.shipped("auto") == method and shipping.trained() == trained


def narrow_model(folder: Path, bits: int) -> Path:
    """A quantised model that is not ours any more: a file."""
    graph = as_if_quantised(small_graph(), QuantSettings({".*": bits}, 8, "abs_max", "moving_average_abs_max"))
    path = folder / f"{bits}.tflite"
    path.write_bytes(convert(graph).content)
    return path


def test_weights_of_fewer_than_8_bits_are_packed_and_sent_so_unless_the_device_wants_the_model_itself(
    monkeypatch, tmp_path
):
    monkeypatch.chdir(ROOT)
    experiments = {
        "q": {"method": "qat"},
        "p": {"method": "ptq"},
        "own": {"method": "ptq", "ptq.tool": "qatflow", "compress.overrides": {"weight_bits": 4}},
        "auto": {"method": "auto", "ptq.tool": "qatflow", "compress.overrides": {"weight_bits": 3}},
        "chosen": {"method": "qat", "compress.overrides": {"auto_bits": {"max_bytes": 9000}}},
        "came": {"quantized_model.file": str(narrow_model(tmp_path, 4))},
        "came8": {"quantized_model.file": str(narrow_model(tmp_path, 8))},
        "there": {"quantized_model": {"url": "http://127.0.0.1:1/m.tflite", "sha256": "0" * 64}},
        "two": {"method": "qat", "compress.overrides": {"weight_bits": 2}},
        "some": {"method": "qat", "device.packed": False, "compress.overrides": {"weight_bits": {"conv1": 4}}},
    }
    files = [Path("config/config.yaml"), Path("config/test.yaml")]
    plan = Plan.of(load_experiments(files, {"experiments": experiments}))
    said = [lambda name, file=file: str(tmp_path / f"{name}.{file}.json") for file in ("method", "gate")]
    shipping = Shipping(plan, *said, NotYetError)
    kinds = {"own": "ptq", "auto": "opt", "chosen": "opt", "came": "ready", "two": "opt", "some": "opt"}
    assert plan.packed() == list(kinds)
    none: dict[str, str | list[str]] = {name: [] for name in experiments}
    files = {name: f"results/{name}/{name}_{kind}/model.tflite.packed" for name, kind in kinds.items()}
    assert plan.packed_files() == list(files.values())
    for method, kind in (("qat", "opt"), ("ptq", "ptq")):
        has_run(tmp_path, "auto", "method", method=method)
        files["auto"] = f"results/auto/auto_{kind}/model.tflite.packed"
        assert {name: shipping.packed(job(name)) for name in experiments} == none | files
    sent = {name: shipping.sent_packed({**job(name), "device": "emulator"}) for name in experiments}
    assert sent == none | files | {"some": []}
    has_run(tmp_path, "own", "gate", passed=True)
    assert "pack_model/own_ptq" in stage_names(shipping, "own")


def test_a_checkpoint_s_file_that_was_changed_ends_the_run(shipping, tmp_path):
    path = tmp_path / "auto.method.json"
    write_sealed(path, {"method": "ptq"}, [])
    assert shipping.shipped("auto") == "ptq"
    path.write_text(path.read_text().replace("ptq", "qat"))
    with pytest.raises(SystemExit, match=r"^error: .*auto\.method\.json"):
        shipping.shipped("auto")


def test_files_are_needed_where_there_is_a_float_model_or_none_or_a_training(shipping):
    where_float = shipping.where_float("results/{experiment}/layers.json")
    assert where_float(job("q")) == "results/q/layers.json" and where_float(job("ready")) == []
    history = shipping.where_float(shipping.plan.pretrained_file("history.csv"))
    assert history(job("p")) == "pretrain/MobileNetV1_digits_pretrained/history.csv" and history(job("ready")) == []
    quantised = shipping.where_quantized("results/{experiment}/x")
    assert quantised(job("ready")) == "results/ready/x" and quantised(job("q")) == []
    trained = shipping.where_trained("results/{experiment}/a", "results/{experiment}/b")
    assert trained(job("q")) == ["results/q/a", "results/q/b"] and trained(job("p")) == trained(job("ready")) == []
    best = shipping.best_where_trained(lambda wildcards: [f"results/{wildcards['experiment']}/best.json"])
    assert best(job("q")) == ["results/q/best.json"] and best(job("p")) == []
    assert shipping.training_time("q") == ["logs/train_int8/q.jsonl"] and shipping.training_time("p") == []


def test_a_thinner_network_has_no_rival_and_is_compared_with_its_own_values(shipping):
    assert shipping.rival(job("q")) == ["results/q/q_ptq/model.tflite"]
    assert shipping.rival(job("p")) == shipping.rival(job("thin")) == []
    assert shipping.float_of_its_shape(job("q")) == "results/q/q_float_opt/model.tflite"
    assert shipping.float_of_its_shape(job("thin")) == ["results/thin/trained/model", "results/thin/trained/weights"]


def test_behind_a_gate_that_has_not_run_all_is_planned_and_behind_a_closed_one_the_report_alone(shipping, tmp_path):
    devices = shipping.on_devices_where_open("results/{experiment}/device/{device}/report.json")
    report = ["results/q/device/emulator/report.json"]
    assert devices(job("q")) == report and shipping.report_where_closed(job("q")) == []
    with pytest.raises(NotYetError):
        shipping.gate_is_open("q")
    has_run(tmp_path, "q", "gate", passed=False)
    assert shipping.gate_is_closed("q")
    assert devices(job("q")) == [] and shipping.report_where_closed(job("q")) == ["results/q/summary.json"]
    has_run(tmp_path, "q", "gate", passed=True)
    assert devices(job("q")) == report and shipping.report_where_closed(job("q")) == []


def test_the_comparison_waits_for_all_gates_and_has_the_devices_of_the_open_ones(shipping, tmp_path):
    devices = shipping.on_each_device_where_open("{experiment}/{device}")
    for name in ("q", "p", "auto", "thin"):
        has_run(tmp_path, name, "gate", passed=name != "p")
    for ask in (devices, shipping.all_reports):
        with pytest.raises(NotYetError):
            ask({})
    has_run(tmp_path, "ready", "gate", passed=True)
    assert devices({}) == ["q/emulator", "auto/emulator", "thin/emulator", "ready/emulator"]
    assert shipping.all_reports({}) == [f"results/{name}/summary.json" for name in ("q", "p", "auto", "thin", "ready")]
    has_run(tmp_path, "auto", "method", method="ptq")
    assert shipping.training_times({}) == ["logs/train_int8/q.jsonl", "logs/train_int8/thin.jsonl"]


def test_an_open_gate_counts_for_the_order_alone_but_with_method_auto(shipping):
    passed = {name: shipping.accuracy_passed(job(name)) for name in ("q", "auto")}
    assert passed == {"q": "results/q/.gate_passed", "auto": "results/auto/.gate_passed"}
    assert is_flagged(passed["q"], "ancient") and not is_flagged(passed["auto"], "ancient")


def test_the_report_has_time_and_memory_of_the_stages_that_an_experiment_has(shipping):
    assert stage_names(shipping, "q") == [
        "prepare_data/digits", "make_pretrained/MobileNetV1_digits", "optimize_float/MobileNetV1_digits",
        "quantise_after_training/MobileNetV1_digits", "choose_widths/q", "train_int8/q", "export_models/q",
        "optimize_int8/q", "evaluate_fake_quant/q", "inspect_layers/q", "gate_accuracy/q",
        "evaluate_tflite/q", "build_mobile_light/android.armv8.gcc", "run_on_device/q.emulator",
    ]  # fmt: skip
    assert not {"train_int8/p", "evaluate_fake_quant/p"} & set(stage_names(shipping, "p"))
    assert stage_names(shipping, "ready") == [
        "prepare_data/digits", "adopt_ready_model/ready", "gate_accuracy/ready", "evaluate_tflite/ready",
        "build_mobile_light/android.armv8.gcc", "run_on_device/ready.emulator",
    ]  # fmt: skip


def test_behind_a_closed_gate_no_device_of_an_earlier_run_is_a_stage(shipping, tmp_path):
    has_run(tmp_path, "p", "gate", passed=False)
    assert not [name for name in stage_names(shipping, "p") if name.startswith(("build", "run_on"))]


def stage_names(shipping: Shipping, experiment: str) -> list[str]:
    paths = shipping.stages(job(experiment))
    return [path.removeprefix("logs/").removesuffix(".jsonl") for path in paths]
