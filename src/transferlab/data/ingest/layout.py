"""The entries of a zip -> which file is of which split and class."""

import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...params.dataset import Dataset
from ..archive.pack import clutter
from ..chance import stratified_split


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file in a class folder."""

    id: str  # posix path below the archive's top folder
    split: str
    label: str
    info: zipfile.ZipInfo


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A file that is no image of the data set."""

    id: str
    reason: str
    kind: str  # what it is counted as
    bad: bool = False  # an image, by its name, that cannot be used
    place: tuple[str, str] = ("", "")  # split and class


def _below_top(
    members: list[tuple[str, zipfile.ZipInfo]], dataset: Dataset
) -> list[tuple[str, zipfile.ZipInfo]]:
    """The members with one common top folder taken off, where there is one."""
    inside = [path for path, _ in members if "/" in path and not clutter(path)]
    tops = {path.split("/")[0] for path in inside}
    if dataset.train_folder is not None and dataset.test_folder is not None:
        wrapped = not tops & {dataset.train_folder.split("/")[0], dataset.test_folder.split("/")[0]}
    else:  # top/class/file; a lone class/file is no wrapping
        wrapped = any(path.count("/") > 1 for path in inside)
    if len(tops) != 1 or not wrapped:
        return members
    top = f"{tops.pop()}/"
    return [(path.removeprefix(top), info) for path, info in members if path != top.rstrip("/")]


def arrange(
    members: list[tuple[str, zipfile.ZipInfo]], archive: Path, dataset: Dataset
) -> tuple[list[Entry], list[Skipped], tuple[str, ...]]:
    """Give every file its split and class, or the reason why it has none.

    Returns:
        Entries sorted by id, skipped files, and the classes in their final order.
    """
    bases = {"train": ""}
    if dataset.train_folder and dataset.test_folder:
        bases = {"train": dataset.train_folder.strip("/"), "test": dataset.test_folder.strip("/")}
    folders: dict[str, set[str]] = {split: set() for split in bases}
    entries, skipped = [], []
    for path, info in _below_top(members, dataset):
        split, label = _place(path, bases, info.is_dir())
        if kind := clutter(path):
            skipped += (
                [] if info.is_dir() else [Skipped(id=path, reason=f"ignored: {kind}", kind=kind)]
            )
        elif label:
            folders[split].add(label)
            entries += (
                [] if info.is_dir() else [Entry(id=path, split=split, label=label, info=info)]
            )
        elif not info.is_dir():
            skipped.append(
                Skipped(id=path, reason="ignored: outside the class folders", kind="outside")
            )
    classes = _classes(folders, archive, dataset, [path for path, _ in members])
    reason = "ignored: its folder is not in dataset.classes"
    skipped += [
        Skipped(id=e.id, reason=reason, kind="other class")
        for e in entries
        if e.label not in classes
    ]
    entries = sorted(
        (entry for entry in entries if entry.label in classes), key=lambda entry: entry.id
    )
    if dataset.test_fraction is not None:
        entries = _hold_out(entries, classes, dataset.test_fraction, dataset.split_seed, archive)
    return entries, skipped, classes


def _place(path: str, bases: Mapping[str, str], is_folder: bool) -> tuple[str, str]:
    """Split and class of a path; two empty texts outside the class folders."""
    for split, base in bases.items():
        prefix = f"{base}/" if base else ""
        if path.startswith(prefix):
            label, slash, _ = path.removeprefix(prefix).partition("/")
            if slash or is_folder:
                return split, label
    return "", ""


def _classes(
    folders: dict[str, set[str]], archive: Path, dataset: Dataset, paths: list[str]
) -> tuple[str, ...]:
    """The one list of classes that everything behind uses."""
    if not all(folders.values()):
        raise ValueError(_wrong_layout(archive, dataset, paths))
    if dataset.classes is not None:
        for split, found in folders.items():
            if missing := [name for name in dataset.classes if name not in found]:
                raise ValueError(
                    f"{archive}: expected the classes {list(dataset.classes)} of dataset.classes "
                    f"in {split}, "
                    f"found {_few(found)}. Missing: {_few(missing)}."
                )
        return dataset.classes
    train, test = folders["train"], folders.get("test", folders["train"])
    if train != test:
        raise ValueError(
            f"{archive}: expected the same classes in train and test, found {_few(train)} in "
            f"train and {_few(test)} "
            "in test. Add what is missing, or name the classes to use in dataset.classes."
        )
    if len(train) < 2:
        raise ValueError(
            f"{archive}: need at least 2 classes, found 1 ({_few(train)}). Add a folder per class."
        )
    return tuple(sorted(train))


def _few(names: Iterable[str]) -> str:
    """Up to 20 names, sorted."""
    listed = sorted(names)
    return ", ".join(listed[:20]) + (f" and {len(listed) - 20} more" if len(listed) > 20 else "")


def _wrong_layout(archive: Path, dataset: Dataset, paths: list[str]) -> str:
    below_top = {path.rsplit("/", 1)[0] for path in paths if "/" in path and not clutter(path)}
    top_files = sum("/" not in path for path in paths)
    if dataset.train_folder:
        expected = [
            f"{dataset.train_folder}/<class>/<image>.jpg",
            f"{dataset.test_folder}/<class>/<image>.jpg",
        ]
        advice = (
            "Set dataset.train_folder and dataset.test_folder to the names in your archive or, "
            "with class folders at "
            "the top, both to null and dataset.test_fraction to 0.2."
        )
    else:
        expected = ["<class>/<image>.jpg"]
        advice = "Put the images of every class into a folder of its own, named like the class."
    tree = "".join(f"\n  {line}" for line in expected)
    found = f"found the folders: {_few(below_top) or 'none'}; files at the top: {top_files}"
    return f"{archive}: expected{tree}\n{found}. {advice}"


def _hold_out(
    entries: list[Entry], classes: tuple[str, ...], fraction: float, seed: int, archive: Path
) -> list[Entry]:
    """Draw the test images among the listed files, so that an unreadable one moves no other."""
    counts = Counter(entry.label for entry in entries)
    for name in classes:
        if counts[name] < 3:
            raise ValueError(
                f"{archive}: expected at least 3 files of class {name!r} (2 to train, 1 to test), "
                f"got {counts[name]}. "
                "Add images, or name the classes to use in dataset.classes."
            )
    labels = np.array([classes.index(entry.label) for entry in entries])
    tested = set(stratified_split(labels, fraction, seed, "test")[1].tolist())
    return [
        Entry(
            id=entry.id,
            split="test" if index in tested else "train",
            label=entry.label,
            info=entry.info,
        )
        for index, entry in enumerate(entries)
    ]
