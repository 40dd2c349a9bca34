"""Hashes, atomic writes, JSON and CSV in and out.

Standard library only, because every stage and the composition check import it.
"""

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from . import disk, parent, parts
from .places import lies_in_cache


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
    """Bring a file's bytes to the disk, and let others read it."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.chmod(0o644)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are refused, since JSON has neither."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows of dicts as CSV, atomically; None becomes an empty cell."""
    with atomic(path) as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a CSV as rows of text."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
