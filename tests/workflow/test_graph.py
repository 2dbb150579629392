"""The graph of jobs, by dry runs of the real Snakefile: what each target needs, and what each job depends on."""

import json
import modulefinder
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.workflow_helpers import (
    READY,
    ROOT,
    SMALL,
    TARGETS,
    WITHOUT_TRAINING,
    Job,
    Project,
    copy_project,
    environment,
    jobs,
    planned,
    processor_time,
)

pytestmark = pytest.mark.workflow

WATCH = """\
import sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("tensorflow", "tf_keras", "tensorflow_model_optimization", "ai_edge_litert"):
            open({file!r}, "a").write(name + "\\n")

sys.meta_path.insert(0, Watch())
"""

PARTS = [
    "config",
    "data",
    "pretrained",
    "compress",
    "mixed_precision",
    "search",
    "export",
    "optimize",
    "ptq",
    "device",
    "evaluate",
    "report",
]
"""The library's packages, in the order of the stages."""

COPIES = ("take_float_model", "take_ptq_model")
"""The rules that copy a shared model into an experiment's folder."""

PART_OF = {
    "prepare_data": "data",
    "make_pretrained": "pretrained",
    "label_pictures": "pretrained",
    "quantise_after_training": "ptq",
    "quantise_graph": "ptq",
    "choose_method": "ptq",
    "choose_widths": "mixed_precision",
    "train_int8": "compress",
    "propose_candidates": "search",
    "evaluate_candidate": "search",
    "conclude_search": "search",
    "measure_latency": "device",
    "export_models": "export",
    "optimize_int8": "optimize",
    "optimize_float": "optimize",
    "optimize_quantised": "optimize",
    **dict.fromkeys(COPIES, "optimize"),
    "adopt_ready_model": "optimize",
    "pack_model": "optimize",
    "fetch_runtime": "device",
    "build_mobile_light": "device",
    "run_on_device": "device",
    "gate_device": "device",
    "require_device": "device",
    "gate_accuracy": "evaluate",
    "require_accuracy": "evaluate",
    "evaluate_fake_quant": "evaluate",
    "evaluate_tflite": "evaluate",
    "inspect_layers": "evaluate",
    "make_report": "report",
    "write_model_card": "report",
    "describe_run": "report",
    "compare_experiments": "report",
    "write_config": "config",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def every_job(project: Project) -> dict[str, Job]:
    searching(project, "light_nas", search_steps=1, target_latency=1e9)
    (project.folder / "auto.yaml").write_text(
        "compress: {overrides: {auto_bits: {max_latency: 1e9, wide_activations: true}}}\n"
    )
    auto = ("all", "--config", "method=auto")
    stored = "compress={overrides: {weight_bits: 4, int4_storage: true}}"
    own_graph = ("all", "--config", "method=ptq", "ptq={tool: qatflow}", stored, *unlabelled(project))
    narrow = ("all", "--config", "compress={overrides: {weight_bits: 4}}")
    overlays = (("compress", "search.yaml"), ("compress", "auto.yaml"))
    plans = (narrow, auto, own_graph, ("all", *ready(project)), ("compare",), *overlays)
    found = [job for target, *more in plans for job in jobs(project.dry_run(target, *SMALL, *more))]
    packed = [job.outputs[0] for job in found if job.rule == "pack_model"]
    assert packed == [f"results/digits_quant/digits_quant_{kind}/model.tflite.packed" for kind in ("opt", "ptq")]
    made = [job.log for job in found if job.rule == "optimize_quantised"]
    assert len(made) == 1 and made[0].endswith("_int4.log")
    return {job.rule: job for job in reversed(found) if job.rule not in TARGETS}


def unlabelled(project: Project) -> tuple[str, str]:
    """Values that name pictures without labels, and float weights that are ready."""
    (project.folder / "photos").mkdir()
    for number in range(600):
        (project.folder / f"photos/{number}.png").write_bytes(b"a picture")
    (project.folder / "weights.h5").write_bytes(b"weights")
    pretrained = "pretrained={source: file, path: weights.h5, name: ready, train: {epochs: 5}}"
    return "data={name: photos, source: unlabeled, path: photos}", pretrained


def ready(project: Project) -> tuple[str, str]:
    """Arguments that name a quantised model."""
    (project.folder / "ready.tflite").write_bytes(b"a model")
    return "--config", "quantized_model={file: ready.tflite}"


def searching(project: Project, preset: str = "auto_prune", **overrides: object) -> None:
    """Write an overlay that searches."""
    compress = {"config": f"config/compress/{preset}.yaml", "overrides": overrides}
    (project.folder / "search.yaml").write_text(json.dumps({"compress": compress}))


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_plans_exactly_the_stages_it_needs(project, target):
    assert project.plan(target, *SMALL) == dict.fromkeys({*TARGETS[target], target}, 1)


def test_quantisation_after_training_needs_no_training_for_int8(project):
    expected = dict.fromkeys({*WITHOUT_TRAINING, "all"}, 1)
    assert project.plan("all", *SMALL, "--config", "method=ptq") == expected
    needed = {
        "prepare_data",
        "make_pretrained",
        "optimize_float",
        "quantise_after_training",
        "take_ptq_model",
        "optimize",
    }
    assert project.plan("optimize", *SMALL, "--config", "method=ptq") == dict.fromkeys(needed, 1)


def test_experiments_with_the_same_weights_share_one_model_quantised_after_training(project):
    text = (
        "experiments:\n  a:\n  b: {seed: 2}\n  c: {compress.learning_rate: 0.001}\n  d: {model.keep_in_float: []}\n"
        "  e: {model.keep_in_float: [conv1]}\n"
    )
    (project.folder / "shared.yaml").write_text(text)
    four = ("--configfile", "config/test.yaml", "shared.yaml", "--config", "only=[a,b,c,d]")
    plan = project.plan("all", *four)
    assert {rule: plan[rule] for rule in ("optimize_float", "quantise_after_training")} == {
        "optimize_float": 1,
        "quantise_after_training": 1,
    }
    assert {plan[rule] for rule in (*COPIES, "train_int8", "gate_accuracy", "evaluate_tflite")} == {4}
    # other layers in float are another model, of the same float one; method auto reads from the same place
    found = jobs(project.dry_run("all", *four[:-2], "--config", "method=auto"))
    made = sorted(job.log for job in found if job.rule in ("optimize_float", "quantise_after_training"))
    assert len(made) == 3 and made[1] == "logs/quantise_after_training/MobileNetV1_digits.log"
    assert made[0] == "logs/optimize_float/MobileNetV1_digits.log"
    assert re.fullmatch(r"logs/quantise_after_training/MobileNetV1_digits_float_[0-9a-f]{12}\.log", made[2])
    read = {
        path for job in found if job.rule == "take_ptq_model" for path in job.inputs if path.endswith("model.tflite")
    }
    assert read == {f"pretrain/{Path(log).stem}/model.tflite".replace("digits", "digits_ptq") for log in made[1:]}


def test_a_model_that_is_quantised_already_needs_neither_weights_nor_training(project):
    assert project.plan("all", *SMALL, *ready(project)) == dict.fromkeys({*READY, "all"}, 1)
    wanted = {"prepare_data", "adopt_ready_model", "optimize"}
    assert project.plan("optimize", *SMALL, *ready(project)) == dict.fromkeys(wanted, 1)
    there = ("--config", f"quantized_model={{url: 'http://127.0.0.1:1/m.tflite', sha256: '{'0' * 64}'}}")
    assert project.plan("all", *SMALL, *there) == dict.fromkeys({*READY, "fetch_model", "all"}, 1)


def test_weights_from_elsewhere_are_fetched_and_a_function_s_code_is_an_input(project):
    url = f"pretrained={{source: url, url: 'http://127.0.0.1:1/w.keras', sha256: '{'0' * 64}'}}"
    wanted = {*TARGETS["pretrained"], "fetch_model", "pretrained"}
    assert project.plan("pretrained", *SMALL, "--config", url) == dict.fromkeys(wanted, 1)
    (project.folder / "own.py").write_text("from parts import SIZE\ndef build(input_shape, classes): ...\n")
    (project.folder / "parts.py").write_text("SIZE = 3\n")
    text = project.dry_run("pretrained", *SMALL, "--config", "model={function: 'own:build', alpha: null}")
    (job,) = [job for job in jobs(text) if job.rule == "make_pretrained"]
    assert {"own.py", "parts.py"} <= set(job.inputs)


def test_method_auto_plans_a_checkpoint_and_says_that_jobs_may_follow(project):
    text = project.dry_run("all", *SMALL, "--config", "method=auto")
    # beside which model the card is to stand, the checkpoint says
    assert planned(text) == dict.fromkeys({*WITHOUT_TRAINING - {"write_model_card"}, "choose_method", "all"}, 1)
    (choice,) = re.findall(r"^checkpoint choose_method:\n(?:    .*\n)+(.*)", text, re.MULTILINE)
    assert choice == "DAG of jobs will be updated after completion."


@pytest.mark.parametrize(
    ("device", "folder", "machine"),
    [
        ("target: android.armv8", "build.lite.android.armv8.gcc/inference_lite_lib.android.armv8", "aarch64"),
        ("target: linux.armv8", "build.lite.linux.armv8.gcc/inference_lite_lib.linux.armv8", "aarch64"),
        (
            "type: adb, serial: x, target: linux.x86_64",
            "build.lite.linux.x86_64.gcc/inference_lite_lib.linux.x86_64",
            "x86_64",
        ),
        (
            "type: adb, serial: x, toolchain: clang, aar: config/my litert.aar",
            "build.lite.android.armv8.clang/inference_lite_lib.android.armv8",
            None,
        ),
    ],
)
def test_the_demo_is_built_for_the_target_into_a_folder_of_its_own(project, device, folder, machine):
    (project.folder / "config/my litert.aar").touch()
    text = project.dry_run("run_demo", *SMALL, "--config", f"device={{{device}}}")
    found = {job.rule: job for job in jobs(text)}
    assert f"{folder}/demo/cxx/mobile_light/mobilenetv1_light_api" in found["run_on_device"].inputs
    library = f"resources/litert/{machine}/libLiteRt.so" if machine else "config/my litert.aar"
    assert library in found["build_mobile_light"].inputs
    assert planned(text) == dict.fromkeys(
        {*TARGETS["run_demo"], "run_demo"} - (set() if machine else {"fetch_runtime"}), 1
    )


def test_each_experiments_device_gets_its_own_demo_built_once(project):
    (project.folder / "boards.yaml").write_text(
        "experiments:\n  phone:\n  board:\n    device.target: linux.armv8\n  old_board:\n"
        "    device.target: linux.armv8\n    device.cpu: cortex-a53\n"
    )
    text = project.dry_run("run_demo", *SMALL, "boards.yaml")
    plan = planned(text)
    assert (plan["run_on_device"], plan["build_mobile_light"], plan["fetch_runtime"]) == (3, 2, 1)
    demos = [
        path.split("/")[0]
        for job in jobs(text)
        if job.rule == "run_on_device"
        for path in job.inputs
        if path.endswith("/mobilenetv1_light_api")
    ]
    assert sorted(demos) == ["build.lite.android.armv8.gcc", *["build.lite.linux.armv8.gcc"] * 2]
    assert project.plan("build_demo", *SMALL, "boards.yaml") == {
        "fetch_runtime": 1,
        "build_mobile_light": 2,
        "build_demo": 1,
    }


def test_each_of_several_devices_has_a_run_and_a_gate_and_one_report_has_them_all(project):
    (project.folder / "devices.yaml").write_text(
        "devices:\n  - {name: big}\n  - {name: little, cpu: cortex-a53}\n  - {name: board, target: linux.armv8}\n"
        "experiments:\n  a:\n  b: {devices: [{name: other}]}\n"
    )
    text = project.dry_run("all", *SMALL, "devices.yaml")
    plan = planned(text)
    runs = dict.fromkeys(("run_on_device", "gate_device"), 4)
    others = {"make_report": 2, "build_mobile_light": 2, "fetch_runtime": 1, "compare_experiments": 1}
    assert {rule: plan[rule] for rule in runs | others} == runs | others
    found = jobs(text)
    reports = [path for job in found if job.rule == "make_report" for path in job.inputs if "/device/" in path]
    pairs = (("a", "big"), ("a", "little"), ("a", "board"), ("b", "other"))
    assert {path for path in reports if path.startswith("results/")} == {
        f"results/{name}/device/{device}/{file}" for name, device in pairs for file in ("output.txt", "report.json")
    }
    built = {
        job.log: [path.split("/")[0] for path in job.inputs if path.startswith("build.")]
        for job in found
        if job.rule == "run_on_device"
    }
    for_board = {log for log, folders in built.items() if set(folders) == {"build.lite.linux.armv8.gcc"}}
    assert for_board == {"logs/run_on_device/a.board.log"} and len(built) == 4
    answer = project.forked("-n", "results/b/device/big/report.json", *SMALL, "devices.yaml")
    assert answer.returncode == 1 and "b has no device big, but other" in answer.stdout + answer.stderr


def test_the_default_configuration_has_the_same_graph_as_the_small_one(project):
    assert project.plan() == project.plan(*SMALL) == dict.fromkeys({*TARGETS["all"], "all"}, 1)


def test_the_snakefile_where_the_catalog_looks_plans_the_same(project):
    assert project.plan("--snakefile", "workflow/Snakefile") == dict.fromkeys({*TARGETS["all"], "everything"}, 1)
    assert project.plan("--snakefile", "workflow/Snakefile", "compress", *SMALL) == project.plan("compress", *SMALL)


def test_a_dry_run_takes_seconds_loads_no_tensorflow_and_leaves_nothing(project, tmp_path):
    seen = tmp_path / "seen"
    (tmp_path / "sitecustomize.py").write_text(WATCH.format(file=str(seen)))
    watched = Project(project.folder, {"PYTHONPATH": str(tmp_path)})
    before = project.files()

    start = processor_time()
    text = watched.dry_run("all")
    assert processor_time() - start < 10
    assert planned(text)["train_int8"] == 1
    assert not seen.exists(), f"a dry run imports {seen.read_text()}"
    assert project.files() == before

    # the watch itself works
    subprocess.run(
        [sys.executable, "-c", "import importlib.util as u; u.find_spec('tensorflow')"],
        env=environment() | watched.environment, check=True,
    )  # fmt: skip
    assert seen.read_text() == "tensorflow\n"


def test_a_teacher_is_made_beside_the_student_where_a_strategy_follows_it(project):
    teacher = "teacher: {model: {alpha: 0.5}, pretrained: {name: large}}\n"
    (project.folder / "teacher.yaml").write_text(
        f"{teacher}compress: {{config: config/compress/quantization_distillation.yaml}}\n"
    )
    (project.folder / "unheard.yaml").write_text(teacher)

    def trainings(overlay):
        found = jobs(project.dry_run("compress", *SMALL, overlay))
        (train,) = (job for job in found if job.rule == "train_int8")
        return len([job for job in found if job.rule == "make_pretrained"]), {
            path for path in train.inputs if path.startswith("pretrain/")
        }

    count, inputs = trainings("teacher.yaml")
    folders = ("pretrain/MobileNetV1_digits_pretrained", "pretrain/large_pretrained")
    assert count == 2
    assert inputs == {f"{folder}/{file}" for folder in folders for file in ("model", "weights")}
    assert trainings("unheard.yaml")[0] == 1


def test_a_search_is_rounds_of_candidates_each_a_job_known_before_anything_runs(project):
    searching(project, search_steps=5, parallel=2)
    text = project.dry_run("compress", *SMALL, "search.yaml")
    expected = dict.fromkeys({*TARGETS["compress"], "conclude_search", "compress"}, 1)
    assert planned(text) == expected | {"propose_candidates": 3, "evaluate_candidate": 5}
    found, folder = jobs(text), "results/digits_quant/search"
    proposals = {
        job.log: {path for path in job.inputs if path.startswith(folder)} for job in found if "propose" in job.rule
    }
    assert proposals["logs/propose_candidates/digits_quant.1.log"] == set()
    assert proposals["logs/propose_candidates/digits_quant.3.log"] == {
        f"{folder}/round_2/{file}"
        for file in ("candidates.json", "candidate_3/outcome.json", "candidate_4/outcome.json")
    }
    (conclusion,) = (job for job in found if job.rule == "conclude_search")
    outcomes = [path for path in conclusion.inputs if path.endswith("outcome.json")]
    assert outcomes == [f"{folder}/round_{(n + 1) // 2}/candidate_{n}/outcome.json" for n in range(1, 6)]
    (train,) = (job for job in found if job.rule == "train_int8")
    assert [path for path in train.inputs if path.startswith("results")] == [f"{folder}/best/best.json"]
    wanted = {"propose_candidates", "evaluate_candidate", "conclude_search"}
    assert not wanted & set(project.plan("all", *SMALL, "search.yaml", "--config", "method=ptq"))
    answer = project.forked("-n", f"{folder}/round_4/candidates.json", *SMALL, "search.yaml")
    assert answer.returncode == 1 and "searches in 3 rounds, there is no 4" in answer.stdout + answer.stderr


def test_a_limit_of_latency_is_kept_by_a_table_measured_on_the_first_device(project):
    searching(project, "light_nas", search_steps=2, parallel=2)
    assert "measure_latency" not in project.plan("compress", *SMALL, "search.yaml")
    searching(project, "light_nas", search_steps=2, parallel=2, target_latency=1e6)
    text = project.dry_run("compress", *SMALL, "search.yaml")
    assert planned(text)["measure_latency"] == planned(text)["build_mobile_light"] == 1
    found, folder = jobs(text), "results/digits_quant/search"
    for rule in ("propose_candidates", "evaluate_candidate"):
        assert all(f"{folder}/latency_table.json" in job.inputs for job in found if job.rule == rule)
    (train,) = (job for job in found if job.rule == "train_int8")
    assert {f"{folder}/best/{file}" for file in ("best.json", "model", "weights")} <= set(train.inputs)
    uncounted = ("--config", "device={count_instructions: false}")
    answer = project.forked("-n", "compress", *SMALL, "search.yaml", *uncounted)
    assert answer.returncode == 1 and "count_instructions: must be true" in answer.stdout + answer.stderr


@pytest.mark.parametrize(
    ("preset", "held"), [("quantization", True), ("filter_pruning_uniform", False), ("light_nas", False)]
)
def test_a_thinner_network_is_not_held_to_the_larger_one_quantised_after_training(project, preset, held):
    (project.folder / "preset.yaml").write_text(f"compress: {{config: config/compress/{preset}.yaml}}\n")
    found = jobs(project.dry_run("all", *SMALL, "preset.yaml"))
    (gate,) = (job for job in found if job.rule == "gate_accuracy")
    assert any("_ptq/" in path for path in gate.inputs) == held


def test_the_graph_is_printed_alone(project):
    answer = project.forked("--rulegraph")
    assert answer.returncode == 0, answer.stderr
    assert re.fullmatch(r"digraph \w+ \{\n.*\}\s*", answer.stdout, re.DOTALL)
    names = dict(re.findall(r"^\s*(\d+)\[label = \"(\w+)\"", answer.stdout, re.MULTILINE))
    arrows = {(names[a], names[b]) for a, b in re.findall(r"(\d+) -> (\d+)", answer.stdout)}
    assert {
        ("prepare_data", "make_pretrained"),
        ("make_pretrained", "train_int8"),
        ("train_int8", "export_models"),
        ("export_models", "optimize_int8"),
        ("optimize_int8", "gate_accuracy"),
        ("optimize_float", "take_float_model"),
        ("take_float_model", "gate_accuracy"),
        ("optimize_float", "quantise_after_training"),
        ("quantise_after_training", "take_ptq_model"),
        ("take_ptq_model", "gate_accuracy"),
        ("take_ptq_model", "evaluate_tflite"),
        ("gate_accuracy", "require_accuracy"),
        ("require_accuracy", "run_on_device"),
        ("build_mobile_light", "run_on_device"),
        ("fetch_runtime", "build_mobile_light"),
        ("take_float_model", "evaluate_tflite"),
        ("evaluate_fake_quant", "evaluate_tflite"),
        ("evaluate_tflite", "make_report"),
        ("run_on_device", "make_report"),
        ("take_float_model", "run_on_device"),
        ("run_on_device", "gate_device"),
        ("gate_device", "require_device"),
        ("make_report", "require_device"),
        ("require_device", "all"),
        ("make_report", "all"),
        ("make_report", "write_model_card"),
        ("write_model_card", "describe_run"),
        ("describe_run", "all"),
    } <= arrows
    assert not any(first == "export_models" and then in ("train_int8", "make_pretrained") for first, then in arrows)


def test_lint_and_format_find_nothing(project):
    lint = project.forked("--lint")
    assert lint.returncode == 0, lint.stdout + lint.stderr
    formatted = project.run("snakefmt", "--check", "Snakefile", "workflow")
    assert formatted.returncode == 0, formatted.stdout + formatted.stderr


def test_every_job_keeps_a_log_of_its_own(every_job):
    logs = [job.log for job in every_job.values()]
    assert None not in logs
    assert len(set(logs)) == len(every_job) == len(PART_OF)


STYLES = ("base.html", "colours.css", "pictures.css", "style.css")
TEMPLATES = {
    "make_report": (
        *STYLES,
        "report_page.html",
        "table.html",
        "page.js",
        *(f"report_{part}.html" for part in ("answer", "network", "classes", "training", "device", "run")),
    ),
    "compare_experiments": (*STYLES, "comparison_page.html", "comparison.js", "page.js", "table.html"),
}


@pytest.mark.parametrize("rule", PART_OF)
def test_a_jobs_inputs_are_its_program_and_the_modules_which_that_imports(every_job, rule):
    inputs = every_job[rule].inputs
    (program,) = (path for path in inputs if path.startswith("workflow/scripts/"))
    # the standard library's finder reads the compiled code; the workflow's reads the source
    finder = modulefinder.ModuleFinder([str(ROOT / "src")])
    finder.run_script(str(ROOT / program))
    found = {Path(module.__file__).resolve() for module in finder.modules.values() if module.__file__}
    modules = {str(path.relative_to(ROOT)) for path in found if path.is_relative_to(ROOT / "src")}
    assert modules
    sources = {path for path in inputs if path.startswith("src/")}
    assert {path for path in sources if path.endswith(".py")} == modules
    data = {f"src/qatflow/report/templates/{name}" for name in TEMPLATES.get(rule, ())}
    table = "src/qatflow/base/system_packages"
    data |= {f"{table}.txt"} if f"{table}.py" in modules else set()
    assert sources - modules == data


@pytest.mark.parametrize("rule", PART_OF)
def test_no_job_depends_on_code_of_a_later_stage(every_job, rule):
    later = PARTS[PARTS.index(PART_OF[rule]) + 1 :]
    code = [path for path in every_job[rule].inputs if path.startswith("src/")]
    assert [path for path in code if path.split("/")[2] in later] == []


@pytest.mark.parametrize("rule", ["prepare_data", "make_pretrained", "train_int8"])
def test_training_does_not_depend_on_what_is_done_with_its_result(every_job, rule):
    elsewhere = {"tflite", "export", "optimize", "device", "evaluate", "report"}
    code = [path for path in every_job[rule].inputs if path.startswith("src/")]
    assert [path for path in code if path.split("/")[2] in elsewhere] == []
    assert not any(path.endswith(".yaml") for path in every_job[rule].inputs)


def test_a_device_run_takes_no_core_from_a_training_and_stays_out_of_a_measurement(project):
    """So that on two cores a training, which takes both, does not wait for a device of another experiment."""
    text = project.dry_run("all", *SMALL)
    bodies = dict(re.findall(r"^(?:localrule|rule|checkpoint) (\w+):\n((?:    .*\n)+)", text, re.MULTILINE))
    assert "    threads: 0\n" in bodies["run_on_device"] and "adb=1" in bodies["run_on_device"]
    assert "    threads: 2\n" in bodies["train_int8"] and "adb=" not in bodies["train_int8"]
    assert "    threads: 2\n" in bodies["evaluate_tflite"] and "adb=1" in bodies["evaluate_tflite"]
