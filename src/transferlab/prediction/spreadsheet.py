"""Cells of the tables that people open in a spreadsheet."""

from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula, or skips before one."""


def cell(value: Any) -> Any:
    """Text that begins a formula gets an apostrophe before it, so that a spreadsheet shows it and
    runs nothing; numbers stay as they are.

    A name of a file may hold bytes that are no UTF-8, which Python keeps as surrogates: they become
    escapes.
    """
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.startswith(FORMULA) else text
