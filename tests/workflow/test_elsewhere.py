"""The workflow started from another folder: by -s, by --directory, and as a module of an outer workflow."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from helpers.restricted import RESTRICTED
from helpers.workflow_helpers import ROOT, SMALL, TARGETS, Project, artefacts, copy_project, jobs, planned
from qatflow.base import places, provenance
from qatflow.base.errors import UserError
from qatflow.base.files import sha256
from qatflow.config.load import OF_MODULE, load_experiments
from qatflow.config.results_owner import Origin, check_owner, record_owner

DATA = ["calibration.json", "labels.txt", "manifest.json", "rejected.csv"]
MODULE = """\
{before}
module qat:
    snakefile: "{checkout}/workflow/Snakefile"
    config: {config}
{use}
{after}
"""
DIGITS = yaml.safe_load((ROOT / "config/test.yaml").read_text(encoding="utf-8")) | {"experiment": "outer"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("checkouts") / "qatflow für Prüfungen"
    folder.mkdir()
    return copy_project(folder)


@pytest.fixture
def here(tmp_path: Path) -> Project:
    folder = tmp_path / "work – ä"
    folder.mkdir()
    return Project(folder)


def dry_run(checkout: Project, here: Project, *arguments: str) -> str:
    """Return what Snakemake prints of a dry run in the working folder, forked with the checkout's library."""
    answer = checkout.forked("--cores", "2", "--dry-run", "--verbose", *arguments, folder=here.folder)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr


def outer(
    here: Project,
    checkout: Project,
    config: object = "config",
    before: str = "",
    after: str = "",
    use: str = "use rule * from qat as qat_*",
) -> None:
    """Write the Snakefile of a workflow that uses the checkout as a module."""
    text = MODULE.format(checkout=checkout.folder, config=config, before=before, after=after, use=use)
    (here.folder / "Snakefile").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def data_by_the_first(request: pytest.FixtureRequest) -> dict[str, str]:
    """The sha256 of the data files that the first of the ways made: the others make the same bytes."""
    return {}


@pytest.mark.workflow
@pytest.mark.parametrize("way", ["snakefile", "directory", "module"])
def test_data_are_prepared_in_the_working_folder_by_the_checkout_s_programs(checkout, here, data_by_the_first, way):
    before = checkout.files()
    small = str(checkout.folder / "config/test.yaml")
    if way == "snakefile":
        arguments, target = ("-s", str(checkout.folder / "Snakefile"), "--configfile", small), "data"
    elif way == "directory":
        arguments, target = ("--directory", str(here.folder), *SMALL), "data"
    else:
        outer(here, checkout, DIGITS)
        arguments, target = (), "qat_data"
    started = checkout if way == "directory" else here
    answer = started.snakemake("--cores", "1", target, *arguments)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    made = artefacts(here.folder)
    assert {f"data/digits/{name}" for name in DATA} <= set(made)
    assert (here.folder / "logs/prepare_data/digits.log").is_file()
    kept = {name: digest for name, digest in made.items() if name.startswith("data/")}
    assert data_by_the_first.setdefault("all", kept) == kept
    # nothing to do again, and the checkout has nothing new
    assert planned(dry_run(checkout, started, target, *arguments)) == {}
    assert checkout.files() == before


@pytest.mark.workflow
def test_a_dry_run_by_s_plans_all_with_the_checkout_s_own_files(checkout, here):
    text = dry_run(checkout, here, "-s", str(checkout.folder / "Snakefile"))
    assert planned(text) == dict.fromkeys({*TARGETS["all"], "all"}, 1)
    found = {job.rule: job.inputs for job in jobs(text)}
    own = {path for path in found["build_mobile_light"] if path.startswith(str(checkout.folder))}
    assert f"{checkout.folder}/demo/cxx/mobile_light/Makefile" in own
    assert f"{checkout.folder}/workflow/scripts/build_demo.py" in own
    assert f"{checkout.folder}/requirements.lock" in found["fetch_runtime"]
    assert "data/fashion_mnist/manifest.json" in found["train_int8"]
    assert not any(path.startswith(("workflow/", "src/", "demo/", "config/")) for job in found.values() for path in job)
    # the working folder's own configuration comes over the embedded default
    (here.folder / "config").mkdir()
    (here.folder / "config/config.yaml").write_text("experiment: mine\nmethod: ptq\n")
    text = dry_run(checkout, here, "-s", str(checkout.folder / "Snakefile"), "optimize")
    assert planned(text)["quantise_after_training"] == 1 and "results/mine/" in text


