"""The entries of an archive -> which file is of which part and class."""

import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ...params.dataset import Dataset
from ..archive.pack import clutter
from .advice import fitting, label_in_name, without
from .decode import named_like_image
from .parts import NAMES, few, parts_of, tops_of

Members = Sequence[tuple[str, zipfile.ZipInfo]]
"""Clean posix path and entry of everything inside an archive."""

OUTSIDE = 0.05
"""The largest share of images outside the class folders that may be stray ones."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file of the data set."""

    id: str  # posix path below the archive's top folder
    split: str
    label: str
    info: zipfile.ZipInfo
    validation: bool = False  # one of the training images that every seed validates on
    group: str = ""  # what the user says belongs together


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A file that is no image of the data set."""

    id: str
    reason: str
    kind: str  # what it is counted as
    bad: bool = False  # an image, by its name, that cannot be used
    place: tuple[str, str] = ("", "")  # split and class


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What an archive holds."""

    entries: Sequence[Entry]  # sorted by id
    skipped: Sequence[Skipped]
    classes: tuple[str, ...]  # in their final order
    parts: Mapping[str, str]  # part -> folder
    drawn: bool  # whether the test images are still to be drawn among the training images


def arrange(members: Members, dataset: Dataset, where: str) -> Layout:
    """Give every file its part and class, or the reason why it has none.

    Args:
        members: Of the archive.
        dataset: Says what tells parts and classes.
        where: What messages begin with.

    Raises:
        ValueError: It does not say which image is of which class.
    """
    below = _below_top(members, dataset)
    images = _images(path for path, info in below if not info.is_dir() and not clutter(path))
    bases = parts_of(images, dataset, where)
    folders: dict[str, set[str]] = {part: set() for part in bases}
    entries, skipped = [], []
    for path, info in below:
        if kind := clutter(path):
            reason = f"ignored: {kind}"
            skipped += [] if info.is_dir() else [Skipped(id=path, reason=reason, kind=kind)]
            continue
        part, label = _place(path, bases, info.is_dir(), dataset)
        if label:
            folders[part].add(label)
        if info.is_dir():
            continue
        if label:
            entries.append(_entry(path, part, label, info, dataset))
        else:
            reason = "ignored: outside the class folders"
            skipped.append(Skipped(id=path, reason=reason, kind="outside the class folders"))
    classes = _classes(folders, dataset, where, [path for path, _ in members])
    _refuse_outside(skipped, len(entries), dataset, where)
    return _laid_out(entries, skipped, classes, bases, dataset=dataset, where=where)


def _laid_out(
    entries: Sequence[Entry],
    skipped: Sequence[Skipped],
    classes: tuple[str, ...],
    parts: Mapping[str, str],
    *,
    dataset: Dataset,
    where: str,
) -> Layout:
    """The layout without what the settings leave out."""
    used, left_out = [], list(skipped)
    for entry in sorted(entries, key=lambda entry: entry.id):
        if entry.label not in classes:
            reason = "ignored: its folder is not in dataset.classes"
            left_out.append(Skipped(id=entry.id, reason=reason, kind="other class"))
        elif entry.validation and dataset.validation == "ignore":
            reason = "ignored: dataset.validation=ignore"
            left_out.append(Skipped(id=entry.id, reason=reason, kind="validation"))
        else:
            used.append(entry)
    drawn = "test" not in parts
    if drawn:
        _refuse_few(used, classes, where)
    return Layout(entries=used, skipped=left_out, classes=classes, parts=parts, drawn=drawn)


def arrange_table(
    members: Members, lines: Sequence[Mapping[str, str]], dataset: Dataset, where: str
) -> Layout:
    """Give every file the part, class and group that a table says.

    Args:
        members: Of the archive.
        lines: Of the table: path, label, split, group.
        dataset: Says which classes to use, and what becomes of validation images.
        where: What messages begin with.

    Raises:
        ValueError: A split that is none, or a group on both sides of one.
    """
    parts = _parts_told({line["split"] for line in lines}, dataset, where)
    folders: dict[str, set[str]] = {part: set() for part in parts.values()}
    infos, entries = dict(members), []
    for line in lines:
        part, label = parts[line["split"]], line["label"]
        folders[part].add(label)
        info = infos[unicodedata.normalize("NFC", line["path"])]
        entry = _entry(info.filename, part, label, info, dataset)
        entries.append(replace(entry, group=line["group"]))
    _refuse_straddling(entries, where)
    classes = _classes(folders, dataset, where, [])
    return _laid_out(
        entries, [], classes, {part: part for part in folders}, dataset=dataset, where=where
    )


def _parts_told(told: set[str], dataset: Dataset, where: str) -> dict[str, str]:
    """The part that each word of a table means."""
    parts = {word: NAMES.get(word.lower(), "") for word in told}
    if told == {""} or (len(set(parts.values())) == 1 and "" not in parts.values()):
        return dict.fromkeys(told, "train")
    if unknown := sorted(word for word, part in parts.items() if not part):
        raise ValueError(
            f"{where}: expected train, val or test as splits, got {few(map(repr, unknown))}. "
            "Correct them, or leave the column out: -S dataset.columns.split=null."
        )
    if "train" not in parts.values():
        raise ValueError(f"{where}: expected a split called train, found {few(told)}.")
    if "test" not in parts.values():  # as with folders: then validation is the test
        parts = {word: part.replace("validation", "test") for word, part in parts.items()}
    return parts


