"""Every command that a document names is run, dry where it is long, or is listed here with the reason why it is not."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import qatflow
from helpers.pictures import class_folders
from helpers.workflow_helpers import ROOT, Project, copy_project, environment
from qatflow.base.errors import UserError
from qatflow.commands.run import snakemake_arguments
from qatflow.commands.run_sh import command_line
from qatflow.config.load import load_config

PROGRAM = (
    r"(?:\./(?:run|test)\.sh|\./mobilenetv1_light_api|\./lib/\S+|(?:\.venv/bin/)?(?:snakemake|python3?|pip)|adb|ssh|make"
    r"|cd|apt-get|source|docker|sbatch|conda|cmake|kill|git|pytest|mkdocs)"
)
COMMAND = re.compile(rf"(?:\$ )?((?:[A-Z_]+=\S+ )*{PROGRAM}(?: .*)?)$")
A_PROGRAM_S_NAME = {
    *("./run.sh", "snakemake", "python", "pip", "conda", "adb", "make", "sbatch", "python -m snakemake", "kill -9"),
    *("adb connect", "docker run"),
}
"""Inline code that only names a program."""
NOT_HERE = {
    "mkdocs serve": "serves until it is stopped; tests/workflow/test_site.py builds the site",
    "./test.sh": "it is what runs these tests; with arguments too: tests/setup/test_ci.py starts it so",
    "./test.sh --pythons": "makes an environment for each Python",
    "source .venv/bin/activate": "the tests have the environment without it",
    ".venv/bin/pip install tensorflow-datasets": "downloads",
    ".venv/bin/pip install 'tensorflow[and-cuda]==2.21.0'": "downloads",
    "apt-get install adbd": "is for the board",
    "adb devices": "needs a phone; tests/device/test_adb.py has a stand-in",
    "adb connect 192.0.2.7:5555": "needs a board",
    "adb connect 127.0.0.1:15555": "needs a board",
    "ssh -N -L 15555:127.0.0.1:5555 board": "needs a board",
    "ssh": "the name of the program; tests/device/test_ssh.py runs it",
    "ssh pi@raspberrypi.local": "needs a board",
    "./mobilenetv1_light_api --model_dir=/data/local/tmp/mobilenet_v1_quant_opt": "tests/demo/test_program.py runs it",
    "./mobilenetv1_light_api --model_dir=mobilenet_v1_quant_opt --images=list.txt --topk=5 --threads=4 --profile "
    "--json=run.json": "tests/demo/test_program.py runs it",
    "./lib/ld-linux-aarch64.so.1 --library-path lib ./mobilenetv1_light_api …": "needs an arm64 device",
    "cd inference_lite_lib.android.armv8/demo/cxx/mobile_light && make clean && make -j": "test_demo_build.py does",
    "make SANITIZE=ON": "tests/demo/test_damaged.py builds so",
    "./run.sh --report results/report.html": "needs a finished run; tests/e2e/test_small.py makes the report",
    "python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist .": "tests/setup/test_wheel.py builds one",
    "pip install dist/qatflow-0.1.0-py3-none-any.whl": "tests/setup/test_wheel.py installs it",
    "python -m qatflow": "tests/commands/test_diff.py starts it, as the next",
    "./run.sh diff results/a results/b": "as above",
    "./run.sh COMMAND": "tests/commands/test_run_sh.py starts each, as the next three",
    "./run.sh inspect …": "as above",
    "./run.sh optimize …": "as above",
    "./run.sh inspect model.tflite": "as above",
    "./run.sh optimize my.keras --output OUT": "as above",
    "./run.sh diff results/base results/wide": "tests/commands/test_diff.py has such results, as for the next three",
    "./run.sh diff results/base results/wide --html diff.html": "as above",
    "./run.sh diff HEAD~1:results/base results/base": "as above",
    "./run.sh diff v1 v2 --results results/base": "as above",
    "./run.sh --help": "it says so itself, as tests/setup/test_setup.py sees",
    "./run.sh --snakemake-help": "is Snakemake's own",
    "./run.sh init": "tests/overlay/test_init.py starts it, as what follows",
    "./run.sh init my.yaml --pictures FOLDER": "as above",
    "./run.sh init flowers.yaml --pictures pictures/flowers": "tests/workflow/test_tutorial.py runs it, as the next",
    ".venv/bin/python docs/tutorial/draw_flowers.py pictures/flowers": "as above",
    "./run.sh diff results/flowers results/flowers_3bit": "as above",
    "./run.sh init my.yaml --pictures pictures/goods": "as above",
    "./run.sh init my.yaml --model my.keras": "as above",
    "./run.sh init my.yaml --pictures pictures/goods --model my.keras": "as above",
    "docker build -t qatflow .": "needs a container engine; tests/setup/test_images.py holds the image to setup.sh",
    'docker run --rm -it -u "$(id -u):$(id -g)" -v "$PWD:/work" qatflow all': "as above",
    'docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/work" qatflow init my.yaml --pictures pictures/goods': "as above",
    'docker run --rm -it -u "$(id -u):$(id -g)" -v "$PWD:/work" qatflow all --configfile my.yaml': "as above",
    "QATFLOW_IMAGE=qatflow.sif snakemake --cores all all --sdm apptainer": "needs apptainer and an image",
    "QATFLOW_NO_APT=1 ./run.sh": "tests/setup/test_system.py starts it",
    "snakemake --cores all all --sdm conda": "needs conda; tests/workflow/test_conda.py runs it with a stand-in",
}
"""Commands that cannot be run here, by their text, with the reason."""
MADE_BEFORE = re.compile(r"python -c .*load_any\(Path\('results/")
"""Looks at the results of a whole run: tests/e2e/test_small.py has those, and reads them by the same function."""


@dataclass(frozen=True)
class Written:
    """A command as a document has it."""

    text: str
    place: str


def documents() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = [name for name in listed.split("\0") if name]
    pages = [name for name in names if name.endswith(".md") and name != "CHANGELOG.md"]
    commented = [
        name
        for name in names
        if (name.startswith(("config/", "profiles/")) and name.endswith(".yaml")) or name == "run.sh"
    ]
    return [ROOT / name for name in [*pages, *commented] if (ROOT / name).is_file()]


def written(path: Path) -> Iterator[Written]:
    """Yield the commands of a Markdown page's blocks and inline code, or of the comments of another file."""
    name = str(path.relative_to(ROOT))
    text = re.sub(r"\\\n\s*", "", path.read_text(encoding="utf-8"))
    for number, line in enumerate(text.splitlines(), 1):
        if path.suffix != ".md":
            found = re.match(r"# .*?((?:\./run\.sh|snakemake)(?: .*)?)$", line)
            parts = [re.split(r" {3,}", found[1])[0]] if found and ("--" in found[1] or "./run.sh" in found[1]) else []
        elif line.startswith(("    ", "$ ")):
            found = COMMAND.match(re.split(r"\s+# ", line)[0].strip())
            parts = [found[1]] if found else []
        else:
            parts = [found[1] for code in re.findall(r"`([^`]+)`", line) if (found := COMMAND.match(code))]
            parts = [part for part in parts if part not in A_PROGRAM_S_NAME]
        yield from (Written(part.strip(), f"{name}:{number}") for part in parts)


