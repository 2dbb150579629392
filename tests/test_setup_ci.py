"""The script of continuous integration."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_ci_ends_with_the_tests_closing_line_and_fails_where_one_part_fails(tmp_path):
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    closing = "==== 1 failed, 12 passed, 3 skipped in 75.02s (0:01:15) ===="
    for test_status, run_status in ((0, 0), (1, 0), (0, 1)):
        (tmp_path / "test.sh").write_text(
            f"#!/bin/sh\necho '==== FAILURES ===='\necho '{closing}'\nexit {test_status}\n"
        )
        (tmp_path / "run.sh").write_text(f"#!/bin/sh\necho ran >>ran\necho table\nexit {run_status}\n")
        for name in ("test.sh", "run.sh"):
            (tmp_path / name).chmod(0o755)
        answer = subprocess.run([tmp_path / ".ci/run"], capture_output=True, text=True)
        assert answer.stdout.splitlines()[-1] == closing
        assert (answer.returncode != 0) == bool(test_status or run_status)
    assert (tmp_path / "ran").read_text() == "ran\n" * 3