@pytest.mark.workflow
def test_the_catalog_s_way_plans_all_under_the_names_of_the_outer_workflow(checkout, here):
    outer(here, checkout, before='configfile: "config/config.yaml"')
    (here.folder / "config").mkdir()
    (here.folder / "config/config.yaml").write_bytes((checkout.folder / "config/config.yaml").read_bytes())
    expected = dict.fromkeys({f"qat_{rule}" for rule in TARGETS["all"]} | {"qat_all"}, 1)
    assert planned(dry_run(checkout, here, "qat_all")) == expected
    # the outer workflow's own first rule stays the default
    outer(here, checkout, {}, before="rule first:\n    output: touch('first')\n    shell: 'true'")
    assert here.plan() == {"first": 1}


USES = {
    "use rule * from qat": "",
    "use rule * from qat as other_*": "other_",
    "use rule * from qat exclude all as other_*": "other_",
}
"""Ways to take the rules over, and what their names then begin with."""


@pytest.mark.workflow
@pytest.mark.parametrize("use", USES)
def test_each_way_to_take_the_rules_over_plans_the_same_jobs(checkout, here, use):
    first = USES[use]
    outer(here, checkout, 'config["qatflow"]', before='configfile: "config.yaml"', use=use)
    (here.folder / "config.yaml").write_text("mine: 1\nqatflow: {experiment: outer}\n")
    expected = dict.fromkeys({f"{first}{rule}" for rule in TARGETS["report"]} | {f"{first}report"}, 1)
    text = dry_run(checkout, here, f"{first}report")
    assert planned(text) == expected and "results/outer/report/report.html" in text


@pytest.mark.workflow
def test_rules_without_a_prefix_stand_beside_those_of_an_outer_workflow(checkout, here):
    own = "\nrule all:\n    default_target: True\n    input: rules.data.input"
    outer(here, checkout, DIGITS, after=own, use="use rule * from qat exclude all")
    assert planned(dry_run(checkout, here)) == {"prepare_data": 1, "all": 1}


@pytest.mark.workflow
def test_two_modules_of_one_checkout_have_settings_of_their_own(checkout, here):
    second = DIGITS | {"experiment": "second", "seed": 2, "data": DIGITS["data"] | {"name": "more"}}
    second |= {"pretrained": DIGITS["pretrained"] | {"name": "more"}}
    again = f"""\
module more:
    snakefile: "{checkout.folder}/workflow/Snakefile"
    config: {second}
use rule * from more as more_*
rule both:
    default_target: True
    input: rules.qat_optimize.input, rules.more_optimize.input
"""
    outer(here, checkout, DIGITS, after=again)
    expected = {f"{name}_{rule}": 1 for name in ("qat", "more") for rule in TARGETS["optimize"]}
    assert planned(dry_run(checkout, here)) == expected | {"both": 1}


@pytest.fixture
def read_only(checkout: Project) -> Iterator[Project]:
    """The checkout as it is on a disk that one may only read, without Python's compiled files."""
    for compiled in checkout.folder.rglob("__pycache__"):
        shutil.rmtree(compiled)
    places = [checkout.folder, *checkout.folder.rglob("*")]
    modes = {path: path.stat().st_mode for path in places}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    yield checkout
    for path, mode in modes.items():
        path.chmod(mode)


@pytest.mark.workflow
@pytest.mark.device
def test_a_checkout_that_may_only_be_read_is_enough(read_only, here):
    before = sorted(read_only.folder.rglob("*"))
    outer(here, read_only, DIGITS)
    profile = read_only.folder / "profiles/default"
    command = ("snakemake", "--cores", "2", "--workflow-profile", str(profile), "qat_data", "qat_build_demo")
    answer = here.run(*RESTRICTED, *command)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    made = here.files()
    assert any(name.endswith("/demo/cxx/mobile_light/mobilenetv1_light_api") for name in made)
    assert "data/digits/manifest.json" in made
    assert sorted(read_only.folder.rglob("*")) == before
    # it was indeed read-only for these programs
    answer = here.run(*RESTRICTED, "touch", str(read_only.folder / "src/new"))
    assert answer.returncode == 1 and "Permission denied" in answer.stderr


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        ({"mine": 1}, "", "config: config['qatflow']"),
        (
            {"compress": {"config": "none.yaml"}},
            "",
            "the module's config: compress.config: the file none.yaml does not",
        ),
        ({}, '    prefix: "elsewhere"', "`prefix` and `replace_prefix` cannot move them"),
    ],
)
def test_what_a_module_cannot_be_is_refused(checkout, here, config, options, message):
    outer(here, checkout, f"{config!r}\n{options}")
    answer = checkout.forked("-n", "qat_all", folder=here.folder)
    assert answer.returncode == 1 and message in answer.stderr and "Traceback" not in answer.stderr


