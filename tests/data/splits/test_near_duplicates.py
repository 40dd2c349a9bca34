"""Copies that no checksum finds are found, across splits too; pictures that differ are not."""

import io
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from small import params_of

from transferlab.data.archive import pack
from transferlab.data.images import SPLITS, Images, Pixels, load_images
from transferlab.data.ingest.pixels import preprocess
from transferlab.data.splits import near_duplicates
from transferlab.pipeline.files import read_json

HEADER = "id,other,split,other_split,distance,group,label,other_label,identical\n"


def photograph(seed: int) -> Pixels:
    """Colours that change slowly under grain, 120 x 160."""
    chance = np.random.default_rng(seed)
    coarse = chance.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    smooth = np.asarray(
        Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC), dtype=float
    )
    return np.clip(smooth + chance.normal(0, 8, (120, 160, 1)), 0, 255).astype(np.uint8)


def rescaled(image: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(image).resize((90, 67), Image.Resampling.BILINEAR))


def jpeg(image: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=40)
    return file.getvalue()


def recompressed(image: Pixels) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(jpeg(image))))


def cropped(image: Pixels) -> Pixels:
    return image[2:-2, 3:-3]


def all_at_once(image: Pixels) -> Pixels:
    return recompressed(rescaled(cropped(image)))


def images_of(pictures: list[Pixels]) -> Images:
    """Images that never were on disk."""
    sizes = [picture.size for picture in pictures]
    return Images(
        ids=tuple(f"{i}.jpg" for i in range(len(pictures))),
        labels=np.zeros(len(pictures), dtype=np.int64),
        classes=("any",),
        digest="0" * 64,
        pixels=np.concatenate([picture.ravel() for picture in pictures]),
        places=np.array(
            [[sum(sizes[:i]), *picture.shape[:2]] for i, picture in enumerate(pictures)]
        ),
    )


def found_in(pictures: list[Pixels]) -> list[tuple[int, int]]:
    found = near_duplicates.find(pictures, np.zeros(len(pictures), dtype=np.int64))
    return [(i, j) for i, j, _ in found.links.tolist()]


