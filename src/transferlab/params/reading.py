"""`params.yaml` read and checked: every problem of the whole file at once, each with its dotted
key.
"""

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from .learning.strategies import LEARNERS
from .whole import Params


def load_params(path: Path) -> Params:
    """Read and check a params file.

    Raises:
        ValueError: one message with every problem of the file, each with its dotted key.
    """
    return parse(read_params(path), path.name)


def read_params(path: Path) -> Any:
    """A params file as plain data.

    Raises:
        ValueError: It is not there or is no YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(
            f"{path.name}: expected a file, found none. Compose it from conf/: transferlab compose."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        found = " ".join(str(error).split())
        raise ValueError(
            f"{path.name}: expected YAML, got: {found}. Compose it anew: transferlab compose."
        ) from error


def parse(data: Any, where: str = "params.yaml") -> Params:
    """Check a composed configuration.

    Raises:
        ValueError: one message with every problem, each with its dotted key.
    """
    try:
        # JSON mode: lists become tuples, yet text never becomes a number.
        return TypeAdapter(Params).validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        problems = {sentence for item in error.errors() for sentence in _sentences(item, data)}
        raise ValueError("\n".join(f"{where}: {problem}" for problem in sorted(problems))) from None


def _sentences(error: Any, data: Any) -> Iterator[str]:
    """One pydantic error in this project's form: the dotted key, what was expected, what it got,
    what to do.
    """
    kind, location, value = error["type"], error["loc"], error["input"]
    # Under `strategies.<name>` pydantic inserts the name of the record it tried; a person never
    # wrote that.
    steps = [
        str(item) for i, item in enumerate(location) if not (location[0] == "strategies" and i == 2)
    ]
    key = ".".join(step for step in steps if step != "[key]") or "the whole file"
    if kind == "value_error":
        yield from (
            ".".join([*steps, problem]) for problem in str(error["ctx"]["error"]).split("\n")
        )
    elif kind == "unexpected_keyword_argument":
        known = sorted(_fields_at(location[:-1]))
        yield (
            f"{key}: unknown key.{_nearest(str(location[-1]), known)} Choices: {', '.join(known)}."
        )
    elif kind.startswith("missing"):
        yield f"{key}: expected a value, found none. Compose params.yaml anew: transferlab compose."
    elif kind.startswith("union_tag"):
        others = [name for name in data["strategies"] if name != steps[-1]]
        got = f"{value.get('learner')!r}.{_nearest(steps[-1], others)}"
        yield f"{key}.learner: expected one of {', '.join(LEARNERS)}, got {got}"
    elif kind == "string_pattern_mismatch":
        yield f"{key}: expected text of the form {error['ctx']['pattern']}, got {value!r}."
    else:
        expected = re.sub(r"^\w+ should (be|have) (a valid )?", "", error["msg"])
        yield f"{key}: expected {expected}, got {value!r}."


def _nearest(name: str, known: Sequence[str]) -> str:
    """The question whether a person meant a similar name, or nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _fields_at(location: tuple[Any, ...]) -> list[str]:
    """The keys that the section at a pydantic location knows."""
    kind: Any = Params
    for item in location:
        entry = get_origin(kind) is dict
        kind = get_args(kind)[1] if entry else LEARNERS.get(item) or get_type_hints(kind)[item]
        if get_origin(kind) is not dict:  # of a union, the record
            kind = next((choice for choice in get_args(kind) if is_dataclass(choice)), kind)
    return [field.name for field in fields(kind)]
