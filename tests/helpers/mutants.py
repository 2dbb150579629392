"""Values for mutants of configurations, and how they are compared."""

from typing import Any

from qatflow.config.yaml.keys import Keys

UNREADABLE = object()


SCALARS: dict[str, Any] = {
    "1e-3": 0.001, "1E+2": 100.0, "0.5": 0.5, ".5": 0.5, "-1": -1, "0": 0, "1": 1, "2": 2, "3": 3, "8": 8, "64": 64,
    "10000": 10000, "1e400": UNREADABLE, "99999999999999999999": UNREADABLE, "true": True, "false": False, "yes": "yes",
    "null": None, "~": None, "1_000": "1_000", "1:30": "1:30", "0x10": "0x10", ".inf": ".inf", ".nan": ".nan",
    "'1'": "1", "'1e-3'": "1e-3", "'true'": "true", "text": "text", "''": "", "../up": "../up", "/abs": "/abs",
    "[]": [], "[1]": [1], "[1, 2, 3]": [1, 2, 3], "[text]": ["text"], "[[1]]": [[1]], "{}": {}, "{a: 1}": {"a": 1},
    "&x 1": UNREADABLE, "*x": UNREADABLE, "!t 1": UNREADABLE, "\t1": UNREADABLE, "'a\0b'": UNREADABLE,
    "a\udcffb": UNREADABLE, "[1": UNREADABLE, "'open": UNREADABLE, "a: b": UNREADABLE, "2020-13-45": UNREADABLE,
    "ä/ö": "ä/ö", "a b": "a b", "'{x}'": "{x}", '"a\\nb"': "a\nb", '"a\\0b"': "a\0b", "x" * 300: "x" * 300,
}  # fmt: skip


def at(values: Any, keys: Keys) -> Any:
    for key in keys:
        values = values[key]
    return values


def same(one: Any, other: Any) -> bool:
    """Equal, where a float key takes a whole number."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)
