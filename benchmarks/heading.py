"""The heading of a benchmark's table: date, machine, versions and commit, as lines of Markdown."""

import os
from datetime import UTC, datetime
from pathlib import Path

from qatflow.base.provenance import commit, versions


def heading(commits: list[str] | None = None) -> list[str]:
    """Return one line each for date, machine, versions and commit.

    Args:
        commits: of the measurements, if some are older; None: the checkout's commit.
    """
    return [
        f"* date: {datetime.now(UTC):%Y-%m-%d}",
        f"* machine: {_cpu()}, {os.cpu_count()} cores, {_gibibytes():.0f} GiB of memory",
        f"* versions: {', '.join(f'{tool} {version}' for tool, version in versions().items())}",
        f"* commit: {', '.join(commits or [str(commit())])}",
    ]


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def _gibibytes() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
