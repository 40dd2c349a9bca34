"""Pixels on disk -> the images of one split, as everything behind sees them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ..pipeline import files

Pixels = npt.NDArray[np.uint8]
"""RGB image, uint8 [H, W, 3]."""

SPLITS = ("train", "test")

In = TypeVar("In")

Out = TypeVar("Out")


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """The images of one split, memory-mapped or on a device; `images[i]` is a read-only uint8 [H,
    W, 3].
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

    def __len__(self) -> int:
        """Number of images."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Pixels:
        """One image, as a view of all pixels."""
        offset, height, width = self.places[index].tolist()
        return self.pixels[offset : offset + height * width * 3].reshape(height, width, 3)


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
            f"{folder}: expected manifest.csv and images.bin. Run: dvc repro preprocess"
        )
    rows = files.read_csv(manifest)
    index = {name: number for number, name in enumerate(classes)}
    for row in rows:
        if row["label"] not in index:
            raise ValueError(
                f"{manifest}: label {row['label']!r} not in {list(classes)} ({row['id']})."
            )
    columns = ("offset", "stored_height", "stored_width")
    places = np.array(
        [[int(row[column]) for column in columns] for row in rows], dtype=np.int64
    ).reshape(-1, 3)
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
    )
