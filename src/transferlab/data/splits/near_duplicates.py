"""Images that look the same: copies that were scaled, compressed or slightly cropped, which no
checksum finds.

Mirrored copies are not found: their hashes differ in about half of the bits.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...pipeline import heartbeat
from ...pipeline.files import write_csv
from ..images import SPLITS, Images, Pixels

logger = logging.getLogger(__name__)

DISTANCE = 6  # bits of 64 in which two hashes may differ

QUARTER = 16
"""Bits of a quarter of a hash: two hashes that differ in six bits have a quarter in which they
differ in one at most.
"""

NEIGHBOURS = 16
"""To either side in the order of hashes, that one is compared with; only plain images have more."""

HELD = 4_000_000  # pairs that are held before they are thinned to a spanning tree

COPIES = 25
"""Images of one class that are taken for copies of each other, and a tenth of the class where that
is more: a larger group comes of a hash that is too coarse for such pictures.
"""

IDENTICAL = -1
"""What stands for the distance of images that have the same pixels."""

Links = npt.NDArray[np.int64]
"""Rows (i, j, bits in which they differ, or `IDENTICAL`) with i < j: a tree for each group, [M, 3].
"""

COLUMNS = (
    "id",
    "other",
    "split",
    "other_split",
    "distance",
    "group",
    "label",
    "other_label",
    "identical",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Alike:
    """Which images look the same."""

    links: Links
    coarse: int  # images whose hashes are near those of too many others to mean a copy

    def groups(self, count: int) -> npt.NDArray[np.int64]:
        """The group of each of `count` images [count]: those that are linked share one."""
        return groups(count, self.links)


def write_alike(images: Sequence[Images], path: Path) -> None:
    """Write the table of images that look the same, each with the nearest of its group.

    Args:
        images: Of each split, in the order of `SPLITS`.
        path: Of the CSV file.
    """
    pictures = [some[i] for some in images for i in range(len(some))]
    labels = np.concatenate([some.labels for some in images])
    rows = [
        {"id": id, "split": split, "label": some.classes[label]}
        for split, some in zip(SPLITS, images, strict=True)
        for id, label in zip(some.ids, some.labels, strict=True)
    ]
    alike = find(pictures, labels)
    group_of = alike.groups(len(rows))
    lines = [
        {
            **{name: rows[i][name] for name in ("id", "split", "label")},
            **{f"other_{name}": rows[j][name] for name in ("split", "label")},
            "other": rows[j]["id"],
            "distance": max(distance, 0),
            "group": int(group_of[i]),
            "identical": "yes" if distance == IDENTICAL else "",
        }
        for i, j, distance in alike.links.tolist()
    ]
    write_csv(path, COLUMNS, lines)
    _warn(lines, alike.coarse)


def _warn(lines: Sequence[dict[str, object]], coarse: int) -> None:
    two = [line for line in lines if line["label"] != line["other_label"]]
    same = [line for line in two if line["identical"]]
    if same:
        logger.warning(
            "Two labels: images that are identical to one of another class: %d, such as %r and %r. "
            "Remove one of each two; data/splits/near_duplicates.csv lists them.",
            len(same),
            same[0]["id"],
            same[0]["other"],
        )
    if len(two) > len(same):
        first = next(line for line in two if not line["identical"])
        logger.warning(
            "Images that look like one of another class: %d, such as %r and %r. If two are the "
            "same, one label is wrong; data/splits/near_duplicates.csv lists them.",
            len(two) - len(same),
            first["id"],
            first["other"],
        )
    if coarse:
        logger.warning(
            "Images so alike, or so plain, that their hashes do not tell copies: %d. Of those, "
            "only nearer ones, down to the identical, count as the same.",
            coarse,
        )


def find(pictures: Sequence[Pixels], labels: npt.NDArray[np.int64]) -> Alike:
    """The images that look the same.

    Args:
        pictures: RGB, uint8 [H, W, 3] each.
        labels: Their classes, [N].
    """
    hashes = perceptual_hashes(pictures)
    return without_coarse(linked(hashes, pictures), labels)


def perceptual_hashes(pictures: Sequence[Pixels]) -> npt.NDArray[np.uint64]:
    """64 bits of every image [N]: signs of its lowest frequencies (pHash, as the library imagehash
    has it).
    """
    import imagehash

    seen = heartbeat.each(pictures, "images compared", len(pictures))
    bits = [imagehash.phash(Image.fromarray(picture)).hash.ravel() for picture in seen]
    return np.packbits(np.array(bits), axis=1).view(">u8").astype(np.uint64)[:, 0]


def linked(hashes: npt.NDArray[np.uint64], pictures: Sequence[Pixels]) -> Links:
    """A tree over every group of images that are near, directly or through others: never more links
    than images.
    """
    distinct, first, which = np.unique(hashes, return_index=True, return_inverse=True)
    links = [_same_hash(np.flatnonzero(which == k), pictures) for k in _repeated(which)]
    tree = near(distinct)
    ends = np.sort(first[tree[:, :2]], axis=1)
    found = np.concatenate([*links, np.column_stack([ends, tree[:, 2]])])
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def _repeated(which: npt.NDArray[np.int64]) -> list[int]:
    found: list[int] = np.flatnonzero(np.bincount(which) > 1).tolist()
    return found


def _same_hash(rows: npt.NDArray[np.int64], pictures: Sequence[Pixels]) -> Links:
    """Images of one hash, each linked to the first that is identical, and those to the first."""
    first: dict[bytes, int] = {}
    links = []
    for row in rows.tolist():
        picture = pictures[row]
        digest = hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).digest()
        if digest in first:
            links.append((first[digest], row, IDENTICAL))
        elif first:
            links.append((int(rows[0]), row, 0))
        first.setdefault(digest, row)
    return np.array(links, dtype=np.int64).reshape(-1, 3)


def near(hashes: npt.NDArray[np.uint64]) -> Links:
    """The nearest pairs of different hashes that connect all those within `DISTANCE` bits.

    Looks up each quarter of every hash, and each with one bit turned, among all others: time and
    space grow like the number of hashes and not like its square.
    """
    tree = np.zeros((0, 3), dtype=np.int64)
    waiting: list[Links] = []
    turns = [0, *(1 << bit for bit in range(64 - QUARTER, 64))]
    for quarter in range(0, 64, QUARTER):
        rotated = _rotated(hashes, quarter)
        order = np.argsort(rotated)
        for turn in turns:
            for one, other in _beside(rotated ^ np.uint64(turn), rotated[order]):
                pairs = np.column_stack([one, order[other]])
                distance = np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]])
                close = (distance <= DISTANCE) & (pairs[:, 0] < pairs[:, 1])
                waiting.append(np.column_stack([pairs[close], distance[close]]).astype(np.int64))
            if sum(map(len, waiting)) > HELD:
                tree, waiting = spanning(len(hashes), [tree, *waiting]), []
    return spanning(len(hashes), [tree, *waiting])


def _rotated(hashes: npt.NDArray[np.uint64], bits: int) -> npt.NDArray[np.uint64]:
    """With their first `bits` behind the others."""
    back = np.uint64((64 - bits) % 64)
    return (hashes << np.uint64(bits)) | (hashes >> back) if bits else hashes


def _beside(
    wanted: npt.NDArray[np.uint64], ordered: npt.NDArray[np.uint64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Places (in `wanted`, in `ordered`) of those that share a first quarter and stand nearest."""
    place = np.searchsorted(ordered, wanted)
    for step in (1, -1):
        alive = np.arange(len(wanted))
        for offset in range(NEIGHBOURS):
            at = place[alive] + (offset if step == 1 else -1 - offset)
            inside = (at >= 0) & (at < len(ordered))
            alive, at = alive[inside], at[inside]
            same = (ordered[at] ^ wanted[alive]) >> np.uint64(64 - QUARTER) == 0
            alive, at = alive[same], at[same]
            if not len(alive):
                break
            yield alive, at


