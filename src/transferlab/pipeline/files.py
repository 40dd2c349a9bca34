"""Hashes, atomic writes, JSON and CSV in and out.

Standard library only, because every stage and the composition check import it.
"""

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, TypeVar, overload

from . import disk, parent, parts
from .makers import unreadable
from .places import lies_in_cache
from .shapes import misfit, short

Shape = TypeVar("Shape")


def file_hash(path: Path, algorithm: str = "sha256") -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def content_hash(value: Any) -> str:
    """sha256 of a JSON-able value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


@contextmanager
def atomic(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path` and move it into place only when the block ends well.

    Raises:
        OSError: There is no room for it; says where and how much there is.
    """
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    with atomic_path(path) as part, part.open(mode, **text) as file:  # type: ignore[call-overload]
        yield file


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """The same for a writer that makes its file itself, by a path in a temporary folder beside
    `path`: such a writer may have temporary files of its own.

    Raises:
        OSError: There is no room for it; says where and how much there is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(
            dir=path.parent, prefix=parts.prefix(path), ignore_cleanup_errors=True
        ) as folder:
            part = Path(folder) / path.name
            yield part
            _settle(part)
            if not lies_in_cache(path):
                parent.stop_if_gone()
            part.replace(path)
    except OSError as error:
        raise disk.named(error, path) from error


def _settle(part: Path) -> None:
    """Bring a file's bytes to the disk, and let others read it as far as the umask does."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    fresh = part.with_name("mode")
    fresh.touch()
    part.chmod(fresh.stat().st_mode)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are refused, since JSON has neither."""
    write_text(path, _json(value))


def write_together(values: Mapping[Path, Any]) -> None:
    """Write several JSON files, of which none is moved into place before all are whole."""
    with ExitStack() as stack:
        for path, value in values.items():
            file = stack.enter_context(atomic(path))
            file.write(_json(value))
            file.flush()


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@overload
def read_json(path: Path) -> Any: ...
@overload
def read_json(path: Path, shape: type[Shape]) -> Shape: ...
@overload
def read_json(path: Path, shape: object) -> Any: ...
def read_json(path: Path, shape: Any = Any) -> Any:
    """Read JSON that a stage wrote.

    Args:
        path: Of the file.
        shape: What it has to hold, see `shapes.misfit`.

    Raises:
        ValueError: It is not there, is damaged, or holds something else; the text names the file
            and the stage that writes it.
    """
    try:
        value = json.loads(_text(path, "JSON"))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise unreadable(path, "JSON", f"something else in {where}") from error
    if found := misfit(value, shape):
        raise unreadable(path, *found)
    return value


def _text(path: Path, expected: str) -> str:
    """The content of a file that is there and holds something."""
    if not path.is_file():
        raise unreadable(path, "a file", "none")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise unreadable(path, f"{expected} in UTF-8", f"other bytes at {error.start}") from error
    if not text:
        raise unreadable(path, expected, "an empty file")
    return text


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows of dicts as CSV, atomically; None becomes an empty cell."""
    with atomic(path) as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path, columns: Iterable[str] = ()) -> list[dict[str, str]]:
    """Read a table that a stage wrote, as rows of text: no cell is guessed to be a number or none.

    Args:
        path: Of the file.
        columns: Those that must be there, among others perhaps.

    Raises:
        ValueError: It is not there, is damaged, or lacks a column; the text names the file and the
            stage that writes it.
    """
    rows = read_rows(path)
    header = next(rows)
    if lacking := [name for name in columns if name not in header]:
        raise unreadable(path, f"a column {lacking[0]}", _listed(header))
    return [dict(zip(header, row, strict=True)) for row in rows]


def read_rows(path: Path) -> Iterator[list[str]]:
    """The header of a table and then each of its rows, all of one length, one after the other.

    Raises:
        ValueError: See `read_csv`.
    """
    if not path.is_file():
        raise unreadable(path, "a file", "none")
    _check_end(path)
    with path.open(encoding="utf-8", newline="") as file:
        reader, header = csv.reader(file, strict=True), None
        try:
            for row in reader:
                header = header or row
                if not row or len(row) != len(header):
                    expected = f"{len(header)} cells in line {reader.line_num}"
                    raise unreadable(path, f"a table with {expected}", _listed(row))
                yield row
        except (UnicodeDecodeError, csv.Error) as error:
            where = f"other bytes after line {reader.line_num}"
            raise unreadable(path, "a table in UTF-8", where) from error


def _check_end(path: Path) -> None:
    """A table ends with a whole line: one that was cut off seldom does."""
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            raise unreadable(path, "a table", "an empty file")
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            raise unreadable(path, "a whole last line", "one that is cut off")


def _listed(cells: Sequence[str]) -> str:
    return short(", ".join(cells)) if cells else "none"
