"""Whether a JSON value has the shape of an annotation: of a TypedDict, or of what it is made of.

Standard library only, like `files`. pydantic, which checks the parameters, would want another
TypedDict than Python 3.11's.
"""

import functools
import typing
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, is_typeddict

WORDS = {dict: "an object", list: "a list", str: "text", int: "a whole number", float: "a number"}
WORDS |= {bool: "true or false", NoneType: "null"}


def misfit(value: Any, shape: Any, place: str = "") -> tuple[str, str] | None:
    """What is expected and what is found at the first place that does not fit; None: all fits.

    Args:
        value: As `json` gives it.
        shape: `Any`, a TypedDict, `list[...]`, `dict[str, ...]`, a union, a Literal or a plain
            type. Keys beyond those of a TypedDict are let through.
        place: Dotted keys above.
    """
    if is_typeddict(shape):
        return _misfit_of_object(value, shape, place)
    origin, inner = get_origin(shape), get_args(shape)
    if origin is dict and isinstance(value, dict):
        return _first((item, inner[1], _below(place, key)) for key, item in value.items())
    if origin is list and isinstance(value, list):
        return _first((item, inner[0], _below(place, i)) for i, item in enumerate(value))
    if origin in (Union, UnionType):
        found = [misfit(value, one, place) for one in inner]
        return None if None in found else found[0]
    if origin is Literal:
        said = " or ".join(map(repr, inner))
        return None if value in inner else (_said(said, place), short(value))
    plain = origin or shape
    return None if _is(value, plain) else (_said(WORDS[plain], place), short(value))


def _misfit_of_object(value: Any, shape: Any, place: str) -> tuple[str, str] | None:
    if not isinstance(value, dict):
        return _said(WORDS[dict], place), short(value)
    for key in sorted(shape.__required_keys__ - value.keys()):
        return f"the key {_below(place, key)}", "none"
    hints = _hints(shape)
    return _first((value[key], hints[key], _below(place, key)) for key in hints if key in value)


@functools.cache  # a list of objects asks once for each
def _hints(shape: Any) -> dict[str, Any]:
    return typing.get_type_hints(shape)


def _first(parts: Any) -> tuple[str, str] | None:
    return next(filter(None, (misfit(*part) for part in parts)), None)


def _is(value: Any, plain: Any) -> bool:
    """As JSON has it: true is no number, and a whole number is one."""
    if plain is Any:
        return True
    if plain is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, plain) and (plain is bool or not isinstance(value, bool))


def _below(place: str, key: Any) -> str:
    return f"{place}.{key}" if place else str(key)


def _said(what: str, place: str) -> str:
    return f"{what} as {place}" if place else what


def short(value: Any) -> str:
    """What was found, in few characters that no terminal obeys."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
