"""A folder or archive of images -> checked listing -> decoded uint8 pixels on disk -> arrays.

Nothing is ever unpacked: files are read out of the zip one at a time and only their pixels are
kept, so a path inside an archive can at worst be a wrong name. Each file is decoded once, here;
nothing decodes an image while training.
"""

import hashlib
import io
import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...params.dataset import Dataset
from ...pipeline import files, places
from ..archive.pack import check_space
from ..images import SPLITS, Pixels, in_order, load_images, pixels_sha256
from .decode import NO_IMAGE, decoded, resized
from .entries import members_of, opened_zip, read_entry
from .layout import Entry, Skipped, arrange
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

_IMAGE_ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif", ".avif"),
)

# Formats that Pillow would open by content, whatever the name says, and that are no photographs.
_OTHER_FORMATS = {
    b"GIF8": "GIF",
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript",
    b"8BPS": "Photoshop",
}


def preprocess(archive: Path, dataset: Dataset, out: Path) -> None:
    """Check an archive as a whole, decode each image once, and write pixels and manifests under
    `out`.

    All or nothing: a failed attempt leaves what was there before, and files of other names are left
    alone. Memory stays bounded by a few images, however many there are.

    Raises:
        ValueError: what is wrong with the archive, its layout or its images.
    """
    with opened_zip(archive) as opened:
        entries, skipped, classes = arrange(members_of(opened, archive, dataset), archive, dataset)
        # 3 bytes a pixel, photographs of about 4:3
        check_space(out, 4 * dataset.store_px**2 * len(entries))
        with _all_or_nothing(out) as building:
            rows, unusable = _write_pixels(opened, entries, dataset, building)
            skipped += unusable
            if dataset.on_bad_image == "error":
                _refuse_bad(skipped, archive)
            _check_counts(rows, skipped, classes, archive)
            if dataset.on_duplicate == "error":
                _refuse_two_labels(rows, archive)
                _refuse_duplicates(rows, archive)
            _write_tables(rows, skipped, classes, dataset, building)
            write_samples(load_images(building / "train", classes), building / "samples.png")
    print(_summary(rows, skipped, classes))


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
            f"{out}: not written ({error.strerror or error}). Nothing was changed; free some "
            "space or check the "
            "permissions, and run again."
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write_pixels(
    opened: zipfile.ZipFile, entries: list[Entry], dataset: Dataset, folder: Path
) -> tuple[list[dict[str, Any]], list[Skipped]]:
    """Append every image to its split's images.bin; return the manifest rows of both splits and
    what was left out.
    """
    rows: list[dict[str, Any]] = []
    skipped: list[Skipped] = []
    threads = min(os.cpu_count() or 1, 8)  # each may hold an image of `max_megapixels`
    Image.init()  # Pillow imports its readers at first use, which threads should not do at once
    for split in SPLITS:
        (folder / split).mkdir()
    with (
        (folder / "train" / "images.bin").open("wb") as train,
        (folder / "test" / "images.bin").open("wb") as test,
        ThreadPoolExecutor(threads) as pool,  # Pillow lets go of the interpreter while it works
    ):
        targets = {"train": train, "test": test}
        contents = ((entry, read_entry(opened, entry.info), dataset) for entry in entries)
        for entry, result in zip(
            entries, in_order(pool, _prepare, contents, ahead=2 * threads), strict=True
        ):
            if isinstance(result, Skipped):
                skipped.append(result)
                continue
            row, pixels = result
            rows.append({**row, "offset": targets[entry.split].tell()})
            targets[entry.split].write(pixels.tobytes())
    return rows, skipped


def _prepare(item: tuple[Entry, bytes, Dataset]) -> tuple[dict[str, Any], Pixels] | Skipped:
    """Decode one file: its manifest row and stored pixels, or why it is left out."""
    entry, content, dataset = item
    place = (entry.split, entry.label)
    try:
        image = decoded(io.BytesIO(content), dataset.max_megapixels)
    except ValueError as error:
        other = next(
            (name for start, name in _OTHER_FORMATS.items() if content.startswith(start)), None
        )
        if other or not entry.id.lower().endswith(_IMAGE_ENDINGS):
            reason = f"left out: {NO_IMAGE}{f' but {other}' if other else ''}"
            return Skipped(id=entry.id, reason=reason, kind=other or "not an image", place=place)
        reason = str(error) if content else "is empty"
        return Skipped(id=entry.id, reason=reason, kind="bad image", bad=True, place=place)
    # not `decode`: full-size arrays would cost half the time
    pixels = np.asarray(resized(image, dataset.store_px))
    row = {
        "id": entry.id,
        "split": entry.split,
        "label": entry.label,
        "width": image.width,
        "height": image.height,
        "sha256": hashlib.sha256(content).hexdigest(),
        "stored_width": pixels.shape[1],
        "stored_height": pixels.shape[0],
        "stored_sha256": pixels_sha256(pixels),
    }
    return row, pixels


