"""A folder or archive of images -> checked listing -> decoded uint8 pixels on disk -> arrays.

Nothing is ever unpacked: files are read out of the zip one at a time and only their pixels are
kept, so a path inside an archive can at worst be a wrong name. Each file is decoded once, here;
nothing decodes an image while training.
"""

import csv
import hashlib
import io
import os
import shutil
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from ...params.dataset import Dataset
from ...pipeline import files, heartbeat
from ..archive.pack import AFRESH, REPAIR, check_space
from ..archive.table import TABLE, WRITTEN
from ..images import SPLITS, WHOLE_RANGE, Contrast, Pixels, in_order, load_images, pixels_sha256
from .checks import (
    check_counts,
    refuse_bad,
    refuse_duplicates,
    refuse_two_labels,
    unusable,
)
from .contrast import contrast_of, refuse_dark_colours
from .decode import BRIGHTEST, decoded, in_eight_bits, resized, values_of
from .entries import members_of, opened_zip, read_entry
from .hold_out import held_out
from .layout import Entry, Layout, Skipped, arrange, arrange_table, of_kinds
from .sheet import write_samples

MANIFEST = (
    "id",
    "split",
    "label",
    "width",
    "height",
    "sha256",
    "stored_width",
    "stored_height",
    "stored_sha256",
    "offset",
)

T = TypeVar("T")

DECODED = ".decoded"
"""All images, until it is known which of them are held out."""

GIVEN = ("id", "validation", "group")
"""What the user says of images beside split and class; those of which nothing is said are left out.
"""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A decoded image, where it waits until its split is known."""

    facts: dict[str, Any]  # of its manifest row
    start: int  # byte
    shape: tuple[int, ...]  # [H, W, 3] in bytes, or [H, W] of grey with 16 bits
    brightest: int | None  # see `decode.BRIGHTEST`

    @property
    def deep(self) -> bool:
        """Whether it has 16 bits, which the data set's contrast brings to 8."""
        return len(self.shape) == 2

    def values(self, path: Path) -> np.ndarray:
        """Its pixels, memory-mapped."""
        kind = np.uint16 if self.deep else np.uint8
        return np.memmap(path, dtype=kind, mode="r", offset=self.start, shape=self.shape)

    def picture(self, path: Path, contrast: Contrast) -> Pixels:
        """Its pixels in RGB."""
        values = self.values(path)
        return in_eight_bits(values, contrast) if self.deep else np.asarray(values)


def preprocess(archive: Path, dataset: Dataset, out: Path) -> None:
    """Check an archive as a whole, decode each image once, and write pixels and manifests under
    `out`.

    All or nothing: a failed attempt leaves what was there before, and files of other names are left
    alone. Memory stays bounded by a few images, however many there are.

    Raises:
        ValueError: what is wrong with the archive, its layout or its images.
    """
    where = dataset.path or dataset.url or str(archive)
    with opened_zip(archive, REPAIR if dataset.path else AFRESH) as opened:
        layout = layout_of(opened, dataset, where)
        # 3 bytes a pixel, photographs of about 4:3; once decoded and once in their split
        check_space(out, 8 * dataset.store_px**2 * len(layout.entries))
        with _all_or_nothing(out) as building:
            found = _decode(opened, layout.entries, dataset, building / DECODED)
            if dataset.on_bad_image == "error":
                refuse_bad([item for item in found if isinstance(item, Skipped)], where)
            entries = _with_splits(layout, found, dataset, building / DECODED)
            contrast = _contrast(entries, found, building / DECODED, where)
            rows = _write_splits(entries, found, contrast or WHOLE_RANGE, building)
            skipped = [*layout.skipped, *_unusable(entries, found)]
            check_counts(rows, skipped, layout.classes, where)
            if dataset.on_duplicate == "error":
                refuse_two_labels(rows, where)
                refuse_duplicates(rows, where, {it.id for it in entries if it.validation})
            _write_tables(rows, skipped, _facts(layout.classes, dataset, contrast), building)
            _write_given(entries, building)
            images = load_images(building / "train", layout.classes)
            write_samples(images, building / "samples.png")
            (building / DECODED).unlink()
    print(_summary(rows, skipped, layout, dataset) + _summary_of_grey(found, contrast))


