"""A short look into the images of a data set: the same ones twice, and some of every class."""

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..data.archive import pack, table
from ..data.images import Pixels
from ..data.ingest.checks import refuse_duplicates, refuse_two_labels, unusable
from ..data.ingest.contrast import contrast_of
from ..data.ingest.decode import decoded, in_eight_bits, opened, resized, values_of
from ..data.ingest.entries import opened_zip, read_entry
from ..data.ingest.layout import Entry, Skipped
from ..data.ingest.sheet import CLASSES, SIDE, Row, spread, write_sheet
from ..params.dataset import Dataset
from ..params.record import plain
from ..pipeline import heartbeat
from ..pipeline.terminal import printable
from .look import Found, counted

READ = 500_000_000
"""Bytes that are looked at, and of files of one size that are compared: seconds. What is more is
left to the pipeline.
"""

Read = Callable[[Entry], bytes]


@dataclass(frozen=True, kw_only=True)
class Twice:
    """Files with the same bytes."""

    files: int  # that another one equals
    complete: bool  # whether all were compared


def usable(read: Read, found: Found, dataset: Dataset) -> tuple[Found, list[Skipped]]:
    """The data set without files that are no images, told by their first bytes.

    Args:
        read: Of `reader`.
        found: What names tell.
        dataset: How images are read.

    Returns:
        What is left of it, and those that are left out or, with `bad`, cannot be used. Beyond
        `READ` bytes in all, files are taken for what they are called.
    """
    kept, skipped, left = [], [], READ
    for entry in heartbeat.each(found.entries, "files looked at", len(found.entries)):
        left -= entry.info.file_size
        problem = _problem(entry, read(entry), dataset) if left >= 0 else None
        if problem is not None:
            skipped.append(replace(problem, place=(entry.split, entry.label)))
        if problem is None or problem.bad:
            kept.append(entry)
    ignored = found.ignored + Counter(item.kind for item in skipped if not item.bad)
    counts = counted(kept, list(found.counts))
    return replace(found, entries=kept, counts=counts, ignored=ignored), skipped


def _problem(entry: Entry, content: bytes, dataset: Dataset) -> Skipped | None:
    try:
        opened(io.BytesIO(content), dataset.max_megapixels)
    except ValueError as error:
        return unusable(entry.id, content, error)
    return None


@contextmanager
def reader(path: Path, found: Found, dataset: Dataset) -> Iterator[Read | None]:
    """How the bytes of an entry are read; None of a tar, where each would cost all before it."""
    if found.kind == "tar":
        yield None
    elif found.kind == "zip":
        with opened_zip(path, pack.REPAIR) as opened:
            yield lambda entry: read_entry(opened, entry.info)
    elif found.kind == "table":
        lines = table.read_table(path, plain(dataset.columns), dataset.images_folder)
        yield lambda entry: lines[entry.info.orig_filename].file.read_bytes()
    else:
        # not as it is spelled everywhere else: a Mac's accents are signs of their own
        yield lambda entry: (path / entry.info.orig_filename).read_bytes()


def refuse_twice(read: Read, found: Found, dataset: Dataset) -> Twice:
    """Compare files of one size, and refuse what preprocessing would.

    Raises:
        ValueError: The same bytes are in two classes, or in train and test.
    """
    alike: dict[int, list[Entry]] = defaultdict(list)
    for entry in found.entries:
        alike[entry.info.file_size].append(entry)
    rows: list[dict[str, Any]] = []
    left = READ
    for size, entries in sorted(alike.items()):
        if len(entries) > 1:
            left -= size * len(entries)
            if left < 0:
                break
            rows += [_row(entry, read(entry)) for entry in entries if size]
    if dataset.on_duplicate == "error":
        where = dataset.path or dataset.url or ""
        refuse_two_labels(rows, where)
        refuse_duplicates(rows, where, {it.id for it in found.entries if it.validation})
    return Twice(files=len(rows) - len({row["sha256"] for row in rows}), complete=left >= 0)


def _row(entry: Entry, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"id": entry.id, "split": entry.split, "label": entry.label, "sha256": digest}


def write_preview(read: Read, found: Found, dataset: Dataset, path: Path) -> list[Skipped]:
    """Draw some images of every class; those that cannot be read are returned with the reason."""
    classes = list(found.counts)
    rows, bad = [], []
    for name in classes[:CLASSES]:
        entries = [entry for entry in found.entries if entry.label == name]
        pictures = []
        for entry in _spread(entries):
            content = read(entry)
            try:
                pictures.append(_picture(content, dataset.max_megapixels))
            except ValueError as error:
                bad.append(unusable(entry.id, content, error))
        shown = printable(name)
        rows.append(Row(name=shown, what="image", count=len(entries), pictures=pictures))
    write_sheet(rows, len(classes) - len(rows), path)
    return bad


def _spread(entries: Sequence[Entry]) -> list[Entry]:
    return [entries[number] for number in spread(len(entries))]


def _picture(content: bytes, max_megapixels: int) -> Pixels:
    values = values_of(resized(decoded(io.BytesIO(content), max_megapixels), SIDE))
    return values if values.ndim == 3 else in_eight_bits(values, contrast_of([values]))
