"""How many modules are inputs of each rule, as the table of docs/architecture.md.

A rule's program and all modules that it imports are inputs of its jobs: an edit to one of them makes them due.
`python -m qatflow.workflow.inputs` writes the table.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.base.code_digest import imported_modules
from qatflow.base.files import write_text
from qatflow.base.generated import with_rows
from qatflow.base.places import SOURCE

PAGE = Path("docs/architecture.md")
TABLE = ("<!-- table: made by `python -m qatflow.workflow.inputs` -->", "<!-- end of table -->")
_RULE = re.compile(
    r'^ *(?:rule|checkpoint) (\w+):|^ *use rule \w+ as (\w+) with:|^ *name:\n *"(\w+)"|program\("(\w+)"\)', re.MULTILINE
)


def programs(rules: Path) -> Iterator[tuple[str, str]]:
    """Yield the name of each rule that runs a program, and the program's, in the order of the files of rules."""
    for file in sorted(rules.glob("*.smk")):
        rule = ""
        for named, taken_over, of_a_loop, program in _RULE.findall(file.read_text(encoding="utf-8")):
            rule = named or taken_over or of_a_loop or rule
            if program:
                yield rule, program


def table(root: Path) -> list[str]:
    """Return the lines of the table of a checkout: rules with one program share a line."""
    rules: dict[str, list[str]] = {}
    for rule, program in programs(root / "workflow/rules"):
        rules.setdefault(program, []).append(rule)
    lines = ["| rule | program | modules | of these in `config` |", "|---|---|---|---|"]
    for program, names in sorted(rules.items(), key=lambda item: item[1][0]):
        modules = imported_modules(root / f"workflow/scripts/{program}.py")
        of_config = [path for path in modules if path.relative_to(SOURCE).parts[1] == "config"]
        lines.append(f"| {', '.join(names)} | `{program}.py` | {len(modules)} | {len(of_config)} |")
    return lines


def with_table(page: str, root: Path) -> str:
    """Return the text of docs/architecture.md with the table as it is now."""
    return with_rows(page, TABLE, table(root))


def main(argv: Sequence[str]) -> None:
    """Write the table of each rule's modules into docs/architecture.md."""
    parser = argparse.ArgumentParser(prog="python -m qatflow.workflow.inputs", description=main.__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder (this one)")
    root = parser.parse_args(argv).root
    write_text(root / PAGE, with_table((root / PAGE).read_text(encoding="utf-8"), root))
    print(root / PAGE)


if __name__ == "__main__":
    entry(main)