def by_definition(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """The groups that all pairs of at most six different bits connect."""
    values = hashes.tolist()
    near = [
        (i, j)
        for i, j in combinations(range(len(values)), 2)
        if (values[i] ^ values[j]).bit_count() <= 6
    ]
    assert near
    return near_duplicates.groups(len(values), np.array(near))


@pytest.mark.parametrize("changed", [rescaled, recompressed, cropped, all_at_once])
def test_changed_copy_is_found_among_different_pictures(
    changed: Callable[[Pixels], Pixels],
) -> None:
    pictures = [photograph(seed) for seed in range(6)]
    copies = [changed(picture) for picture in pictures]
    assert all(
        copy.shape != one.shape or (copy != one).any()
        for copy, one in zip(copies, pictures, strict=True)
    )
    assert found_in([*pictures, *copies]) == [(i, i + 6) for i in range(6)]


def test_different_pictures_are_not_found() -> None:
    assert found_in([photograph(seed) for seed in range(40)]) == []


def test_hash_is_that_of_imagehash() -> None:
    pictures = [photograph(seed) for seed in range(5)]
    hashes = near_duplicates.perceptual_hashes(images_of(pictures))
    assert hashes.dtype == np.uint64
    assert [f"{value:016x}" for value in hashes] == [
        str(imagehash.phash(Image.fromarray(one))) for one in pictures
    ]


def test_hashes_are_near_up_to_six_bits() -> None:
    hashes = np.array([0, 0b111111, 0b1111111], dtype=np.uint64)
    assert near_duplicates.near(hashes).tolist() == [[0, 1, 6], [1, 2, 1]]
    ends = np.array([2**63, 2**64 - 1, 2**63 + 1], dtype=np.uint64)
    assert near_duplicates.near(ends).tolist() == [[0, 2, 1]]


def turned(hash: np.uint64, bits: npt.NDArray[np.int64]) -> np.uint64:
    return hash ^ np.bitwise_or.reduce(np.uint64(1) << bits.astype(np.uint64))


def test_what_near_hashes_connect_is_found_wherever_their_bits_differ() -> None:
    chance = np.random.default_rng(0)
    drawn = chance.integers(0, 2**64, 100, dtype=np.uint64)
    near = [
        turned(hash, chance.choice(64, chance.integers(1, 7), replace=False))
        for hash in drawn
        for _ in range(2)
    ]
    hashes = np.unique([*drawn, *near])
    tree = near_duplicates.near(hashes)
    assert 100 < len(tree) < len(hashes)
    assert (near_duplicates.groups(len(hashes), tree) == by_definition(hashes)).all()


def test_links_do_not_grow_with_the_square_of_plain_images() -> None:
    white = [np.full((8, 8, 3), 250 + i % 5, dtype=np.uint8) for i in range(400)]
    found = near_duplicates.find(white, np.zeros(400, dtype=np.int64))
    assert len(found.links) < 400 and found.coarse == 400
    assert len(np.unique(found.groups(400))) == 5, "only identical ones count as the same"


def test_a_burst_of_a_tenth_of_its_class_is_one_group() -> None:
    chance = np.random.default_rng(0)
    pictures = [photograph(seed) for seed in range(20)]
    burst = [
        np.clip(pictures[0] + chance.integers(0, 3), 0, 255).astype(np.uint8) for _ in range(10)
    ]
    found = near_duplicates.find([*pictures, *burst], np.zeros(30, dtype=np.int64))
    assert len(np.unique(found.groups(30)[[0, *range(20, 30)]])) == 1 and not found.coarse


# ---------------------------------------------------------------- groups


@pytest.mark.parametrize(
    "pairs, expected",
    [
        ([], [{0}, {1}, {2}, {3}, {4}, {5}]),
        ([(0, 4)], [{0, 4}, {1}, {2}, {3}, {5}]),
        ([(0, 1), (1, 4), (3, 5)], [{0, 1, 4}, {2}, {3, 5}]),
        ([(3, 5), (0, 3), (1, 2), (0, 3)], [{0, 3, 5}, {1, 2}, {4}]),
    ],
)
def test_groups_are_what_pairs_connect_through_others_too(
    pairs: list[tuple[int, int]], expected: list[set[int]]
) -> None:
    groups = near_duplicates.groups(6, np.array(pairs, dtype=np.int64).reshape(-1, 2))
    assert groups.shape == (6,) and groups.dtype == np.int64
    found = [set(np.flatnonzero(groups == group).tolist()) for group in np.unique(groups)]
    assert sorted(found, key=min) == expected


# ---------------------------------------------------------------- the file


def png(image: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def processed(root: Path, members: dict[str, Path | bytes]) -> Path:
    """What preprocessing makes of an archive."""
    params = params_of("dataset.store_px=64", "dataset.on_duplicate=allow")
    pack.write_zip(root / "archive.zip", members)
    preprocess(root / "archive.zip", params.dataset, root / "processed")
    return root / "processed"


@pytest.fixture
def different() -> dict[str, Path | bytes]:
    names = [
        "train/stripes/0",
        "train/stripes/1",
        "train/dots/0",
        "train/dots/1",
        "test/stripes/0",
        "test/dots/0",
    ]
    return {f"{name}.png": png(photograph(seed)) for seed, name in enumerate(names)}


def written(folder: Path) -> None:
    """The table of what preprocessing left in a folder."""
    classes = read_json(folder / "classes.json")["classes"]
    images = [load_images(folder / split, classes) for split in SPLITS]
    near_duplicates.write_alike(images, folder / "near_duplicates.csv")


def test_file_names_both_images_and_their_splits(
    different: dict[str, Path | bytes], tmp_path: Path
) -> None:
    copies = {
        "test/dots/1.jpg": jpeg(photograph(2)),
        "train/stripes/2.png": png(rescaled(photograph(0))),
    }
    folder = processed(tmp_path, {**different, **copies})
    written(folder)
    lines = (folder / "near_duplicates.csv").read_text().splitlines()
    assert lines[0] + "\n" == HEADER
    found = [line.split(",") for line in lines[1:]]
    assert sorted(row[:4] for row in found) == [
        ["train/dots/0.png", "test/dots/1.jpg", "train", "test"],
        ["train/stripes/0.png", "train/stripes/2.png", "train", "train"],
    ]
    assert all(0 <= int(row[4]) <= near_duplicates.DISTANCE for row in found)
    assert [row[6:] for row in found] == [["dots", "dots", ""], ["stripes", "stripes", ""]]


def test_the_same_image_in_two_classes_is_called_two_labels(
    different: dict[str, Path | bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = processed(
        tmp_path, {**different, "train/dots/2.png": different["train/stripes/0.png"]}
    )
    written(folder)
    (line,) = (folder / "near_duplicates.csv").read_text().splitlines()[1:]
    assert line.endswith(",dots,stripes,yes") or line.endswith(",stripes,dots,yes")
    assert "Two labels: images that are identical to one of another class: 1, such" in caplog.text


def test_file_without_near_duplicates_is_its_header(
    different: dict[str, Path | bytes], tmp_path: Path
) -> None:
    folder = processed(tmp_path, different)
    written(folder)
    assert (folder / "near_duplicates.csv").read_text() == HEADER


def test_writing_twice_gives_the_same_bytes(
    different: dict[str, Path | bytes], tmp_path: Path
) -> None:
    copies = {"test/dots/1.jpg": jpeg(photograph(0)), "test/stripes/1.jpg": jpeg(photograph(3))}
    folder = processed(tmp_path, {**different, **copies})
    written(folder)
    before = (folder / "near_duplicates.csv").read_bytes()
    assert before.count(b"\n") == 3
    written(folder)
    assert (folder / "near_duplicates.csv").read_bytes() == before
