"""The names of the classes in every part -> the one list of classes, or what is wrong with them."""

import re
from collections.abc import Iterable, Mapping, Sequence

from ...params.dataset import Dataset
from ..archive.pack import clutter
from .advice import fitting, without
from .parts import FOLDERS, NAMES, few

_NUMBERED = re.compile(r"(fold|split|batch|set|part|year|day|run)?[\W_]*[0-9]+", re.IGNORECASE)
"""Names of folders that count something."""


def classes_of(
    folders: Mapping[str, set[str]], dataset: Dataset, where: str, paths: Sequence[str]
) -> tuple[str, ...]:
    """The one list of classes that everything behind uses.

    Args:
        folders: The names of the classes in each part.
        dataset: Says which to use.
        where: What messages begin with.
        paths: All of the archive, for a message.

    Raises:
        ValueError: There are fewer than two, parts differ in theirs, or two have about one name.
    """
    own = folders.get("validation", set()) if dataset.validation == "join" else set()
    if dataset.validation != "use":
        folders = {part: found for part, found in folders.items() if part != "validation"}
        folders["train"] = folders["train"] | own
    if not all(folders.values()):
        raise ValueError(_wrong_layout(where, dataset, paths, folders))
    if dataset.classes is not None:
        for part, found in folders.items():
            if missing := [name for name in dataset.classes if name not in found]:
                raise ValueError(
                    f"{where}: expected the classes {list(dataset.classes)} of dataset.classes "
                    f"in {part}, found {few(found)}. Missing: {few(missing)}. Add them, or correct "
                    "dataset.classes."
                )
        return dataset.classes
    train = folders["train"]
    if any(found != train for found in folders.values()):
        listed = " and ".join(f"{few(found)} in {part}" for part, found in folders.items())
        add = "Add what is missing"
        if "validation" in folders:
            add += ", join validation to training with -S dataset.validation=join"
        raise ValueError(
            f"{where}: expected the same classes in {few(folders)}, found {listed}. "
            f"{without(set.intersection(*folders.values()), add)}"
        )
    if len(train) < 2:
        add = "Add a folder per class." if paths else "Add images of another class."
        raise ValueError(
            f"{where}: expected at least 2 classes, found 1 ({few(train)}). "
            f"{fitting(paths, dataset) or add}"
        )
    _refuse_alike(train, where)
    return tuple(sorted(train))


def refuse_levels_above(ids: Iterable[str], where: str) -> None:
    """Refuse folds and years with the same folders in each, which then are the classes.

    Args:
        ids: Paths of the images, from the folder of their class on.
        where: What messages begin with.

    Raises:
        ValueError: They are.
    """
    inside: dict[str, set[str]] = {}
    for id in ids:
        label, *below = id.split("/")[:-1]
        inside.setdefault(label, set()).update(below[:1])
    common = {name for name in set.intersection(*inside.values()) if name.lower() not in NAMES}
    if (
        len(common) > 1
        and all(map(_NUMBERED.fullmatch, inside))
        and not all(map(_NUMBERED.fullmatch, common))
    ):
        raise ValueError(
            f"{where}: expected classes, got {few(inside)} with the same folders in each: "
            f"{few(common)}. If those are the classes, move them to the top, or give a table; if "
            "they are not: -S dataset.train_folder=null."
        )


def _refuse_alike(classes: set[str], where: str) -> None:
    """Refuse names that differ in their case, in spaces around them or in zeros of a number alone,
    and those that are nothing but spaces.
    """
    seen: dict[str, str] = {}
    for name in sorted(classes):
        key = re.sub(r"^0*(\d+)(\.0+)?$", r"\1", name.strip().casefold())
        if key in seen:
            raise ValueError(
                f"{where}: expected classes of different names, got {seen[key]!r} and {name!r}, "
                "which differ in case, spaces or zeros alone. Give both one name, or names that "
                "differ."
            )
        if not key:
            raise ValueError(f"{where}: expected classes with names, got {name!r}. Rename it.")
        seen[key] = name


def _wrong_layout(
    where: str, dataset: Dataset, paths: Sequence[str], folders: Mapping[str, set[str]]
) -> str:
    below_top = {path.rsplit("/", 1)[0] for path in paths if "/" in path and not clutter(path)}
    tops = {path.partition("/")[0] for path in paths if "/" in path}
    top_files = sum("/" not in path and path not in tops for path in paths)
    hidden = {path.partition("/")[0] for path in paths if "/" in path and clutter(path)}
    image = "<class>.<number>.jpg" if dataset.labels == "names" else "<class>/<image>.jpg"
    named = [
        name for name in (getattr(dataset, key) for key in FOLDERS) if name not in (None, "auto")
    ]
    expected = [f"{name}/{image}" for name in named] or [image]
    if named:
        advice = (
            "Set dataset.train_folder and dataset.test_folder to the names in your archive or, "
            "with class folders at the top, dataset.train_folder to null."
        )
    else:
        advice = fitting(paths, dataset) or (
            "Put the images of every class into a folder of its own, named like the class."
        )
    tree = "".join(f"\n  {line}" for line in expected)
    found = f"found the folders: {few(below_top) or 'none'}; files at the top: {top_files}"
    found += f"; left out by their names: {few(hidden)}" if hidden else ""
    return f"{where}: expected{tree}\n{found}. {advice}"
