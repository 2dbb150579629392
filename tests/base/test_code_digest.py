"""Which modules a program imports, found from the imports themselves."""

import subprocess
import sys

import pytest

from helpers.places import ROOT
from qatflow.base.code_digest import imported_modules

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


@pytest.mark.parametrize("script", LIGHT)
def test_the_static_answer_covers_what_is_really_imported(script: str):
    """Run the program's imports in a fresh process and compare with sys.modules."""
    code = (
        f"import runpy, sys\nrunpy.run_path({str(SCRIPTS / script)!r} + '.py')\n"
        "print(*[m for m in sys.modules if m.startswith('qatflow')])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    static = {name.removesuffix(".__init__") for name in names(script)}
    assert set(loaded) <= static


@pytest.mark.parametrize("script", LIGHT)
def test_stages_that_need_no_tensorflow_do_not_load_it(script: str):
    code = (
        f"import runpy, sys\nrunpy.run_path({str(SCRIPTS / script)!r} + '.py')\nassert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_digest_follows_the_code_but_not_the_configurations_wording(tmp_path, monkeypatch):
    from qatflow.base import code_digest as module

    package = tmp_path / "qatflow"
    for name, text in {
        "__init__": "", "trainer": "import qatflow.loop\nimport qatflow.config.sections.config", "loop": "RATE = 1",
        "other": "", "config/__init__": "", "config/model": "HELP = 'one'",
    }.items():  # fmt: skip
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(module, "SOURCE", tmp_path)

    def digest() -> str:
        module._direct.cache_clear()
        module._file.cache_clear()
        return module.code_digest("qatflow.trainer")

    first = digest()
    (package / "config/model.py").write_text("HELP = 'two'")
    (package / "other.py").write_text("X = 1")
    assert digest() == first
    (package / "loop.py").write_text("RATE = 2")
    changed = digest()
    monkeypatch.undo()
    module._direct.cache_clear()
    module._file.cache_clear()
    assert changed != first
