"""Images that look the same: copies that were scaled, compressed or slightly cropped, which no
checksum finds.

Mirrored copies are not found: their hashes differ in about half of the bits.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...pipeline.files import write_csv
from ..images import SPLITS, Images

DISTANCE = 6  # bits of 64 in which two hashes may differ

AT_ONCE = 1000  # images that are compared with all others at once

PAIR = ("id", "other", "split", "other_split", "distance")


def write_pairs(images: Sequence[Images], path: Path) -> None:
    """Write the table of pairs that look the same.

    Args:
        images: Of each split, in the order of `SPLITS`.
        path: Of the CSV file.
    """
    ids = [(id, split) for split, some in zip(SPLITS, images, strict=True) for id in some.ids]
    hashes = np.concatenate([perceptual_hashes(some) for some in images])
    lines = (
        dict(zip(PAIR, (ids[i][0], ids[j][0], ids[i][1], ids[j][1], distance), strict=True))
        for i, j, distance in near(hashes)
    )
    write_csv(path, PAIR, lines)


def perceptual_hashes(images: Images) -> npt.NDArray[np.uint64]:
    """64 bits of every image [N]: signs of its lowest frequencies (pHash, as the library imagehash
    has it).
    """
    import imagehash

    bits = [imagehash.phash(Image.fromarray(images[i])).hash.ravel() for i in range(len(images))]
    return np.packbits(np.array(bits), axis=1).view(">u8").astype(np.uint64)[:, 0]


def near(hashes: npt.NDArray[np.uint64]) -> Iterator[tuple[int, int, int]]:
    """Every pair (i, j, bits in which they differ) with i < j and at most `DISTANCE` bits."""
    for start in range(0, len(hashes), AT_ONCE):
        distances = np.bitwise_count(hashes[start : start + AT_ONCE, None] ^ hashes[None, start:])
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
