"""What differs from the defaults, and one command that composes the same parameters again."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..settings.changes import override_value

UNKNOWN = "not known"

Change = tuple[str, Any, Any]
"""A group or a dotted key, its default, and its value here."""

WRITTEN = (
    *("checked", "dataset.path_sha256", "backbone.weights_sha256", "watched"),
    *("cross_validation.each", "learning_curve.each"),
)
"""By composition, not by a person."""

FREE = ("imagenet", "phases", "rates")
"""Mappings whose keys are names; all others hold what `params/` knows."""

SAYABLE = r"[A-Za-z_*][\w.*/-]*(?: [\w.*/-]+)*"
"""Keys of a mapping that Hydra's grammar takes; it has no quotes for others."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Another option of a group than the default one."""

    group: str
    usual: str
    option: str
    says: Mapping[str, Any]  # the section that the option gives, `UNKNOWN` where it is not recorded


def changed_settings(params: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[Change]:
    """What differs, as a person sets it: the strategies, the groups, then single keys.

    What composition writes by itself is left out. Keys of another data set or backbone are compared
    with what that one says.
    """
    choices = _choices(params, defaults)
    groups = [(it.group, it.usual, it.option) for it in choices if it.option != it.usual]
    found = different(params, {**defaults, **{it.group: it.says for it in choices}})
    strategy = [change for change in found if change[0] == "strategy"]
    return [*strategy, *groups, *(it for it in found if it[0] not in ("strategy", "options"))]


def different(params: Mapping[str, Any], others: Mapping[str, Any]) -> list[Change]:
    """What differs from other parameters, all of them known: the strategies, then single keys."""
    names, usual = list(params["strategies"]), list(others["strategies"])
    found: list[Change] = []
    if names != usual:
        found.append(("strategy", usual, names if len(names) > 1 else names[0]))
    both = [name for name in names if name in usual]
    old, new = (
        {**side, "strategies": {name: side["strategies"][name] for name in both}}
        for side in (others, params)
    )
    return found + list(_differences(old, new, ""))


def _choices(params: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[Choice]:
    """A data set may be called otherwise than its file: images of one's own compose from `folder`
    under any name.
    """
    options, found = defaults.get("options", {}), []
    for group in ("dataset", "backbone"):
        name, usual = params[group]["name"], defaults[group]["name"]
        if name != usual:
            known = options.get(group, {})
            kind = _kind(params["dataset"]) if group == "dataset" else "other"
            option = name if name in known or not known else kind
            unknown = {**dict.fromkeys(params[group], UNKNOWN), "name": option}
            says = known.get(option, unknown)
            found.append(Choice(group=group, usual=usual, option=option, says=says))
    return found


def _kind(dataset: Mapping[str, Any]) -> str:
    """The file of `conf/dataset/` that a data set without one composes from."""
    if dataset["textures"]:
        return "textures"
    return "folder" if dataset["path"] else "hymenoptera"


def _differences(old: Any, new: Any, key: str) -> Iterator[Change]:
    """Down to the keys that an override can name; mappings of other keys are values."""
    if key in WRITTEN or old == new:
        return
    free = key.rpartition(".")[2] in FREE
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)) or (
        free and not (old.keys() == new.keys() and all(re.fullmatch(r"\w+", name) for name in new))
    ):
        yield key, old, new
        return
    for name in new:
        yield from _differences(old.get(name), new[name], f"{key}.{name}" if key else name)


def again(params: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The words of `dvc exp run` that compose these parameters again, and what no word can say.

    Of a strategy that is none of the defaults every key is given: what its file says is not known.

    Returns:
        Overrides in the order that Hydra needs, not quoted for a shell; keys that can only be
        given in a file of `conf/`.
    """
    given = [(key, value) for key, _, value in changed_settings(params, defaults)]
    given += [
        (f"strategies.{name}.{key}", value)
        for name, section in params["strategies"].items()
        if name not in defaults["strategies"]
        for key, value in section.items()
    ]
    groups = [choice.group for choice in _choices(params, defaults)]
    if "dataset" in groups and params["dataset"]["path"] is None:
        given.append(("dataset.path_sha256", None))
    if (precision := params["engine"]["precision"]) != params["backbone"]["precision"]:
        given.append(("engine.precision", precision))  # which follows the backbone's
    said = [(key, value) for key, value in given if _sayable(value)]
    lost = [key for key, value in given if not _sayable(value)]
    return [word for key, value in said for word in _words(key, value)], lost


def _words(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield f"{key}=null"  # else the keys would be added to those that are there
    yield f"{key}={override_value(value)}"


def _sayable(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return True
    words = ("null", "true", "false", "nan", "inf")
    return all(
        re.fullmatch(SAYABLE, str(key), re.ASCII)
        and str(key).lower() not in words
        and _sayable(item)
        for key, item in value.items()
    )


def quoted(word: str) -> str:
    """A word for the shell, in one line whatever it holds."""
    if word.isprintable():
        return shlex.quote(word)
    # of bash and zsh: $'...' knows escapes, where other quotes keep a line break as it is
    signs = (sign if sign.isprintable() and sign not in "\\'" else _escape(sign) for sign in word)
    return f"$'{''.join(signs)}'"


def _escape(sign: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in sign.encode())
