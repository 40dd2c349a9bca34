"""Which top folders are parts of the data set, and which are classes."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from ...params.dataset import Dataset

PARTS = ("train", "validation", "test")

FOLDERS = tuple(f"{part}_folder" for part in PARTS)
"""The keys of the data set that name them."""

NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What parts are called, in any case."""

_WORDS = "|".join(sorted(NAMES, key=len, reverse=True))

_LIKE = re.compile(rf"(?<![a-z])({_WORDS})(?=(sets?|data|images?|imgs?|photos?)?(?![a-z]))")
"""What is called like a part among other words: `seg_train`, `trainset`, `test-images`."""


def parts_of(
    images: Sequence[str], dataset: Dataset, where: str, instead: str = ""
) -> dict[str, str]:
    """The folder of each part that there is, by its name in `PARTS`.

    Args:
        images: Paths below the archive's top folder.
        dataset: Says which folders are which, or `auto`.
        where: What messages begin with.
        instead: What else to do where images of a part have no class.

    Returns:
        `{"train": ""}` where class folders stand at the top. A validation folder without a test
        folder is the test.

    Raises:
        ValueError: Folders look like parts, and it is not clear which is which.
    """
    asked = {
        "train": dataset.train_folder,
        "validation": dataset.validation_folder,
        "test": dataset.test_folder,
    }
    if asked["train"] is None:
        return {"train": ""}
    named = {part: name.strip("/") for part, name in asked.items() if name not in (None, "auto")}
    auto = {part for part, name in asked.items() if name == "auto"}
    if asked["train"] == "auto":
        found = _told_by_all(images, where)
    else:
        found = _told_by_some(images, where)
    bases = {**{part: base for part, base in found.items() if part in auto}, **named}
    if not found and not named:
        return {"train": ""}
    bases = {part: _inner(images, base) for part, base in bases.items()}
    if not named and dataset.labels == "folders":
        _refuse_flat(images, bases, where, instead)
    if asked["test"] == "auto" and "test" not in bases and "validation" in bases:
        bases["test"] = bases.pop("validation")
    return bases


def _told_by_all(images: Sequence[str], where: str) -> dict[str, str]:
    """The parts where all top folders are called like some, else none."""
    tops = tops_of(images)
    like = {top: part for top in tops if (part := part_like(top))}
    exact = {top: NAMES[top.lower()] for top in tops if top.lower() in NAMES}
    kinds = set(exact.values())
    if len(exact) == len(tops) == len(kinds) and "train" in kinds and len(kinds) > 1:
        return {kind: top for top, kind in exact.items()}
    if len(set(like.values())) > 1:
        raise ValueError(_unclear(like, tops, where))
    if len(exact) == 1 and len(tops) > 1 and not _direct(images, next(iter(exact))):
        raise ValueError(_unclear(like, tops, where))
    return {}


def _told_by_some(images: Sequence[str], where: str) -> dict[str, str]:
    """The parts among the top folders, whatever else there is, for who named the training part."""
    found: dict[str, str] = {}
    for top in tops_of(images):
        kind = NAMES.get(top.lower())
        if kind in found:
            raise ValueError(
                f"{where}: expected one {kind} folder, found {found[kind]} and {top}. Name one: "
                f"{_setting(kind, top)}, or null."
            )
        if kind:
            found[kind] = top
    return found


def part_like(name: str) -> str:
    """The part that a name speaks of, such as `seg_train` or `TestImages`; empty: none."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    found = _LIKE.search(words)
    return NAMES[found[1]] if found else ""


def tops_of(paths: Iterable[str]) -> list[str]:
    """The folders at the top, sorted."""
    return sorted({path.split("/")[0] for path in paths if "/" in path})


def _direct(images: Iterable[str], folder: str) -> list[str]:
    """Images that lie in a folder itself."""
    return [path for path in images if path.rpartition("/")[0] == folder]


def _inner(images: Iterable[str], base: str) -> str:
    """The one folder in a part's that has its name again, as packing makes it: train/train/cat."""
    inside = tops_of(
        path.removeprefix(f"{base}/") for path in images if path.startswith(f"{base}/")
    )
    repeats = [name.lower() for name in inside] == [base.rpartition("/")[2].lower()]
    return f"{base}/{inside[0]}" if repeats else base


def _refuse_flat(images: Sequence[str], bases: Mapping[str, str], where: str, instead: str) -> None:
    counts = {part: len(_direct(images, base)) for part, base in bases.items()}
    flat = [part for part in PARTS if counts.get(part)]
    if flat:
        listed = ", ".join(f"{bases[part]} ({counts[part]})" for part in flat)
        parts = [part for part in flat if part != "train"] or ["test"]
        settings = " ".join(f"-S dataset.{part}_folder=null" for part in parts)
        raise ValueError(
            f"{where}: expected class folders in every part, found images directly in {listed}. "
            f"If a part has no labels, leave it out: {settings}; if the names tell the class, as "
            "in cat.12.jpg: -S dataset.labels=names; if these folders are the classes: -S "
            f"dataset.train_folder=null. {instead}".strip()
        )


def _unclear(like: Mapping[str, str], tops: Sequence[str], where: str) -> str:
    first = {part: top for top, part in reversed(list(like.items()))}
    settings = " ".join(_setting(part, first.get(part, "...")) for part in PARTS)
    if "validation" not in first:
        settings = settings.replace(" -S dataset.validation_folder=...", "")
    return (
        f"{where}: expected parts (training, validation, test) or classes, got {few(like)}, which "
        f"look like parts, and it is not clear which is which among {few(tops)}. Say it: "
        f"{settings}; or, if all of them are classes: -S dataset.train_folder=null."
    )


def _setting(part: str, folder: str) -> str:
    """Which folder a part is, as a shell takes it."""
    return f"-S {shlex.quote(f'dataset.{part}_folder={folder}')}"


def few(names: Iterable[str]) -> str:
    """Up to 20 names, sorted."""
    listed = sorted(names)
    return ", ".join(listed[:20]) + (f" and {len(listed) - 20} more" if len(listed) > 20 else "")