def spanning(count: int, links: Sequence[Links]) -> Links:
    """The minimum spanning tree of links between `count` images that differ."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    found = np.concatenate(links)
    ends = np.sort(found[:, :2], axis=1)
    # a pair that is found twice would be summed
    ends, kept = np.unique(ends, axis=0, return_index=True)
    graph = coo_array((found[kept, 2], (ends[:, 0], ends[:, 1])), shape=(count, count))
    tree = minimum_spanning_tree(graph.tocsr()).tocoo()
    pairs = np.sort(np.column_stack([tree.row, tree.col]), axis=1)
    return np.column_stack([pairs, tree.data]).astype(np.int64)


def without_coarse(links: Links, labels: npt.NDArray[np.int64]) -> Alike:
    """Links without those of groups that are too large, from the farthest on until they are not."""
    kept = np.ones(len(links), dtype=bool)
    coarse = np.zeros(len(labels), dtype=bool)
    for distance in (4, 2, 0, IDENTICAL):
        group_of = groups(len(labels), links[kept])
        large = too_large(group_of, labels)[group_of]
        if not large.any():
            break
        coarse |= large
        kept &= ~(large[links[:, 0]] & (links[:, 2] > distance))
    return Alike(links=links[kept], coarse=int(coarse.sum()))


def too_large(
    group_of: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Which groups hold more images of one class than copies would make."""
    pairs, sizes = np.unique(np.column_stack([group_of, labels]), axis=0, return_counts=True)
    most = np.maximum(COPIES, np.bincount(labels)[pairs[:, 1]] / 10)
    found = np.zeros(group_of.max(initial=-1) + 1, dtype=bool)
    found[pairs[sizes > most, 0]] = True
    return found


def groups(count: int, links: Links) -> npt.NDArray[np.int64]:
    """The group of each of `count` images [count]: those connected by links share one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = np.asarray(links, dtype=np.int64).T[:2]
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
    found: npt.NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return found
