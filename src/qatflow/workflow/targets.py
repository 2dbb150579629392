"""What a command asks Snakemake for, and what to say of a target that nothing makes."""

import contextlib
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from qatflow.config.yaml.problems import nearest

_RULE = re.compile(r"^\s*(?:use )?(?:rule|checkpoint) .*?(\w+)(?: with)?:", re.MULTILINE)


def rule_names(root: Path) -> list[str]:
    """Return the names of all rules of the workflow whose folder is `root`, as its files have them."""
    files = [root / "Snakefile", *sorted((root / "workflow/rules").glob("*.smk"))]
    return [name for file in files if file.is_file() for name in _RULE.findall(file.read_text(encoding="utf-8"))]


def asked_for(argv: Sequence[str]) -> list[str]:
    """Return the targets in the arguments of a Snakemake program, `argv[0]` among them; nothing for another program."""
    program = Path(argv[0])
    if "snakemake" not in (program.name, program.parent.name):
        return []
    from snakemake.cli import get_argument_parser

    with contextlib.suppress(SystemExit):
        return list(get_argument_parser().parse_args(list(argv[1:])).targets)
    return []


def is_made(target: str, workflow: Any) -> bool:
    """Return whether a target is a rule of Snakemake's `workflow`, or a file that one of its rules makes."""
    return workflow.is_rule(target) or any(rule.is_producer(target) for rule in workflow.rules)


def unknown_target(target: str, targets: Collection[str], experiments: Collection[str]) -> str:
    """Return what to say of a target that is no rule and that no rule makes.

    Args:
        target: as it was asked for.
        targets: the named targets.
        experiments: the names of the experiments.
    """
    if re.fullmatch(r"[\w.-]+=.*", target, re.DOTALL):
        return f"'{target}' is not a target; give values after --config: snakemake --config {target}"
    if target.endswith((".yaml", ".yml")):
        return f"'{target}' is not a target; give a configuration after --configfile: snakemake --configfile {target}"
    hint = nearest(target, targets)
    parts = Path(target).parts
    if len(parts) > 1 and parts[0] == "results" and parts[1] not in (*experiments, "comparison"):
        shown = [*experiments][:20]
        more = ", …" if len(experiments) > len(shown) else ""
        return (
            f"nothing makes '{target}': there is no experiment {parts[1]!r}; there are {', '.join(shown)}{more}"
            f"{nearest(parts[1], experiments)}"
        )
    return f"there is no target '{target}', and no rule makes such a file{hint}\nTargets: {', '.join(targets)}"
