"""Which modules a program imports, found from the imports themselves."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from helpers.places import ROOT
from qatflow.base import code_digest, imported_names
from qatflow.base.code_digest import code_files, imported_modules
from qatflow.base.sums import write_sealed

SCRIPTS = ROOT / "workflow" / "scripts"
LIGHT = [
    "prepare_data", "export", "model_optimize_tool", "gate", "inspect_layers", "evaluate", "run_demo", "report",
    "build_demo", "fetch", "fetch_runtime",
]  # fmt: skip


def names(script: str) -> set[str]:
    files = imported_modules(SCRIPTS / f"{script}.py")
    source = SCRIPTS.parent.parent / "src"
    return {".".join(path.relative_to(source).with_suffix("").parts) for path in files}


def test_imports_within_functions_and_packages_on_the_way_count():
    found = names("compress")
    assert {"qatflow.training.loop", "qatflow.compress.quantizers.weights", "qatflow.compress.__init__"} <= found


def data_files(script: str) -> set[str]:
    return {path.name for path in code_files(SCRIPTS / f"{script}.py") if path.suffix != ".py"}


def test_the_templates_of_its_page_are_files_of_a_program_and_those_of_another_are_not():
    report, comparison = data_files("report"), data_files("compare")
    assert {"base.html", "style.css", "page.js", "report_page.html", "report_answer.html"} <= report
    assert comparison == {
        "base.html", "colours.css", "comparison.js", "comparison_page.html", "page.js", "pictures.css", "style.css",
        "table.html",
    }  # fmt: skip
    assert {path.name for path in (ROOT / "src/qatflow/report/templates").iterdir()} == report | comparison | {
        "diff_page.html"
    }
    assert data_files("gate") == set()


def test_every_data_file_is_installed_with_its_package():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    source = ROOT / "src"
    installed = {
        path
        for package, patterns in listed.items()
        for pattern in patterns
        for path in source.joinpath(*package.split(".")).glob(pattern)
    }
    present = {path for path in (source / "qatflow").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert installed == {path for path in present if path.suffix != ".py"}


@pytest.mark.parametrize("script", ["compress", "pretrained"])
def test_training_does_not_depend_on_later_stages(script: str):
    later = (
        "qatflow.export",
        "qatflow.optimize",
        "qatflow.tflite",
        "qatflow.device",
        "qatflow.evaluate",
        "qatflow.report",
    )
    assert not [name for name in names(script) if name.startswith(later)]


@cache
def loaded(script: str) -> frozenset[str]:
    """Return what is in sys.modules when a fresh process has run the imports of a program."""
    code = f"import runpy, sys\nrunpy.run_path({str(SCRIPTS / script)!r} + '.py')\nprint(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return frozenset(process.stdout.split())


@pytest.mark.parametrize("script", LIGHT)
def test_the_static_answer_covers_what_is_really_imported(script: str):
    static = {name.removesuffix(".__init__") for name in names(script)}
    found = {name for name in loaded(script) if name.startswith("qatflow")}
    assert found and found <= static


@pytest.mark.parametrize("script", LIGHT)
def test_stages_that_need_no_tensorflow_do_not_load_it(script: str):
    assert "tensorflow" not in loaded(script)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a package that the digest takes for the project's own."""
    forget()
    monkeypatch.setattr(code_digest, "SOURCE", tmp_path)
    yield tmp_path / "qatflow"
    monkeypatch.undo()
    forget()


def write(package: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def forget() -> None:
    for cached in (code_digest._direct, code_digest._file, code_digest._data_files, code_digest._data_beside):
        cached.cache_clear()


def digest(module: str) -> str:
    forget()
    return code_digest.code_digest(module)


def test_the_kept_imports_are_those_of_the_text_and_only_a_whole_file_of_this_module_counts(tmp_path, monkeypatch):
    """Each time as a later process would have it."""
    kept, texts = tmp_path / "kept.json", (b"import qatflow.a", b"def f():\n    from qatflow.b import c")
    monkeypatch.setattr(imported_names, "KEPT", kept)
    monkeypatch.setattr(imported_names.sys, "dont_write_bytecode", True)  # written here, not at exit

    def process(text: bytes) -> tuple[str, ...]:
        for cached in (imported_names.imported_names, imported_names._kept):
            cached.cache_clear()
        return imported_names.imported_names(text)

    assert process(texts[0]) == ("qatflow.a",)
    imported_names._keep()
    with monkeypatch.context() as no_parser:
        no_parser.setattr(imported_names.ast, "parse", None)
        assert process(texts[0]) == ("qatflow.a",)
        with pytest.raises(TypeError):
            process(texts[1])
    assert process(texts[1]) == ("qatflow.b.c",)
    whole = kept.read_bytes()
    for damaged in (whole.replace(b"qatflow.a", b"qatflow.x"), whole[:-9], b"[]", b"\xff"):
        kept.write_bytes(damaged)
        assert process(texts[0]) == ("qatflow.a",)
    write_sealed(kept, json.loads(whole) | {"by": "another"})
    assert process(texts[0]) == ("qatflow.a",)
    imported_names._kept.cache_clear()
    monkeypatch.setattr(imported_names, "KEPT", tmp_path / "no file" / "kept.json")
    (tmp_path / "no file").write_text("")
    assert process(texts[0]) == ("qatflow.a",)
    imported_names._keep()
    process(b"")


def test_the_digest_follows_the_code_but_not_the_configurations_wording(package):
    write(package, {
        "__init__.py": "", "trainer.py": "import qatflow.loop\nimport qatflow.config.model", "loop.py": "RATE = 1",
        "other.py": "", "config/__init__.py": "", "config/model.py": "HELP = 'one'",
    })  # fmt: skip
    first = digest("qatflow.trainer")
    (package / "config/model.py").write_text("HELP = 'two'")
    (package / "other.py").write_text("X = 1")
    assert digest("qatflow.trainer") == first
    (package / "loop.py").write_text("RATE = 2")
    assert digest("qatflow.trainer") != first


def test_the_digest_follows_the_data_files_that_are_named_and_those_that_these_name(package):
    write(package, {
        "__init__.py": "", "page.py": "PAGE = 'page.html'", "templates/page.html": "{% include 'style.css' %}",
        "templates/style.css": "a {}", "templates/unused.html": "", "inner/__init__.py": "", "inner/style.css": "",
    })  # fmt: skip
    seen = [digest("qatflow.page")]
    for name in ("templates/unused.html", "inner/style.css", "templates/page.html", "templates/style.css"):
        with (package / name).open("a") as file:
            file.write("more")
        seen.append(digest("qatflow.page"))
    assert seen[0] == seen[1] == seen[2] and len(set(seen[2:])) == 3
