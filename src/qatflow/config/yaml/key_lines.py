"""Which key a line of a YAML file belongs to, by its indentation alone: for what keeps the file from being read."""

import bisect
import re

_KEY = re.compile(r"""(\s*)(?:-\s+)?(["']?)([\w.-]+)\2\s*:(?:\s|$)""")


class KeyLines:
    """The keys of a text, one a line at most."""

    def __init__(self, text: str) -> None:
        matches = ((number, _KEY.match(line)) for number, line in enumerate(text.split("\n"), 1))
        self._keys = [(number, len(match[1]), match[3]) for number, match in matches if match]

    def dotted(self, line: int) -> str:
        """Return the key on the line, or the last one above it, with those that it stands under."""
        found: list[str] = []
        least: int | None = None
        end = bisect.bisect_right(self._keys, line, key=lambda known: known[0])
        for _, indent, key in reversed(self._keys[:end]):
            if least is None or indent < least:
                found.insert(0, key)
                least = indent
            if least == 0:
                break
        return ".".join(found)
