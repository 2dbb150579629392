"""Which files a job of each experiment reads: from the configuration alone, without Snakemake."""

import re
from pathlib import Path
from typing import Any

import pytest
from snakemake.exceptions import WorkflowError

from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.config.load import load_experiments
from qatflow.workflow.plan import Plan, files_of

SHA256 = "0" * 64
A, B = {"experiment": "a"}, {"experiment": "b"}


def plan_of(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Plan:
    monkeypatch.chdir(ROOT)
    return Plan.of(load_experiments([Path("config/config.yaml"), Path("config/test.yaml")], settings))


@pytest.fixture
def two(monkeypatch) -> Plan:
    """Experiments that share data and float weights; b has layers in float and a device of its own."""
    own = {"model.keep_in_float": ["conv1"], "devices": [{"name": "board", "target": "linux.armv8"}]}
    return plan_of(monkeypatch, experiments={"a": None, "b": own})


def test_a_job_has_the_configuration_of_its_experiment_or_of_one_that_shares_it(two):
    assert two.config_of(A).experiment == "a" and two.config_of(B).experiment == "b"
    assert two.config_of({"pretrained": "MobileNetV1_digits", "kept": ""}).pretrained.name == "MobileNetV1_digits"
    assert two.config_of({"dataset": "digits"}).data.name == "digits"
    assert two.config_of({"experiment": "b", "device": "board"}).experiment == "b"
    with pytest.raises(KeyError):
        two.config_of({"experiment": "c"})


def test_shared_models_are_in_one_folder_for_each_choice_of_layers_in_float(two):
    assert two.data_manifest(A) == two.data_manifest({"dataset": "digits"}) == "data/digits/manifest.json"
    assert two.pretrained_file("model")(A) == "pretrain/MobileNetV1_digits_pretrained/model"
    assert two.shared_float_model(A) == two.shared_float_model(B)
    plain, kept = two.shared_ptq_model(A)[0], two.shared_ptq_model(B)[0]
    assert plain == "pretrain/MobileNetV1_digits_ptq/model.tflite"
    assert kept.startswith("pretrain/MobileNetV1_digits_ptq_float_")
    suffix = Path(kept).parent.name.removeprefix("MobileNetV1_digits_ptq")
    assert {name: shared.config.model.keep_in_float for name, shared in two.ptq_models.items()} == {
        "": [],
        suffix: ["conv1"],
    }


def test_another_calibration_method_has_a_ptq_model_of_its_own(monkeypatch):
    own = {"compress.overrides": {"calibration_method": "entropy"}}
    plan = plan_of(monkeypatch, experiments={"a": None, "b": own})
    assert plan.shared_ptq_model(A)[0] == "pretrain/MobileNetV1_digits_ptq/model.tflite"
    assert plan.shared_ptq_model(B)[0] == "pretrain/MobileNetV1_digits_ptq_entropy/model.tflite"
    method = plan.ptq_models["_entropy"].compress.quantization.calibration_method
    assert method == "entropy" and plan.shared_float_model(A) == plan.shared_float_model(B)
    assert all(re.fullmatch(plan.ptq_suffix, suffix) for suffix in ("", "_entropy"))


def test_our_own_graph_quantised_after_training_has_folders_of_its_own_and_is_exported(monkeypatch):
    own = {"method": "ptq", "ptq.tool": "qatflow", "compress.overrides": {"weight_bits": 4}}
    plan = plan_of(monkeypatch, experiments={"a": None, "b": own, "c": {**own, "ptq.rounding": "adaround"}})
    folders = [Path(plan.shared_ptq_model({"experiment": name})[0]).parent.name for name in "abc"]
    suffixes = [folder.removeprefix("MobileNetV1_digits_ptq") for folder in folders]
    assert suffixes[0] == "" and suffixes[1] != suffixes[2]
    assert [bool(re.fullmatch(plan.ptq_suffix, suffix)) for suffix in suffixes] == [True, False, False]
    assert [bool(re.fullmatch(plan.own_graph_suffix, suffix)) for suffix in suffixes] == [False, True, True]
    assert plan.ships_own_graph() == ["b", "c"]
    assert plan.quantised_graph("model")(A) == "results/a/trained/model"
    assert plan.quantised_graph("model")(B) == f"pretrain/MobileNetV1_digits_quantised{suffixes[1]}/model"
    assert not re.fullmatch(plan_of(monkeypatch).own_graph_suffix, "")


def test_each_experiment_has_its_devices_and_a_demo_is_built_once_for_each_target(two):
    assert {name: list(devices) for name, devices in two.devices.items()} == {"a": ["emulator"], "b": ["board"]}
    assert list(two.demos) == [("android.armv8", "gcc"), ("linux.armv8", "gcc")]
    job = B | {"device": "board"}
    assert two.device_of(job) is two.first_device(B)
    folder = "build.lite.linux.armv8.gcc/inference_lite_lib.linux.armv8"
    assert two.demo_file("manifest.json")(job) == two.first_demo_file("manifest.json")(B) == f"{folder}/manifest.json"
    with pytest.raises(WorkflowError, match="b has no device emulator, but board"):
        two.device_of(B | {"device": "emulator"})
    runtime = {"runtime": "resources/litert/aarch64/libLiteRt.so", "about": "resources/litert/aarch64/libLiteRt.json"}
    assert two.demo_runtime({"target": "linux.armv8", "toolchain": "gcc"}) == runtime


def test_wildcards_stand_for_what_the_configuration_names(two):
    assert two.wildcard_constraints() == {
        "dataset": "digits",
        "pretrained": "MobileNetV1_digits",
        "experiment": "a|b",
        "device": "emulator|board",
        "target": "android[.]armv8|linux[.]armv8",
        "toolchain": "gcc",
    }


def test_files_of_all_experiments_and_of_their_devices(two):
    assert two.of_each("x/{experiment}", "y/{experiment}") == ["x/a", "x/b", "y/a", "y/b"]
    assert two.on_each_device("{experiment}/{device}") == ["a/emulator", "b/board"]
    assert files_of(["b"], "x/{experiment}") == ["x/b"]


def test_an_aar_is_linked_as_it_is(monkeypatch, tmp_path):
    aar = tmp_path / "litert.aar"
    aar.touch()
    plan = plan_of(monkeypatch, device={"toolchain": "clang", "aar": str(aar), "type": "adb", "serial": "x"})
    assert plan.demo_runtime({"target": "android.armv8", "toolchain": "clang"}) == {"runtime": str(aar)}


def test_a_model_that_came_quantised_has_no_float_model(monkeypatch, tmp_path):
    (tmp_path / "ready.tflite").write_bytes(b"a model")
    given = {"quantized_model.file": str(tmp_path / "ready.tflite")}
    plan = plan_of(monkeypatch, method="auto", experiments={"a": None, "b": given, "c": {"method": "ptq"}})
    assert list(plan.quantized) == ["b"] and list(plan.float_models) == ["MobileNetV1_digits"]
    assert plan.quantized_model_files(B) == [str(tmp_path / "ready.tflite")]
    assert plan.with_float_model() == ["a", "c"] and plan.of_each_float("{experiment}") == ["a", "c"]
    assert plan.with_method("ptq") == ["c"] and plan.with_method("auto", "qat") == ["a"]


def test_an_exported_folder_that_came_quantised_is_two_files(monkeypatch, tmp_path):
    for name in ("model", "weights"):
        (tmp_path / name).write_bytes(b"x")
    plan = plan_of(monkeypatch, quantized_model={"file": str(tmp_path)})
    assert plan.quantized_model_files({"experiment": "digits_quant"}) == [
        str(tmp_path / name) for name in ("model", "weights")
    ]


def test_a_teacher_is_a_float_model_beside_the_student_s(monkeypatch):
    teacher = {"model": {"alpha": 0.5}, "pretrained": {"name": "large"}}
    follows = {"compress.config": "config/compress/quantization_distillation.yaml"}
    plan = plan_of(monkeypatch, teacher=teacher, experiments={"a": follows, "b": None})
    assert list(plan.float_models) == ["MobileNetV1_digits", "large"]
    assert plan.config_of({"pretrained": "large"}).model.width == 0.5
    assert plan.teacher_files(A) == ["pretrain/large_pretrained/model", "pretrain/large_pretrained/weights"]
    assert plan.teacher_files(B) == []  # no strategy follows it


def test_training_may_begin_with_another_experiment_s_graph(monkeypatch):
    begins = {"compress.overrides": {"compressor.init_model": "results/a/./trained"}}
    plan = plan_of(monkeypatch, experiments={"a": None, "b": begins})
    assert plan.init_model_files(A) == []
    assert plan.init_model_files(B) == ["results/a/trained/model", "results/a/trained/weights"]


def test_training_may_begin_with_the_graph_quantised_after_training(monkeypatch):
    begins = {"compress.overrides": {"init_model": "ptq"}, "ptq.tool": "qatflow"}
    plan = plan_of(monkeypatch, experiments={"a": {"ptq.tool": "qatflow", "method": "ptq"}, "b": begins})
    made = [plan.quantised_graph(file)(A) for file in ("model", "weights")]
    assert re.fullmatch(r"pretrain/MobileNetV1_digits_quantised_graph_[0-9a-f]{12}/model", made[0])
    assert plan.init_model_files(B) == made and plan.init_model_files(A) == []
    assert plan.trained_recipe_of(B).compressor.init_model == str(Path(made[0]).parent)
    assert plan.recipe_of(B).compressor.init_model == "ptq", "as it is written beside the results"
    with pytest.raises(UserError, match=r"ptq\.tool: must be 'qatflow': compressor\.init_model in .* is 'ptq'"):
        plan_of(monkeypatch, compress={"overrides": {"init_model": "ptq"}})


def test_weights_are_a_file_or_the_files_of_a_folder(monkeypatch, tmp_path):
    job = {"pretrained": "MobileNetV1_digits"}
    assert plan_of(monkeypatch).weights_files(job) == []
    plan = plan_of(monkeypatch, pretrained={"source": "url", "url": "http://h/w.keras", "sha256": SHA256})
    assert plan.weights_files(job) == ["pretrain/download/w.keras"]
    assert list(plan.downloads) == ["w.keras"]


def test_two_downloads_of_one_name_are_refused(monkeypatch):
    sources = {
        name: {"pretrained": {"name": name, "source": "url", "url": f"http://{name}/w.keras", "sha256": SHA256}}
        for name in ("a", "b")
    }
    message = "http://b/w.keras and http://a/w.keras are kept by one name, w.keras: give one of them by a file here"
    with pytest.raises(UserError, match=re.escape(message)):
        plan_of(monkeypatch, experiments=sources)


def test_the_code_of_a_model_s_function_is_read_as_seen_from_here(monkeypatch, tmp_path):
    (tmp_path / "own.py").write_text("from parts import SIZE\ndef build(input_shape, classes): ...\n")
    (tmp_path / "parts.py").write_text("SIZE = 3\n")
    (tmp_path / "my.yaml").write_text((ROOT / "config/test.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    settings = {"model": {"function": "own:build", "alpha": None}}
    plan = Plan.of(load_experiments([Path("my.yaml")], settings))
    (name,) = plan.float_models
    assert sorted(plan.own_model_files({"pretrained": name})) == ["own.py", "parts.py"]