def _refuse_bad(skipped: list[Skipped], archive: Path) -> None:
    bad = [f"{item.id}: {item.reason}" for item in skipped if item.bad]
    if bad:
        raise ValueError(
            f"{archive}: images that cannot be used: {len(bad)}{_ten(bad, 'bad images')}\n"
            "Repair or remove them, or leave them out: -S dataset.on_bad_image=skip"
        )


def _check_counts(
    rows: list[dict[str, Any]], skipped: list[Skipped], classes: Sequence[str], archive: Path
) -> None:
    counts = Counter((row["split"], row["label"]) for row in rows)
    for split, least in (("train", 2), ("test", 1)):
        for name in classes:
            if counts[split, name] < least:
                excluded = [item for item in skipped if item.place == (split, name)]
                raise ValueError(
                    f"{archive}: class {name!r} in {split} has {counts[split, name] or 'no'} "
                    "usable image, expected at "
                    f"least {least}; files left out: "
                    f"{len(excluded)}"
                    f"{_ten((f'{e.id}: {e.reason}' for e in excluded), 'files left out')}\n"
                    "Add images, or name the classes to use in dataset.classes."
                )


def _refuse_two_labels(rows: list[dict[str, Any]], archive: Path) -> None:
    """The same bytes in two classes contradict each other, wherever they are."""
    first: dict[str, dict[str, Any]] = {}
    pairs = [(first.setdefault(row["sha256"], row), row) for row in rows]
    lines = [f"{a['id']} = {b['id']}" for a, b in pairs if a["label"] != b["label"]]
    if lines:
        raise ValueError(
            f"{archive}: the same image is in two classes:{_ten(lines, 'two labels')}\n"
            "One of its labels is wrong. Remove it from one class, or accept it: -S "
            "dataset.on_duplicate=allow"
        )


def _refuse_duplicates(rows: list[dict[str, Any]], archive: Path) -> None:
    trained = {row["sha256"]: row["id"] for row in rows if row["split"] == "train"}
    twice = [row for row in rows if row["split"] == "test" and row["sha256"] in trained]
    if twice:
        lines = (f"{trained[row['sha256']]} = {row['id']}" for row in twice)
        pairs = _ten(lines, "duplicates")
        raise ValueError(
            f"{archive}: the same image is in train and in test:{pairs}\n"
            "Results on it would be too good. Remove one of the two, or accept it: -S "
            "dataset.on_duplicate=allow"
        )


def _ten(lines: Iterable[str], what: str) -> str:
    """The first ten lines, indented; where there are more, the file that has all of them."""
    listed = list(lines)
    if len(listed) <= 10:
        return "".join(f"\n  {line}" for line in listed)
    path = places.cache_folder("problems") / f"{what.replace(' ', '_')}.txt"
    files.write_text(path, "".join(f"{line}\n" for line in listed))
    rest = f"and {len(listed) - 10} more; all of them are listed in {path}"
    return "".join(f"\n  {line}" for line in [*listed[:10], rest])


def _write_tables(
    rows: list[dict[str, Any]],
    skipped: list[Skipped],
    classes: Sequence[str],
    dataset: Dataset,
    folder: Path,
) -> None:
    for split in SPLITS:
        files.write_csv(
            folder / split / "manifest.csv",
            MANIFEST,
            (row for row in rows if row["split"] == split),
        )
    facts = {"dataset": dataset.name, "classes": list(classes), "store_px": dataset.store_px}
    files.write_json(folder / "classes.json", facts)
    counts = Counter((row["split"], row["label"]) for row in rows)
    table = [
        {"class": name, **{split: counts[split, name] for split in SPLITS}} for name in classes
    ]
    files.write_csv(folder / "class_counts.csv", ("class", *SPLITS), table)
    listed = [
        {"id": item.id, "reason": item.reason} for item in sorted(skipped, key=lambda item: item.id)
    ]
    files.write_csv(folder / "skipped.csv", ("id", "reason"), listed)


def _summary(rows: list[dict[str, Any]], skipped: list[Skipped], classes: Sequence[str]) -> str:
    splits = Counter(row["split"] for row in rows)
    text = f"{splits['train']} training and {splits['test']} test images of {len(classes)} classes."
    for verb, group in (
        ("Left out", [item for item in skipped if item.place[0]]),
        ("Ignored", [item for item in skipped if not item.place[0]]),
    ):
        kinds = ", ".join(
            f"{count} {kind}" for kind, count in Counter(item.kind for item in group).most_common()
        )
        text += f" {verb} {len(group)} file{'s' * (len(group) > 1)} ({kinds})." if group else ""
    return text