@pytest.mark.workflow
def test_a_checkpoint_of_a_module_decides_and_the_outer_s_runs_hold_our_lock(checkout, here):
    outer(here, checkout, DIGITS | {"method": "auto"}, after='onstart:\n    print("the outer workflow starts")')
    folder = here.folder
    pretrained = ("model", "weights", "history.csv", "manifest.json")
    deployed = ("model.tflite", "labels.txt", "preprocessing.json", "optimization.json")
    made = [f"data/digits/{name}" for name in DATA] + [
        f"pretrain/MobileNetV1_digits_pretrained/{name}" for name in pretrained
    ]
    made += [f"results/outer/outer_{end}/{name}" for end in ("float_opt", "ptq") for name in deployed]
    for path in made:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        splits = {name: {"count": 180} for name in ("train", "validation", "test")}
        (folder / path).write_text(json.dumps({"splits": splits}))
    choice = folder / "results/outer/method.json"
    choice.parent.mkdir(parents=True, exist_ok=True)
    for method in ("ptq", "qat"):
        choice.write_text(json.dumps({"method": method}))
        assert ("qat_train_int8" in planned(dry_run(checkout, here, "qat_all"))) == (method == "qat")

    lock = FileLock(folder / ".snakemake/run.lock")
    with lock:
        answer = here.snakemake("--cores", "1", "results/outer/.config_written")
    assert answer.returncode == 1 and "error: another run works in" in answer.stderr
    answer = here.snakemake("--cores", "1", "results/outer/.config_written")
    assert answer.returncode == 0 and "the outer workflow starts" in answer.stdout, answer.stderr
    owner = json.loads((folder / "results/outer/.configfiles.json").read_text())
    assert owner == {"module_of": "Snakefile", "files": []}


def test_a_configured_file_is_the_working_folder_s_or_else_the_project_s(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "config/compress/quantization.yaml"
    assert places.configured(name) == ROOT / name
    assert places.configured("../setup.py") == Path("../setup.py")
    assert places.configured("none.yaml") == Path("none.yaml")
    assert places.configured("a\0b") == Path("a\0b")
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("x")
    assert places.configured(name) == Path(name)
    assert places.stable_name(tmp_path / name) == Path(name)
    monkeypatch.chdir(ROOT)
    assert places.configured(name) == Path(name)


def test_provenance_has_the_same_names_wherever_the_project_s_files_are_used(tmp_path, monkeypatch):
    name = "config/compress/quantization.yaml"
    monkeypatch.chdir(ROOT)
    at_home = provenance.record([Path(name)], {})
    monkeypatch.chdir(tmp_path)
    assert provenance.record([places.configured(name)], {}) == at_home
    assert at_home["inputs"] == {name: sha256(ROOT / name)}


def test_a_module_s_texts_are_numbers_where_only_yaml_1_2_has_them_as_such():
    given = {"compress": {"learning_rate": "1e-3"}, "device": {"type": "adb", "serial": "12", "name": "phone"}}
    (experiment,) = load_experiments([ROOT / "config/config.yaml"], given, OF_MODULE).values()
    assert experiment.config.compress.learning_rate == 0.001
    assert experiment.config.device.serial == "12"
    with pytest.raises(UserError, match="the module's config: seed: must be a whole number"):
        load_experiments([ROOT / "config/config.yaml"], {"seed": "12"}, OF_MODULE)


def test_an_outer_workflow_and_a_file_do_not_replace_each_other_s_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    default = [ROOT / "config/config.yaml"]
    (experiment,) = load_experiments(default, {"experiment": "one"}).values()
    for name in ("Snakefile", "mine.yaml"):
        (tmp_path / name).write_text("experiment: one\n")
    of_module, of_file = Origin((), "Snakefile"), Origin(("mine.yaml",))
    for first, second in ((of_module, of_file), (of_file, of_module)):
        (tmp_path / "results/one/.configfiles.json").unlink(missing_ok=True)
        record_owner(experiment.config, first)
        check_owner(experiment, first, default)
        with pytest.raises(
            UserError, match=f"^{second.named[-1]}: experiment: 'one' is also that of {first.named[-1]}"
        ):
            check_owner(experiment, second, default)
        (tmp_path / first.named[-1]).rename(tmp_path / "moved")
        check_owner(experiment, second, default)
        (tmp_path / "moved").rename(tmp_path / first.named[-1])
