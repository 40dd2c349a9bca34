"""Tables and archives that lie among the images and are not looked into: what to give instead."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from ...params.dataset import Dataset
from ...pipeline.places import from_home
from ..archive.pack import clutter
from .parts import few, part_like

TABLES = (".csv", ".tsv", ".parquet")

PACKED = (".zip", ".tar", ".tar.gz", ".tgz")


def unread(paths: Iterable[str]) -> list[str]:
    """The tables and archives among files."""
    return [path for path in paths if path.lower().endswith((*TABLES, *PACKED))]


def instead(paths: Iterable[str], dataset: Dataset) -> str:
    """What to give, or to do, where tables or archives may hold what the folders do not say; empty
    where there are none.

    Args:
        paths: Of all files.
        dataset: Whose `path` they lie below.
    """
    files = [path for path in unread(paths) if not clutter(path)]
    tables = [path for path in files if path.lower().endswith(TABLES)]
    packed = [path for path in files if path not in tables]
    if not files:
        return ""
    folder = None if dataset.path is None else from_home(dataset.path)
    if folder is None or not folder.is_dir():
        what = "says the classes" if tables else "holds the images"
        return f"If {_one_of(tables or packed)} {what}, unpack the archive and give that file."
    if not tables:
        return _of_archives(folder, packed)
    first = f"Unpack {few(packed)} first{_unpacking(folder, packed)}. " if packed else ""
    return first + _of_tables(folder, tables)


def _of_tables(folder: Path, tables: Sequence[str]) -> str:
    if len({part_like(path) for path in tables} - {""}) > 1:
        return (
            f"If {few(tables)} say the classes, put their lines into one table with a column split "
            "(train, val, test), and give that."
        )
    return f"If {_one_of(tables)} says the classes, give it: {_init(folder, tables[0])}"


def _of_archives(folder: Path, packed: Sequence[str]) -> str:
    if len(packed) == 1:
        return f"If {packed[0]} holds the images, give it: {_init(folder, packed[0])}"
    return (
        f"If {few(packed)} hold a part or a class each, unpack every one into a folder of its "
        f"name, and give {folder} again{_unpacking(folder, packed)}. If one holds all images, give "
        f"it: {_init(folder, packed[0])}"
    )


def _one_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"one of {few(names)}"


def _init(folder: Path, name: str) -> str:
    return f"transferlab init {shlex.quote(f'{folder}/{name}')}"


def _unpacking(folder: Path, packed: Sequence[str]) -> str:
    """The command for zips beside each other; others are for their owner."""
    if not all(PurePosixPath(name).match("*.zip") and "/" not in name for name in packed):
        return ""
    each = 'for it in *.zip; do python -m zipfile -e "$it" "${it%.zip}"; done'
    return f": (cd {shlex.quote(str(folder))}; {each})"
