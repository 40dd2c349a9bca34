"""The setting, or the other path, under which files are a data set."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from ...params.dataset import Dataset
from ..archive.pack import clutter
from .decode import named_like_image
from .inside import instead

WORDS = ("null", "true", "false", "yes", "no", "on", "off", "nan", "inf")
"""That YAML or Hydra would not take for names."""


def fitting(paths: Sequence[str], dataset: Dataset) -> str:
    """The setting under which these files are a data set, where there is one."""
    files = [path for path in paths if not clutter(path)]
    if found := instead(files, dataset):
        return found
    counts = Counter(label_in_name(path) for path in files if named_like_image(path))
    told = {name: count for name, count in counts.items() if name}
    if dataset.labels == "folders" and len(told) > 1 and 2 * len(told) <= sum(told.values()):
        shown = ", ".join(f"{name} ({count})" for name, count in sorted(told.items())[:5])
        return (
            f"If the names tell the class, here {len(told)}: {shown}, add: -S dataset.labels=names."
        )
    return ""


def label_in_name(path: str) -> str:
    """What stands in a file's name before its number: `cat.12.jpg`, `cat_12.jpg`, `cat (12).jpg`.

    Empty where there is none.
    """
    found = re.fullmatch(r"(.*?)[\W_]*\d+\)?", PurePosixPath(path).stem)
    return found[1] if found else ""


def without(classes: Iterable[str], first: str = "Add images") -> str:
    """How to use these classes alone; which, where they fit into a line.

    Args:
        classes: Whose images suffice.
        first: What else would help.
    """
    names = ",".join(_quoted(name) for name in sorted(classes))
    some = f"[{names}]" if 0 < len(names) <= 80 and "," in names else "[...]"
    setting = shlex.quote(f"dataset.classes={some}")
    return f"{first}, or name the classes to use: -S {setting}."


def _quoted(name: str) -> str:
    """A name as Hydra and YAML read it in a list."""
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in WORDS
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return name if plain else f'"{escaped}"'
