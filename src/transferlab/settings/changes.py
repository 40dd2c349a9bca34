"""Two settings compared, and a value as the right side of an override."""

import re
from collections.abc import Iterator, Mapping
from typing import Any


def differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every dotted key whose value differs, with both values; None stands for an absent one."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from differences(
                old.get(name), new.get(name), f"{key}.{name}" if key else str(name)
            )
    elif old != new:
        yield key, old, new


def override_value(value: Any) -> str:
    """A value as the right side of an override, so that Hydra reads the same value."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{override_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(override_value, value)) + "]"
    text = str(value)
    words = ("null", "true", "false", "nan", "inf")
    if not isinstance(value, str) or (
        re.fullmatch(r"[A-Za-z_][\w./:@-]*", text) and text.lower() not in words
    ):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
