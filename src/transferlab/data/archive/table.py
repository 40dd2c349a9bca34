"""A table of images, CSV or Parquet -> a zip of the images and of what the table says."""

import csv
import io
import math
import os
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...pipeline import files
from . import pack
from .digests import file_digests

TABLE = "transferlab-table.csv"
"""What the table is called inside the zip."""

ENDINGS = (".csv", ".tsv", ".parquet")

USUAL = {
    "path": ("path", "file", "filename", "file_name", "filepath", "image", "image_path"),
    "label": ("label", "class", "category", "target", "species"),
    "split": ("split", "part", "subset", "set"),
    "group": ("group", "group_id", "patient", "patient_id", "subject", "burst", "camera"),
}
"""What columns are called where they are `auto`, in any case."""

WRITTEN = ("path", "label", "split", "group")

AUTO = dict.fromkeys(WRITTEN, "auto")

UNSAID = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
"""Endings that tables of ids leave out."""

Columns = Mapping[str, str | None]
"""What each of `WRITTEN` is called: `auto`, or None where there is none."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """What a table says of one image."""

    file: Path
    label: str
    split: str
    group: str


def is_table(path: Path) -> bool:
    """Whether a path is called like a table."""
    return path.suffix.lower() in ENDINGS and not path.is_dir()


def read_table(path: Path, columns: Columns | None, folder: str | None) -> dict[str, Line]:
    """The lines of a table by what its images are called in the archive.

    Args:
        path: Of the table.
        columns: What its columns are called; None: by the usual names.
        folder: That its paths count from, relative to the table's own; None: that one.

    Raises:
        ValueError: It cannot be read, lacks a column, or names files twice or that are not there.
    """
    rows = [row for row in _rows(path) if any(map(str.strip, row.values()))]
    names = _columns(path, list(rows[0]) if rows else [], columns or AUTO)
    root = path.absolute().parent / (folder or "")
    lines: dict[str, Line] = {}
    missing, twice, empty, broken = [], [], [], []
    for row in rows:
        value = {kind: row[name].strip() for kind, name in names.items()}
        file = _file(root, value["path"])
        line = Line(
            file=file,
            label=unicodedata.normalize("NFC", value["label"]),
            split=value.get("split", ""),
            group=unicodedata.normalize("NFC", value.get("group", "")),
        )
        if not value["path"] or not value["label"]:
            empty.append(str(row))
        elif re.search(r"[\x00-\x1f\x7f]", value["label"]):
            broken.append(repr(value["label"]))
        elif not file.is_file():
            missing.append(value["path"])
        elif str(file) in lines:
            two = " (two labels)" if lines[str(file)].label != line.label else ""
            twice.append(value["path"] + two)
        lines[str(file)] = line
    _refuse(path, "a path and a label", "lines without", empty, "Complete them.")
    _refuse(path, "labels of one line", "some with line ends or tabs", broken, "Correct them.")
    advice = f"Paths count from {root}; else name their folder: -S dataset.images_folder=FOLDER."
    _refuse(path, "paths of files", "files that are not there", missing, advice)
    _refuse(path, "each file once", "files that are listed twice", twice, "Leave one line of each.")
    return _named(lines, root)


def columns_of(path: Path, columns: Columns | None) -> dict[str, str]:
    """What each column that is used is called, by what it is: path, label, split, group."""
    return _columns(path, list(_rows(path)[0]), columns or AUTO)


def table_sha256(path: Path, columns: Columns | None, folder: str | None) -> str:
    """Digest of what a table says and of the files it names."""
    lines = read_table(path, columns, folder)
    said = [[name, line.label, line.split, line.group] for name, line in sorted(lines.items())]
    listed = file_digests(path, {name: line.file for name, line in lines.items()})
    return files.content_hash([said, listed])


def pack_table(path: Path, columns: Columns | None, folder: str | None, archive: Path) -> None:
    """Pack the images of a table and what it says into a stored zip, atomically.

    Raises:
        ValueError: As `read_table`, or the disk is full.
    """
    lines = read_table(path, columns, folder)
    pack.check_space(archive.parent, sum(line.file.stat().st_size for line in lines.values()))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(WRITTEN)
    writer.writerows(
        (name, line.label, line.split, line.group) for name, line in sorted(lines.items())
    )
    members: dict[str, Path | bytes] = {name: line.file for name, line in lines.items()}
    pack.write_zip(archive, {**members, TABLE: text.getvalue().encode()})


def _file(root: Path, name: str) -> Path:
    """The file of a path, which Windows writes with backslashes, a Mac with accents of their own,
    and a table of ids without its ending.
    """
    slashed = name.replace("\\", "/")
    spelled = [name, slashed, *(unicodedata.normalize(form, slashed) for form in ("NFC", "NFD"))]
    files = [Path(os.path.normpath(root / each)) for each in spelled]
    if found := [file for file in files if file.is_file()]:
        return found[0]
    endings = [*UNSAID, *map(str.upper, UNSAID)]
    ended = [file for end in endings if (file := Path(f"{files[0]}{end}")).is_file()]
    return ended[0] if len(ended) == 1 else files[0]


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        rows = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"dataset.path: {path}: expected a table, got {error}.") from error
    if not rows:
        raise ValueError(
            f"dataset.path: {path}: expected a line for each image, got none. Add them."
        )
    return rows


def _csv(path: Path) -> list[dict[str, str]]:
    text = _text(path)
    head = re.split(r"[\r\n]", text, maxsplit=1)[0]
    separator = max(",;\t", key=head.count)
    if said := re.match(r"sep=(.)\r?\n", text):  # Excel's own line about the others
        separator, text = said[1], text[said.end() :]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    _refuse_twice(reader.fieldnames or ())
    rows = []
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"line {reader.line_num} with another number of cells than the first")
        rows.append(row)
    return rows


def _refuse_twice(columns: Sequence[str]) -> None:
    called = Counter(name for name in columns if name)
    if twice := [name for name, count in called.items() if count > 1]:
        raise ValueError(f"several columns called {twice[0]!r}: rename all but one")


def _text(path: Path) -> str:
    """The text of a CSV in UTF-8, or in UTF-16 where its first bytes say so, as Excel's does."""
    content = path.read_bytes()
    utf_16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"a byte {error.start} that is not UTF-8: save it as CSV in UTF-8, as Excel calls it"
        ) from error


