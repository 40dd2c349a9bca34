"""The entries of an archive -> which file is of which part and class."""

import unicodedata
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...params.dataset import Dataset
from ...params.record import plain
from ..archive.pack import clutter
from .advice import label_in_name, without
from .classes import classes_of, refuse_levels_above
from .decode import named_like_image
from .inside import instead
from .parts import FOLDERS, NAMES, few, parts_of, tops_of

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


def of_kinds(kinds: Mapping[str, int]) -> str:
    """How many of each kind, such as "4 bad images, 1 GIF"."""
    return ", ".join(
        f"{count} {kind}{'s' * (count > 1 and kind == 'bad image')}"
        for kind, count in kinds.items()
    )


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
    _refuse_words_of_a_table(dataset, where)
    below = _below_top(members, dataset)
    listed = [path for path, info in below if not info.is_dir() and not clutter(path)]
    bases = parts_of(_images(listed), dataset, where, instead(listed, dataset))
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
            skipped.append(_outside(path, dataset))
    classes = classes_of(folders, dataset, where, [path for path, _ in members])
    _refuse_outside(skipped, len(entries), dataset, where)
    if bases == {"train": ""} and dataset.train_folder and dataset.labels == "folders":
        refuse_levels_above((entry.id for entry in entries), where)
    return _laid_out(entries, skipped, classes, bases, dataset=dataset, where=where)


def _outside(path: str, dataset: Dataset) -> Skipped:
    """A file in no class folder, or in a part that the settings leave out."""
    part = NAMES.get(path.partition("/")[0].lower(), "")
    if part in ("validation", "test") and getattr(dataset, f"{part}_folder") is None:
        return Skipped(id=path, reason=f"ignored: dataset.{part}_folder=null", kind=part)
    kind = "outside the class folders"
    return Skipped(id=path, reason=f"ignored: {kind}", kind=kind)


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
    _refuse_words_of_folders(dataset, where)
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
    classes = classes_of(folders, dataset, where, [])
    return _laid_out(
        entries, [], classes, {part: part for part in folders}, dataset=dataset, where=where
    )


def _refuse_words_of_folders(dataset: Dataset, where: str) -> None:
    """Refuse settings that a table overrules."""
    named = {key: getattr(dataset, key) for key in FOLDERS}
    said = {key: name for key, name in named.items() if name not in (None, "auto")}
    if dataset.labels != "folders":
        said["labels"] = dataset.labels
    for key, value in said.items():
        raise ValueError(
            f"{where}: expected parts and classes in the columns of the table, got "
            f"dataset.{key}={value}, which speaks of folders. Leave it out, or give the folder."
        )


def _refuse_words_of_a_table(dataset: Dataset, where: str) -> None:
    """Refuse settings that speak of a table where there is none."""
    columns = {f"columns.{key}": name for key, name in (plain(dataset.columns) or {}).items()}
    said = {**columns, "images_folder": dataset.images_folder}
    for key, value in said.items():
        if value not in (None, "auto"):
            raise ValueError(
                f"{where}: expected a table with dataset.{key}={value}, got folders. Give the "
                "table itself, or leave the setting out."
            )


def _parts_told(told: set[str], dataset: Dataset, where: str) -> dict[str, str]:
    """The part that each word of a table means."""
    parts = {word: NAMES.get(word.lower(), "") for word in told}
    if set(parts.values()) == {"train"} or told == {""}:
        return dict.fromkeys(told, "train")
    if unknown := sorted(word for word, part in parts.items() if not part):
        raise ValueError(
            f"{where}: expected train, val or test as splits, got {few(map(repr, unknown))}. "
            "Correct them, or leave the column out: -S dataset.columns.split=null."
        )
    if "train" not in parts.values():
        raise ValueError(
            f"{where}: expected a split called train, found {few(told)}. Name one so, or leave the "
            "column out: -S dataset.columns.split=null."
        )
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
            f"{where}: expected each group in one split, got in more than one: {few(straddling)}. "
            "Results would be too good: give each group one split, or leave the column out: -S "
            "dataset.columns.split=null."
        )


def _images(listed: Sequence[str]) -> Sequence[str]:
    """Those that are called like images; all, where none is."""
    return [path for path in listed if named_like_image(path)] or listed


def _below_top(members: Members, dataset: Dataset) -> Members:
    """The members with the folders above parts and classes taken off."""
    named = {
        name.strip("/").split("/")[0]
        for name in (getattr(dataset, key) for key in FOLDERS)
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


def outside(skipped: Sequence[Skipped]) -> Counter[str]:
    """Images that are in no class folder, by the folder at the top that they lie in."""
    paths = [s.id for s in skipped if s.kind.startswith("outside") and named_like_image(s.id)]
    return Counter(path.split("/")[0] if "/" in path else "the top" for path in paths)


def _refuse_outside(skipped: Sequence[Skipped], used: int, dataset: Dataset, where: str) -> None:
    """Refuse to leave out more than stray images, unless the user named the parts to use."""
    places = outside(skipped)
    if dataset.train_folder not in (None, "auto") or places.total() <= OUTSIDE * used:
        return
    listed = ", ".join(f"{place} ({count})" for place, count in places.most_common(5))
    what = "without a class in their names" if dataset.labels == "names" else "in no class folder"
    raise ValueError(
        f"{where}: expected images in class folders, found of {places.total() + used} some {what}: "
        f"{listed}. Move them into class folders, or out of the data set."
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
