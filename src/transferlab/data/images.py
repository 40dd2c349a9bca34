"""Pixels on disk -> the images of one split, as everything behind sees them."""

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NotRequired, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from ..pipeline import files
from ..pipeline.makers import unreadable
from ..pipeline.shapes import short

Pixels = npt.NDArray[np.uint8]
"""RGB image, uint8 [H, W, 3]."""

Contrast = tuple[int, int]
"""The values of 16 bits that become black and white."""

WHOLE_RANGE: Contrast = (0, 65535)

SPLITS = ("train", "test")

MANIFEST = (
    "id",
    "split",
    "label",
    "sha256",
    "offset",
    "stored_height",
    "stored_width",
    "stored_sha256",
)
"""Columns of a manifest that something reads."""

MENDING = (
    "Run: find .dvc/cache -type f -exec chmod u+w {} + -exec touch {} +; dvc repro -f preprocess"
)
"""DVC trusts an object of its cache while it is read-only, or known by its time and size."""

In = TypeVar("In")

Out = TypeVar("Out")


class Grey(TypedDict):
    """What became black and white of images with 16 bits of grey."""

    bits: int
    black: int
    white: int


class Classes(TypedDict):
    """`data/processed/classes.json`."""

    dataset: str
    classes: list[str]
    store_px: int
    contrast: NotRequired[Grey]  # where there are such images


def read_classes(root: Path) -> list[str]:
    """Names of the classes, in the order of their indices.

    Args:
        root: Checkout that holds data/.

    Raises:
        ValueError: The file is damaged.
    """
    return files.read_json(root / "data/processed/classes.json", Classes)["classes"]


def in_order(
    pool: ThreadPoolExecutor, function: Callable[[In], Out], items: Iterable[In], ahead: int
) -> Iterator[Out]:
    """`pool.map` that takes only so many items ahead, because each is held in memory."""
    waiting: deque[Future[Out]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def pixels_sha256(pixels: Pixels) -> str:
    """Digest of an image's bytes; its size stands beside it in the manifest."""
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """The images of one split, memory-mapped or on a device; `images[i]` is a read-only uint8 [H,
    W, 3].

    DVC hands out a damaged file of its cache as up to date (treeverse/dvc#5978), therefore each
    image is compared with its digest when it is used for the first time: 0.1 ms.
    """

    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]  # index into classes, [N]
    classes: tuple[str, ...]
    digest: str
    """Names this data in caches: sha256 of the manifest, which holds the hash and stored size of
    every image.
    """
    # all images one after the other, memory-mapped; a tensor once on a device
    pixels: npt.NDArray[np.uint8]
    places: npt.NDArray[np.int64]  # offset, height and width of each, [N, 3]
    stored: Path | None = None
    """File of the pixels, for a message."""
    unseen: dict[int, str] = field(default_factory=dict)
    """sha256 of the images that nobody has used yet, by index; none of what was never on a disk."""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Pixels:
        """One image, as a view of all pixels.

        Raises:
            ValueError: It is not what `preprocess` stored.
        """
        offset, height, width = self.places[index].tolist()
        found = self.pixels[offset : offset + height * width * 3].reshape(height, width, 3)
        if (sha256 := self.unseen.get(index)) is not None:
            if pixels_sha256(found) != sha256:
                raise ValueError(
                    f"{self.ids[index]}: expected the pixels that preprocess stored, got others. "
                    f"{self.stored} is damaged, or DVC's copy of it. {MENDING}"
                )
            self.unseen.pop(index, None)  # two threads may have looked
        return found

    def verify(self) -> None:
        """Look at every image that nobody has used yet.

        Raises:
            ValueError: One is not what `preprocess` stored.
        """
        for index in list(self.unseen):
            self[index]


def load_images(folder: Path, classes: Sequence[str]) -> Images:
    """Open what `preprocess` wrote for one split.

    Args:
        folder: holds manifest.csv and images.bin.
        classes: class names in the order of their indices.

    Raises:
        ValueError: a label outside `classes`, or pixels that do not belong to the manifest.
    """
    manifest, stored = folder / "manifest.csv", folder / "images.bin"
    if not (manifest.is_file() and stored.is_file()):
        raise ValueError(
            f"{folder}: expected manifest.csv and images.bin, found "
            f"{', '.join(sorted(path.name for path in folder.glob('*'))) or 'nothing'}. "
            "Run: dvc repro preprocess"
        )
    rows = files.read_csv(manifest, MANIFEST)
    index = {name: number for number, name in enumerate(classes)}
    for row in rows:
        if row["label"] not in index:
            known = f"a label among {short(', '.join(classes))}"
            raise unreadable(manifest, known, f"{short(row['label'])} ({row['id']})")
    columns = ("offset", "stored_height", "stored_width")
    places = np.array([_whole(manifest, row, columns) for row in rows], dtype=np.int64)
    places = places.reshape(-1, 3)
    expected, size = int((places[:, 1] * places[:, 2] * 3).sum()), stored.stat().st_size
    if size != expected or not size:
        raise ValueError(
            f"{stored}: expected {expected} bytes, got {size}. Write it anew: dvc repro -f "
            "preprocess"
        )
    return Images(
        ids=tuple(row["id"] for row in rows),
        labels=np.array([index[row["label"]] for row in rows], dtype=np.int64),
        classes=tuple(classes),
        digest=files.file_hash(manifest),
        pixels=np.asarray(np.memmap(stored, dtype=np.uint8, mode="r")),
        places=places,
        stored=stored,
        unseen={number: row["stored_sha256"] for number, row in enumerate(rows)},
    )


def _whole(manifest: Path, row: Mapping[str, str], columns: Iterable[str]) -> list[int]:
    """The cells of these columns as numbers."""
    for column in columns:
        if not re.fullmatch("[0-9]{1,18}", row[column]):
            expected, got = f"a whole number as {column}", short(row[column])
            raise unreadable(manifest, expected, f"{got} ({row['id']})")
    return [int(row[column]) for column in columns]