@contextmanager
def _all_or_nothing(out: Path) -> Iterator[Path]:
    """A folder to build in, beside `out`; what is in it moves to `out` when the block ends well."""
    building = out.parent / f".{out.name}.part"
    # of a killed attempt; DVC's lock keeps a second writer away
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
        yield building
        for path in sorted(path for path in building.rglob("*") if path.is_file()):
            target = out / path.relative_to(building)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
    except OSError as error:
        raise ValueError(
            f"{out}: expected to write it, got {error.strerror or error}. Nothing was changed; "
            "free some space or check the permissions, and run again."
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _decode(
    opened: zipfile.ZipFile, entries: Sequence[Entry], dataset: Dataset, path: Path
) -> list[Kept | Skipped]:
    """Decode every file once, one after the other; where each lies, or why it is left out."""
    found: list[Kept | Skipped] = []
    threads = min(os.cpu_count() or 1, 8)  # each may hold an image of `max_megapixels`
    Image.init()  # Pillow imports its readers at first use, which threads should not do at once
    with (
        path.open("wb") as file,
        ThreadPoolExecutor(threads) as pool,  # Pillow lets go of the interpreter while it works
    ):
        contents = ((entry, read_entry(opened, entry.info), dataset) for entry in entries)
        prepared = in_order(pool, _prepare, contents, ahead=2 * threads)
        for result in heartbeat.each(_paced(prepared), "images decoded", len(entries)):
            if isinstance(result, Skipped):
                found.append(result)
                continue
            facts, values, brightest = result
            found.append(
                Kept(
                    facts=facts,
                    start=file.tell(),
                    shape=values.shape,
                    brightest=brightest,
                )
            )
            file.write(values.tobytes())
    return found


def _paced(items: Iterable[T], clock: Callable[[], float] = time.monotonic) -> Iterator[T]:
    """The same items; a line that falls due says how many come a second."""
    begun = clock()
    for done, item in enumerate(items, 1):
        yield item
        heartbeat.doing(f"{done / max(clock() - begun, 1e-3):,.0f} a second")
    heartbeat.doing("")


def _prepare(
    item: tuple[Entry, bytes, Dataset],
) -> tuple[dict[str, Any], np.ndarray, int | None] | Skipped:
    """Decode one file: what is known of it, its pixels and its brightest; or why it is left out."""
    entry, content, dataset = item
    try:
        image = decoded(io.BytesIO(content), dataset.max_megapixels)
    except ValueError as error:
        return unusable(entry.id, content, error)
    # not `decode`: full-size arrays would cost half the time
    values = values_of(resized(image, dataset.store_px))
    facts = {
        "id": entry.id,
        "label": entry.label,
        "width": image.width,
        "height": image.height,
        "sha256": hashlib.sha256(content).hexdigest(),
        "stored_width": values.shape[1],
        "stored_height": values.shape[0],
    }
    return facts, values, image.info.get(BRIGHTEST)


def _with_splits(
    layout: Layout, found: Sequence[Kept | Skipped], dataset: Dataset, path: Path
) -> list[Entry]:
    """The entries with the test images drawn, where the archive has no test part."""
    if not layout.drawn:
        return list(layout.entries)
    assert dataset.test_fraction is not None  # params: it is there where a test folder may not be
    deep = [kept for kept in found if isinstance(kept, Kept) and kept.deep]
    everything = contrast_of(kept.values(path) for kept in deep)
    drawn = [number for number, entry in enumerate(layout.entries) if not entry.validation]
    pictures = [
        kept.picture(path, everything) if isinstance(kept := found[number], Kept) else None
        for number in drawn
    ]
    tested = held_out(
        [layout.entries[number] for number in drawn],
        pictures,
        layout.classes,
        dataset.test_fraction,
        dataset.split_seed,
    )
    return [
        replace(entry, split="test" if entry.id in tested else "train") for entry in layout.entries
    ]


def _contrast(
    entries: Sequence[Entry], found: Sequence[Kept | Skipped], path: Path, where: str
) -> Contrast | None:
    """The contrast of the training images with 16 bits of grey; None where there are none."""
    pairs = [
        (entry, kept) for entry, kept in zip(entries, found, strict=True) if isinstance(kept, Kept)
    ]
    refuse_dark_colours(
        {entry.id: kept.brightest for entry, kept in pairs if kept.brightest is not None}, where
    )
    deep = [(entry, kept) for entry, kept in pairs if kept.deep]
    if not deep:
        return None
    trained = [kept for entry, kept in deep if entry.split == "train"]
    return contrast_of(kept.values(path) for kept in trained or [kept for _, kept in deep])


def _write_splits(
    entries: Sequence[Entry],
    found: Sequence[Kept | Skipped],
    contrast: Contrast,
    folder: Path,
) -> list[dict[str, Any]]:
    """Write every image to its split's images.bin; return the manifest rows of both splits."""
    rows: list[dict[str, Any]] = []
    for split in SPLITS:
        (folder / split).mkdir()
    with (
        (folder / "train" / "images.bin").open("wb") as train,
        (folder / "test" / "images.bin").open("wb") as test,
    ):
        targets = {"train": train, "test": test}
        for entry, kept in zip(entries, found, strict=True):
            if isinstance(kept, Kept):
                target = targets[entry.split]
                pixels = kept.picture(folder / DECODED, contrast)
                place = {"split": entry.split, "offset": target.tell()}
                rows.append({**kept.facts, **place, "stored_sha256": pixels_sha256(pixels)})
                target.write(pixels.tobytes())
    return rows


def _unusable(entries: Sequence[Entry], found: Sequence[Kept | Skipped]) -> list[Skipped]:
    """The files that are no image of the data set, each with the place it would have had."""
    return [
        replace(skipped, place=(entry.split, entry.label))
        for entry, skipped in zip(entries, found, strict=True)
        if isinstance(skipped, Skipped)
    ]


def layout_of(opened: zipfile.ZipFile, dataset: Dataset, where: str) -> Layout:
    """What an archive holds, by its folders or by the table inside."""
    members = members_of(opened, where, dataset)
    listed = dict(members).get(TABLE)
    if listed is None:
        return arrange(members, dataset, where)
    try:
        text = read_entry(opened, listed).decode("utf-8")
        lines = list(csv.DictReader(io.StringIO(text, newline="")))
        return arrange_table(members, lines, dataset, where)
    except (UnicodeDecodeError, KeyError) as error:
        raise ValueError(
            f"{where}: expected {TABLE} to list {', '.join(WRITTEN)} of files inside, got {error}. "
            "It is written where a table is packed: remove it, or give the table."
        ) from error


def _facts(classes: Sequence[str], dataset: Dataset, contrast: Contrast | None) -> dict[str, Any]:
    """What everything behind has to know."""
    facts = {"dataset": dataset.name, "classes": list(classes), "store_px": dataset.store_px}
    if contrast is not None:
        facts["contrast"] = {"bits": 16, "black": contrast[0], "white": contrast[1]}
    return facts


def _write_tables(
    rows: list[dict[str, Any]],
    skipped: Sequence[Skipped],
    facts: dict[str, Any],
    folder: Path,
) -> None:
    for split in SPLITS:
        files.write_csv(
            folder / split / "manifest.csv",
            MANIFEST,
            (row for row in rows if row["split"] == split),
        )
    files.write_json(folder / "classes.json", facts)
    counts = Counter((row["split"], row["label"]) for row in rows)
    table = [
        {"class": name, **{split: counts[split, name] for split in SPLITS}}
        for name in facts["classes"]
    ]
    files.write_csv(folder / "class_counts.csv", ("class", *SPLITS), table)
    listed = [
        {"id": item.id, "reason": item.reason} for item in sorted(skipped, key=lambda item: item.id)
    ]
    files.write_csv(folder / "skipped.csv", ("id", "reason"), listed)


def _write_given(entries: Sequence[Entry], folder: Path) -> None:
    lines = [
        {"id": entry.id, "validation": "yes" if entry.validation else "", "group": entry.group}
        for entry in entries
        if entry.validation or entry.group
    ]
    files.write_csv(folder / "given.csv", GIVEN, lines)


def _summary(
    rows: list[dict[str, Any]],
    skipped: Sequence[Skipped],
    layout: Layout,
    dataset: Dataset,
) -> str:
    splits = Counter(row["split"] for row in rows)
    count = len(layout.classes)
    text = f"{splits['train']} training and {splits['test']} test images of {count} classes."
    for verb, group in (
        ("Left out", [item for item in skipped if item.place[0]]),
        ("Ignored", [item for item in skipped if not item.place[0]]),
    ):
        kinds = of_kinds(dict(Counter(item.kind for item in group).most_common()))
        text += f" {verb} {len(group)} file{'s' * (len(group) > 1)} ({kinds})." if group else ""
    if dataset.train_folder == "auto" and len(layout.parts) > 1:
        told = ", ".join(f"{base} is the {part} part" for part, base in layout.parts.items())
        text += f" Told by their names: {told}."
    return text


def _summary_of_grey(found: Sequence[Kept | Skipped], contrast: Contrast | None) -> str:
    if contrast is None:
        return ""
    kept = [item for item in found if isinstance(item, Kept)]
    deep = sum(item.deep for item in kept)
    black, white = contrast
    return (
        f" Grey of 16 bits, {deep} of {len(kept)} images: {black} becomes black and {white} white."
    )