def commands() -> dict[str, str]:
    """Return each command with the first place that has it."""
    found: dict[str, str] = {}
    for path in documents():
        for one in written(path):
            found.setdefault(one.text, one.place)
    return found


COMMANDS = commands()


def of_snakemake(text: str) -> list[str] | None:
    """Return Snakemake's arguments, made dry, of a command that starts it; None for other commands."""
    words = shlex.split(text)
    if words[0] == "./run.sh":
        _, *given = command_line(words[1:])
        arguments = snakemake_arguments(given)
    elif words[0] == "snakemake":
        arguments = words[1:]
    else:
        return None
    return arguments if "--rulegraph" in arguments or "-n" in arguments else ["-n", *arguments]


def fenced(page: str, language: str) -> list[str]:
    """Return the blocks of a language in a page, without what a list puts before each line."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project, with the files of their own that the documents' readers would have: from the pages themselves."""
    project = copy_project(tmp_path_factory.mktemp("documents"))
    folder = project.folder
    phone, board, *_ = fenced("docs/devices.md", "yaml")
    small = (ROOT / "config/test.yaml").read_text(encoding="utf-8")
    page = (ROOT / "config/README.md").read_text(encoding="utf-8")
    (experiments,) = re.findall(r"^    experiments:\n(?:      .*\n)+", page, re.MULTILINE)
    for name, text in {
        "phone.yaml": phone,
        "board.yaml": board,
        "my.yaml": small + re.sub(r"^    ", "", experiments, flags=re.MULTILINE),
        "night.yaml": "seed: 2\n",
        "results/goods_quant/config.yaml": small,
        "elsewhere/my.yaml": small,
        "flowers.yaml": small,
        "three_bits.yaml": "seed: 3\n",
        "outer/Snakefile": fenced("docs/usage.md", "python")[0].replace("CHECKOUT", str(folder)),
        "outer/config/config.yaml": "qatflow: {}\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for part in ("ILSVRC2012_img_train/n01440764", "ILSVRC2012_img_val/n01440764"):
        (folder / "imagenet" / part).mkdir(parents=True)
    return project


def test_commands_are_found_in_every_kind_of_place():
    kinds = {place.partition(":")[0] for place in COMMANDS.values()}
    assert {"README.md", "config/README.md", "docs/devices.md", "docs/cluster.md", "demo/cxx/README.md"} <= kinds
    assert {"./run.sh -n", "./run.sh run_demo --configfile phone.yaml"} <= set(COMMANDS)  # of a block, and inline
    places = list(written(ROOT / "profiles/slurm/config.yaml"))
    assert [one.text for one in places] == ["snakemake --workflow-profile profiles/slurm all"]


def test_what_is_not_run_is_still_written_somewhere():
    assert set(NOT_HERE) <= set(COMMANDS), set(NOT_HERE) - set(COMMANDS)


@pytest.mark.workflow
def test_every_command_that_starts_snakemake_plans_its_jobs(project):
    folder = str(project.folder)
    started, dry = [], []
    for text in COMMANDS:
        arguments = None if text in NOT_HERE else of_snakemake(text)
        if arguments is not None:
            where = "outer" if "qat_all" in arguments else "elsewhere" if "-s" in arguments else "."
            filled = [
                re.sub("^CHECKOUT", folder, word).replace("/my/imagenet", f"{folder}/imagenet") for word in arguments
            ]
            started.append(text)
            dry.append((project.folder / where, filled))
    answers = run_all(project, dry)
    failed = [
        f"{COMMANDS[text]}: {text}\n{said[-2000:]}"
        for text, (status, said) in zip(started, answers, strict=True)
        if status != 0 or not re.search(r"^total +\d|digraph|flowchart|Nothing to be done", said, re.MULTILINE)
    ]
    assert not failed, "\n\n".join(failed)
    assert len(started) > 20


@pytest.mark.workflow
def test_a_target_behind_a_configuration_file_fails_as_it_would_for_a_reader(project):
    ((status, said),) = run_all(
        project, [(project.folder, ["-n", "--cores", "1", "--configfile", "my.yaml", "compare"])]
    )
    assert status == 1 and "compare" in said


def run_all(project: Project, dry: list[tuple[Path, list[str]]]) -> list[tuple[int, str]]:
    answers = [project.forked(*arguments, folder=folder) for folder, arguments in dry]
    return [(answer.returncode, answer.stdout + answer.stderr) for answer in answers]


def _programs() -> list[str]:
    others = [text for text in COMMANDS if text not in NOT_HERE and of_snakemake(text) is None]
    return [text for text in others if not MADE_BEFORE.match(text) and not text.startswith("./test.sh ")]


def texts_of(program: Path) -> set[str]:
    """Return the string constants of a Python file."""
    tree = ast.parse(program.read_text(encoding="utf-8"), str(program))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("text", _programs())
def test_every_other_program_is_there_and_knows_its_flags(text, tmp_path):
    words = [word for word in shlex.split(text.partition(" > ")[0]) if not re.fullmatch(r"[A-Z_]+=\S+", word)]
    if words[0] == "pytest":
        missing = [word for word in words[1:] if word.startswith("tests") and not (ROOT / word).exists()]
        assert not missing, f"{COMMANDS[text]}: {missing}"
        return
    assert words[0] == "python", f"{COMMANDS[text]}: nothing here runs {text}: add how, or the reason to NOT_HERE"
    if words[1] == "-m":
        # made of files in the project: run in a copy, where it finds nothing to change
        made = ("config/README.md", "docs/devices.md", "docs/architecture.md", "config/config.yaml")
        before = {name: (ROOT / name).read_bytes() for name in made}
        for name in ("src", "config", "docs", "workflow"):
            shutil.copytree(ROOT / name, tmp_path / name)
        subprocess.run(
            [sys.executable, "-m", words[2]], cwd=tmp_path, env=environment() | {"PYTHONPATH": str(tmp_path / "src")},
            check=True,
        )  # fmt: skip
        assert {name: (tmp_path / name).read_bytes() for name in before} == before
        return
    program = ROOT / words[1]
    source = program.read_text(encoding="utf-8")
    texts = texts_of(program) | {f"--{name}" for name in re.findall(r'add_section\(parser, "(\w+)"', source)}
    if "add_recipe(parser)" in source:
        texts |= texts_of(ROOT / "src/qatflow/config/recipe/option.py")
    flags = {word.partition("=")[0] for word in words[2:] if word.startswith("--")}
    assert flags <= texts, f"{COMMANDS[text]}: {words[1]} has no {', '.join(sorted(flags - texts))}"


@pytest.mark.parametrize("page", ["README.md", "config/README.md"])
def test_the_example_of_own_pictures_is_sound_and_fine_tunes_trained_weights(page, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    class_folders(tmp_path / "pictures/goods", per_class=100, classes=("cup", "fork", "plate"))
    (tmp_path / "my.yaml").write_text(fenced(page, "yaml")[0])
    monkeypatch.chdir(tmp_path)
    config = load_config([Path("config/config.yaml"), Path("my.yaml")])
    assert (config.pretrained.source, config.pretrained.fine_tune) == ("keras-applications", True)
    assert (config.pretrained.train.learning_rate, config.pretrained.train.batch_size) == (None, None)


def test_the_example_of_an_own_model_lacks_the_model_s_file_only(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "my.yaml").write_text(fenced("README.md", "yaml")[1])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"has 1 problem:\n.*model\.file: .*my\.keras"):
        load_config([Path("config/config.yaml"), Path("my.yaml")])


NAMED = re.compile(r"`([\w./-]+\.(?:py|smk|cc|h|sh))(?:::[\w…]+)?`|`(?:python -m )?(qatflow(?:\.\w+)+)`")
"""Files of code, and modules, as inline code has them."""
SOMEONE_S_OWN = {"x.py"}
"""Names that are examples."""


def test_every_file_and_module_that_a_document_names_exists():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    files = [f"/{name}" for name in listed.split("\0") if name]
    missing, names = [], 0
    for path in documents():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for file, module in NAMED.findall(line):
                names += 1
                ends = [f"/{file.removeprefix('./')}"]
                if module:
                    ends = [f"/src/{module.replace('.', '/')}{end}" for end in (".py", "/__init__.py")]
                    ends.append(f"/src/{module.rpartition('.')[0].replace('.', '/')}.py")  # a name of a module
                    ends += ["/src/qatflow/__init__.py"] * (module.removeprefix("qatflow.") in qatflow.__all__)
                if file not in SOMEONE_S_OWN and not any(name.endswith(tuple(ends)) for name in files):
                    missing.append(f"{path.relative_to(ROOT)}:{number}: {file or module}")
    assert not missing, "\n".join(missing)
    assert names > 150


def test_every_test_of_the_promises_exists():
    page = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    tests = re.findall(r"`([\w/]+\.py)::(test_\w+)(…?)`", page)
    missing = [
        f"{file}::{name}"
        for file, name, more in tests
        if not re.search(
            rf"^def {name}{'' if more else '[(]'}", (ROOT / "tests" / file).read_text("utf-8"), re.MULTILINE
        )
    ]
    assert not missing and len(tests) > 25, missing


def test_every_folder_that_a_document_names_exists():
    missing = []
    for page in ("README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/decisions.md"):
        for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), 1):
            for name in re.findall(r"`((?:src|tests|workflow|config|demo)/[\w/.-]+)`", line):
                rooms = (ROOT / name, ROOT / "src/qatflow" / name)
                if not any(place.exists() for place in rooms):
                    missing.append(f"{page}:{number}: {name}")
    assert not missing, "\n".join(missing)