def _refuse_straddling(entries: Sequence[Entry], where: str) -> None:
    sides: dict[str, set[tuple[str, bool]]] = {}
    for entry in entries:
        if entry.group:
            sides.setdefault(entry.group, set()).add((entry.split, entry.validation))
    straddling = [group for group, found in sides.items() if len(found) > 1]
    if straddling:
        raise ValueError(
            f"{where}: groups that are in more than one split: {few(straddling)}. "
            "Results would be too good: give each group one split, or leave the column out: -S "
            "dataset.columns.split=null."
        )


def _images(paths: Iterable[str]) -> list[str]:
    """Those that are called like images; all, where none is."""
    listed = list(paths)
    return [path for path in listed if named_like_image(path)] or listed


def _below_top(members: Members, dataset: Dataset) -> Members:
    """The members with the folders above parts and classes taken off."""
    named = {
        name.strip("/").split("/")[0]
        for name in (dataset.train_folder, dataset.validation_folder, dataset.test_folder)
        if name not in (None, "auto")
    }
    while True:
        inside = [path for path, _ in members if "/" in path and not clutter(path)]
        tops = tops_of(inside)
        # top/class/file; a lone class/file is no wrapping
        wrapped = len(tops) == 1 and any(path.count("/") > 1 for path in inside)
        if not wrapped or tops[0] in named or _holds_images(inside, tops[0]):
            return members
        top = f"{tops[0]}/"
        members = [(path.removeprefix(top), info) for path, info in members if path != tops[0]]


def _holds_images(paths: Sequence[str], folder: str) -> bool:
    """Whether images lie in a folder itself, which then is a class and wraps none."""
    return any(path.rpartition("/")[0] == folder and named_like_image(path) for path in paths)


def _place(
    path: str, bases: Mapping[str, str], is_folder: bool, dataset: Dataset
) -> tuple[str, str]:
    """Part and class of a path; two empty texts outside the class folders."""
    for part, base in bases.items():
        prefix = f"{base}/" if base else ""
        if not path.startswith(prefix):
            continue
        if dataset.labels == "names":
            named = not is_folder and named_like_image(path)
            return (part, label_in_name(path)) if named else ("", "")
        label, slash, _ = path.removeprefix(prefix).partition("/")
        if slash or is_folder:
            return part, label
    return "", ""


def _entry(path: str, part: str, label: str, info: zipfile.ZipInfo, dataset: Dataset) -> Entry:
    aside = part == "validation" and dataset.validation != "join"
    split = "train" if part == "validation" else part
    return Entry(id=path, split=split, label=label, info=info, validation=aside)


def _classes(
    folders: Mapping[str, set[str]], dataset: Dataset, where: str, paths: Sequence[str]
) -> tuple[str, ...]:
    """The one list of classes that everything behind uses."""
    if not all(folders.values()):
        raise ValueError(_wrong_layout(where, dataset, paths, folders))
    if dataset.classes is not None:
        for part, found in folders.items():
            missing = [name for name in dataset.classes if name not in found]
            if missing and part != "validation":
                raise ValueError(
                    f"{where}: expected the classes {list(dataset.classes)} of dataset.classes "
                    f"in {part}, "
                    f"found {few(found)}. Missing: {few(missing)}."
                )
        return dataset.classes
    train, test = folders["train"], folders.get("test", folders["train"])
    if train != test or folders.get("validation", train) - train:
        listed = " and ".join(f"{few(found)} in {part}" for part, found in folders.items())
        raise ValueError(
            f"{where}: expected the same classes in {' and '.join(folders)}, found {listed}. "
            f"{without(set.intersection(*folders.values()), 'Add what is missing')}"
        )
    if len(train) < 2:
        raise ValueError(
            f"{where}: need at least 2 classes, found 1 ({few(train)}). "
            f"{fitting(paths, dataset) or 'Add a folder per class.'}"
        )
    refuse_alike(train, where)
    return tuple(sorted(train))


def refuse_alike(classes: set[str], where: str) -> None:
    """Refuse names that differ in their case or in spaces around them alone."""
    seen: dict[str, str] = {}
    for name in sorted(classes):
        key = name.strip().casefold()
        if key in seen:
            raise ValueError(
                f"{where}: the classes {seen[key]!r} and {name!r} differ in case or spaces "
                "alone. Give both one name, or names that differ."
            )
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
        name
        for name in (dataset.train_folder, dataset.validation_folder, dataset.test_folder)
        if name not in (None, "auto")
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


def _refuse_outside(skipped: Sequence[Skipped], used: int, dataset: Dataset, where: str) -> None:
    """Refuse to leave out more than stray images, unless the user named the parts to use."""
    outside = [s.id for s in skipped if s.kind.startswith("outside") and named_like_image(s.id)]
    if dataset.train_folder not in (None, "auto") or len(outside) <= OUTSIDE * used:
        return
    places = Counter(path.rpartition("/")[0] or "the top" for path in outside)
    listed = ", ".join(f"{place} ({count})" for place, count in places.most_common(5))
    what = "without a class in their names" if dataset.labels == "names" else "in no class folder"
    raise ValueError(
        f"{where}: of {len(outside) + used} images these are {what}: {listed}. Move "
        "them into class folders, or out of the data set."
    )


def _refuse_few(entries: Sequence[Entry], classes: Sequence[str], where: str) -> None:
    """Refuse classes of which no test image can be held out."""
    counts = Counter(entry.label for entry in entries if not entry.validation)
    for name in classes:
        if counts[name] < 3:
            raise ValueError(
                f"{where}: expected at least 3 files of class {name!r} (2 to train, 1 to test), "
                f"got {counts[name]}. "
                f"{without([name for name in classes if counts[name] >= 3])}"
            )
