"""What a folder, archive or table of images holds, found without decoding or writing anything."""

import tarfile
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.archive import pack, table, tar
from ..data.archive.others import WORKBOOKS, refusal
from ..data.ingest.entries import checked_members, opened_zip
from ..data.ingest.inside import unread
from ..data.ingest.layout import Entry, Layout, Members, arrange, arrange_table, outside
from ..data.ingest.pixels import layout_of
from ..params.dataset import Dataset
from ..params.record import plain
from ..pipeline import heartbeat

KINDS = ("folder", "zip", "tar", "table")


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a data set holds, as far as names tell."""

    kind: str  # one of KINDS
    parts: Mapping[str, str]  # train, validation, test -> folder
    drawn: bool  # whether the test images are still to be drawn
    counts: Mapping[str, Mapping[str, int]]  # class -> train, validation, test -> files
    entries: Sequence[Entry]  # all of that, sorted
    groups: int  # that the user gave
    columns: Mapping[str, str]  # of a table: what each is -> what it is called
    megabytes: float
    ignored: Counter[str]  # kind of file that is left out -> files
    outside: Counter[str]  # folder at the top -> images in it that are in no class folder
    unread: Sequence[str]  # tables and archives among the images
    problem: str | None  # why it cannot be used as it is, and the setting that fits


def look_at(path: Path, dataset: Dataset) -> Found:
    """Look at a data set: what preprocessing would make of it, or the one problem that stops it.

    Args:
        path: Of a folder, a zip, tar or tar.gz, or a CSV or Parquet table.
        dataset: How it would be read, with `path` as messages shall say it.
    """
    kind = "nothing"
    try:
        kind = _kind(path)
        columns = table.columns_of(path, plain(dataset.columns)) if kind == "table" else {}
        return _found(kind, _layout(kind, path, dataset), columns)
    except ValueError as error:
        return Found(
            kind=kind,
            parts={},
            drawn=False,
            counts={},
            entries=(),
            groups=0,
            columns={},
            megabytes=0.0,
            ignored=Counter(),
            outside=Counter(),
            unread=(),
            problem=str(error),
        )


def _kind(path: Path) -> str:
    if path.is_dir():
        return "folder"
    if table.is_table(path):
        return "table"
    if path.is_file() and zipfile.is_zipfile(path) and path.suffix.lower() not in WORKBOOKS:
        return "zip"
    if path.is_file() and tar.is_tar(path):
        return "tar"
    raise ValueError(refusal(path))


def _layout(kind: str, path: Path, dataset: Dataset) -> Layout:
    where = dataset.path or dataset.url or str(path)
    if kind == "zip":
        with opened_zip(path, pack.REPAIR) as opened:
            return layout_of(opened, dataset, where)
    if kind == "table":
        lines = table.read_table(path, plain(dataset.columns), dataset.images_folder)
        sizes = [(name, line.file.stat().st_size) for name, line in lines.items()]
        said = [
            {"path": name, "label": line.label, "split": line.split, "group": line.group}
            for name, line in lines.items()
        ]
        return arrange_table(_members(sizes, where, dataset), said, dataset, where)
    sizes = _of_folder(path) if kind == "folder" else list(_of_tar(path, dataset))
    return arrange(_members(sizes, where, dataset), dataset, where)


def _of_folder(path: Path) -> list[tuple[str, int]]:
    found = pack.walk(path)
    return [
        (name, 0 if name.endswith("/") else file.stat().st_size) for name, file in found.items()
    ]


def _of_tar(path: Path, dataset: Dataset) -> Iterator[tuple[str, int]]:
    total = 0
    try:
        with tarfile.open(path) as opened:
            for count, member in enumerate(heartbeat.each(opened, "files of the tar"), 1):
                total += member.size
                tar.require_plain(path, member, count, total, dataset)
                name = member.name.removeprefix("./").strip("/")
                yield f"{name}/" if member.isdir() else name, member.size
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ValueError(f"{path}: expected a whole tar, got {error}. Pack it anew.") from error


def _members(sizes: Sequence[tuple[str, int]], where: str, dataset: Dataset) -> Members:
    """What the zip will hold that is made of these files."""
    return checked_members(
        ((_stored(name, size), unicodedata.normalize("NFC", name)) for name, size in sizes),
        where,
        dataset,
    )


def _stored(name: str, size: int) -> zipfile.ZipInfo:
    info = pack.entry_of(name)
    info.file_size = info.compress_size = size
    return info


def _found(kind: str, layout: Layout, columns: Mapping[str, str]) -> Found:
    return Found(
        kind=kind,
        parts=layout.parts,
        drawn=layout.drawn,
        counts=counted(layout.entries, layout.classes),
        entries=layout.entries,
        columns=columns,
        groups=len({entry.group for entry in layout.entries if entry.group}),
        megabytes=sum(entry.info.file_size for entry in layout.entries) / pack.MB,
        ignored=Counter(skipped.kind for skipped in layout.skipped),
        outside=outside(layout.skipped),
        unread=unread([*(item.id for item in layout.skipped), *(e.id for e in layout.entries)]),
        problem=None,
    )


def counted(entries: Sequence[Entry], classes: Sequence[str]) -> dict[str, Counter[str]]:
    """How many files of each class and part there are."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in classes}
    for entry in entries:
        counts[entry.label]["validation" if entry.validation else entry.split] += 1
    return counts
