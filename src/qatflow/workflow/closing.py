"""What a run says last: the verdict, then the table; of several experiments, the verdicts, then their comparison."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


def results(jobs: Iterable[Any], names: Mapping[str, str]) -> str:
    """Return what the reports and the comparison among a run's jobs say, with warnings about pictures first.

    Args:
        jobs: of Snakemake, all done.
        names: our names of rules by those that they have in this run.
    """
    by_rule: dict[str, list[Any]] = {}
    for job in jobs:
        by_rule.setdefault(names.get(job.rule.name, ""), []).append(job)
    summaries = [Path(job.output.summary) for job in by_rule.get("make_report", [])]
    compared = [Path(job.output.text) for job in by_rule.get("compare_experiments", [])]
    lines = [line for job in by_rule.get("prepare_data", []) for line in _warnings(job)]
    lines += [line for summary in summaries for line in _verdict(summary)]
    own = [] if compared and len(summaries) > 1 else [summary.parent / "report/summary.txt" for summary in summaries]
    lines += [f"\n{table.read_text(encoding='utf-8')}" for table in [*own, *compared]]
    lines += [f"report: {summary.parent / 'report/report.html'}" for summary in summaries]
    lines += [f"comparison: {text.parent / 'comparison.html'}" for text in compared]
    return "".join(f"{line}\n" for line in lines)


def _verdict(summary: Path) -> Iterator[str]:
    said = json.loads(summary.read_text(encoding="utf-8"))
    if verdict := said.get("verdict"):
        yield f"\n{said['experiment']}: {verdict['sentence']}"


def _warnings(job: Any) -> list[str]:
    log = Path(job.log[0])
    if not log.is_file():
        return []
    lines = log.read_text(encoding="utf-8").splitlines()
    return [f"{job.wildcards.dataset}: {line}" for line in lines if line.startswith("warning: ")]
