"""Images that look the same: copies that were scaled, compressed or slightly cropped, which no
checksum finds.

Mirrored copies are not found: their hashes differ in about half of the bits.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...pipeline.files import read_json, write_csv
from ..images import SPLITS, Images, load_images

DISTANCE = 6  # bits of 64 in which two hashes may differ

CHUNK = 1000  # images that are compared with all others at once

COLUMNS = ("id", "other", "split", "other_split", "distance")


def write(processed: Path) -> None:
    """Write `near_duplicates.csv` beside the images that preprocessing left under `processed`."""
    classes = read_json(processed / "classes.json")["classes"]
    images = {split: load_images(processed / split, classes) for split in SPLITS}
    ids = [(id, split) for split in SPLITS for id in images[split].ids]
    hashes = np.concatenate([perceptual_hashes(images[split]) for split in SPLITS])
    lines = (
        dict(zip(COLUMNS, (ids[i][0], ids[j][0], ids[i][1], ids[j][1], distance), strict=True))
        for i, j, distance in near(hashes)
    )
    write_csv(processed / "near_duplicates.csv", COLUMNS, lines)


def perceptual_hashes(images: Images) -> npt.NDArray[np.uint64]:
    """64 bits of every image [N]: signs of its lowest frequencies (pHash, as the library imagehash
    has it).
    """
    import imagehash

    bits = [imagehash.phash(Image.fromarray(images[i])).hash.ravel() for i in range(len(images))]
    return np.packbits(np.array(bits), axis=1).view(">u8").astype(np.uint64)[:, 0]


def near(hashes: npt.NDArray[np.uint64]) -> Iterator[tuple[int, int, int]]:
    """Every pair (i, j, bits in which they differ) with i < j and at most `DISTANCE` bits."""
    for start in range(0, len(hashes), CHUNK):
        distances = np.bitwise_count(hashes[start : start + CHUNK, None] ^ hashes[None, start:])
        for i, j in zip(*np.nonzero(distances <= DISTANCE), strict=True):
            if i < j:
                yield start + int(i), start + int(j), int(distances[i, j])


def groups(count: int, pairs: list[tuple[int, int]]) -> npt.NDArray[np.int64]:
    """The group of each of `count` images [count]: those connected by pairs share one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
    found: npt.NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return found