def test_every_name_that_the_table_of_additions_gives_is_in_the_library():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = page.partition("## Where to add things")[2].partition("## Generated files")[0]
    names = set(re.findall(r"`([A-Z]\w+)`", table))
    library = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/qatflow").rglob("*.py"))
    defined = set(re.findall(r"^(?:class )?([A-Z]\w+)(?=[(: ])", library, re.MULTILINE))
    assert names <= defined and len(names) >= 6, names - defined


def test_the_table_of_rooms_has_every_package():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    table = page.partition("## The rooms")[2].partition("Beside the library")[0]
    rooms = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(rooms) == sorted(path.parent.name for path in ROOT.glob("src/qatflow/*/__init__.py"))
    parts = {f"{path.parts[-3]}/{path.parts[-2]}" for path in ROOT.glob("src/qatflow/*/*/*.py")}
    assert parts <= set(re.findall(r"`(\w+/\w+)`", table)) <= parts | {"src/qatflow"}


def test_the_picture_and_the_table_have_every_rule():
    written = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow/rules").glob("*.smk"))
    rules = {
        name
        for name, body in re.findall(r"^(?:rule|checkpoint) (\w+):\n((?: .*\n|\n)+)", written, re.MULTILINE)
        if "shell:" in body
    }
    rules |= set(re.findall(r"^use rule \w+ as (\w+) with:", written, re.MULTILINE))
    rules |= set(re.findall(r"^ +name:\s+\"(\w+)\"", written, re.MULTILINE))
    picture = (ROOT / "docs/images/rules.svg").read_text(encoding="utf-8")
    assert set(re.findall(r"<title>(\w+)</title>", picture)) - {"rules", "all"} == rules
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    table = page.partition("## All rules")[2].partition("### Targets")[0]
    rows = re.findall(r"^\| ([a-z][\w, ]+) \| `", table, re.MULTILINE)
    assert {name for row in rows for name in row.split(", ")} == rules
