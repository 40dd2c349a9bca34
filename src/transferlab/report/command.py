"""What differs from the defaults, and one command that composes the same parameters again."""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from ..settings.changes import override_value

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


def changed_settings(params: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[Change]:
    """What differs, as a person sets it: the strategies, the groups, then single keys.

    What composition writes by itself is left out.
    """
    groups = _groups(params, defaults)
    said = {f"{group}.name" for group, _, option in groups if option in _names(params)}
    keys = [change for change in _keys(params, defaults) if change[0] not in said]
    return [*(group for group in groups if group[1] != group[2]), *keys]


def _names(params: Mapping[str, Any]) -> tuple[str, str]:
    return params["dataset"]["name"], params["backbone"]["name"]


def _groups(params: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[Change]:
    """The groups of which another option is chosen.

    A data set may be called otherwise than its file: images of one's own compose from `folder`
    under any name.
    """
    names, usual = list(params["strategies"]), list(defaults["strategies"])
    found = [("strategy", usual, names if len(names) > 1 else names[0])] if names != usual else []
    dataset, before = params["dataset"], defaults["dataset"]["name"]
    if dataset["name"] != before:
        drawn = "textures" if dataset["textures"] else "hymenoptera"
        found.append(("dataset", before, "folder" if dataset["path"] else drawn))
    backbone, before = params["backbone"]["name"], defaults["backbone"]["name"]
    return found + ([("backbone", before, backbone)] if backbone != before else [])


def _keys(params: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[Change]:
    both = [name for name in params["strategies"] if name in defaults["strategies"]]
    old, new = (
        {**side, "strategies": {name: side["strategies"][name] for name in both}}
        for side in (defaults, params)
    )
    yield from _differences(old, new, "")


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

    Of another data set or backbone every key is given, the default ones too, and of a strategy that
    is none of the defaults: what their own files say is not known here.

    Returns:
        Overrides in the order that Hydra needs, not quoted for a shell; keys that can only be
        given in a file of `conf/`.
    """
    groups = _groups(params, defaults)
    sections = {group: params[group] for group, _, _ in groups if group != "strategy"}
    foreign = [name for name in params["strategies"] if name not in defaults["strategies"]]
    sections |= {f"strategies.{name}": params["strategies"][name] for name in foreign}
    given = [(group, option) for group, _, option in groups]
    given += [
        (f"{section}.{key}", value)
        for section, values in sections.items()
        for key, value in values.items()
        if f"{section}.{key}" not in WRITTEN
    ]
    given += [
        (key, value)
        for key, _, value in _keys(params, defaults)
        if key.split(".")[0] not in sections
    ]
    if "dataset" in sections and params["dataset"]["path"] is None:
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
