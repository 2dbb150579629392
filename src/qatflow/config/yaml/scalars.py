"""The values of unquoted scalars in YAML 1.2 (core schema), and values as messages show them."""

import math
import re
from typing import Any

import yaml

MAX_DIGITS = 18  # whole numbers with more digits do not fit into 64 bits

_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")  # no leading zeros: YAML 1.1 reads 010 as 8
_YAML_1_1 = yaml.FullLoader("")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")


def plain_scalar(text: str) -> Any:
    """Return the value of an unquoted scalar: None, bool, int, float or the text itself.

    Raises:
        ValueError: a number that does not fit into 64 bits, or a text that Snakemake's YAML 1.1 reader cannot read.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        if len(text.lstrip("+-")) > MAX_DIGITS:
            raise ValueError(f"the number {text[:MAX_DIGITS]}… is too large")
        return int(text)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"the number {text[:MAX_DIGITS]} is too large")
        return value
    _check_yaml_1_1(text)
    return text


def _check_yaml_1_1(text: str) -> None:
    tag = _YAML_1_1.resolve(yaml.ScalarNode, text, (True, False))
    try:
        _YAML_1_1.construct_object(yaml.ScalarNode(tag, text))
    except (ValueError, yaml.YAMLError):
        raise ValueError(f"{text[:60]!r} means something else in YAML 1.1; write it in quotes") from None


def kind(value: Any) -> str:
    """Return `value` as a message shows it."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f"the text {value if len(value) <= 60 else value[:60] + '…'!r}"
    return f"{value!r}"