def _parquet(path: Path) -> list[dict[str, str]]:
    from pyarrow import ArrowException, parquet, types

    try:
        found = parquet.ParquetFile(path).read()
    except ArrowException as error:
        raise ValueError(str(error).splitlines()[0]) from error
    _refuse_twice(found.column_names)
    words = []
    for field in found.schema:
        if not (types.is_nested(field.type) or "binary" in str(field.type)):
            words.append(field.name)
        elif field.name.lower() in (*USUAL["path"], *USUAL["label"]):
            raise ValueError(
                f"{field.type} in the column {field.name!r}: write images into files, and their "
                "paths into the table"
            )
    return [
        {name: _cell(value) for name, value in row.items()}
        for row in found.select(words).to_pylist()
    ]


def _cell(value: object) -> str:
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if missing else str(value)


def _columns(path: Path, found: Sequence[str], asked: Columns) -> dict[str, str]:
    """The name of each column that there is."""
    names: dict[str, str] = {}
    for kind in WRITTEN:
        name = asked[kind]
        if name == "auto":
            fitting = [column for column in found if column.strip().lower() in USUAL[kind]]
            if len(fitting) > 1:
                raise ValueError(
                    f"dataset.columns.{kind}: expected one column of {path}, found "
                    f"{', '.join(fitting)}. Name one of them{_or_none(kind)}."
                )
            name = fitting[0] if fitting else None
        elif name is not None and name not in found:
            raise ValueError(
                f"dataset.columns.{kind}: expected a column of {path}, got {name!r}. Columns: "
                f"{', '.join(found)}."
            )
        if name is None and kind in ("path", "label"):
            raise ValueError(
                f"dataset.columns.{kind}: expected a column of {path}, found none called "
                f"{', '.join(USUAL[kind])}. {_naming(kind, found, list(names.values()))}"
            )
        if name is not None:
            names[kind] = name
    return names


def _naming(kind: str, found: Sequence[str], used: Sequence[str]) -> str:
    """How to name a column, of which the first line has none that is known."""
    listed = ", ".join(found)
    if any(name.lower().endswith(UNSAID) for name in found):
        return f"The first line looks like an image's: {listed}. Write one above: path,label."
    free = next((name for name in found if name not in used), found[0])
    setting = f"-S dataset.columns.{kind}={shlex.quote(free)}"
    return f"Name it, as in {setting}; the first line has the columns: {listed}."


def _or_none(kind: str) -> str:
    return ", or null" if kind in ("split", "group") else ""


def _refuse(path: Path, expected: str, what: str, found: Sequence[str], advice: str) -> None:
    if found:
        more = f" and {len(found) - 10} more" if len(found) > 10 else ""
        listed = f"{', '.join(found[:10])}{more}"
        raise ValueError(
            f"dataset.path: {path}: expected {expected}, got {what}: {len(found)}: {listed}. "
            f"{advice}"
        )


def _named(lines: Mapping[str, Line], root: Path) -> dict[str, Line]:
    """By paths below the one folder that holds all images."""
    inside = all(Path(name).is_relative_to(root) for name in lines)
    top = root if inside else Path(os.path.commonpath([str(Path(name).parent) for name in lines]))
    named = {Path(name).relative_to(top).as_posix(): line for name, line in lines.items()}
    folded = Counter(name.casefold() for name in [*named, TABLE])
    alike = [name for name in named if folded[name.casefold()] > 1]
    _refuse(root, "different names", "some that differ in case alone", alike, "Rename one of each.")
    return named
