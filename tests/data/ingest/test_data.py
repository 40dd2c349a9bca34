"""No archive does harm, no image is silently changed or lost, no failed attempt touches what was
there.
"""

import hashlib
import io
import os
import resource
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transferlab.data.archive import pack
from transferlab.data.chance import named_generator, stratified_split
from transferlab.data.images import SPLITS, Pixels, load_images
from transferlab.data.ingest import pixels
from transferlab.data.ingest.decode import decode
from transferlab.data.ingest.pixels import preprocess
from transferlab.params.dataset import Dataset
from transferlab.pipeline import files, places

OUTPUTS = [
    *("class_counts.csv", "classes.json", "samples.png", "skipped.csv"),
    *("test/images.bin", "test/manifest.csv", "train/images.bin", "train/manifest.csv"),
]


def dataset(**changes: Any) -> Dataset:
    """A small data set in folders train and val."""
    values: dict[str, Any] = {
        **{
            "name": "tiny",
            "path": "tiny",
            "url": None,
            "sha1": None,
            "sha256": None,
            "contents_sha256": None,
        },
        **{
            "path_sha256": None,
            "textures": None,
            "classes": None,
            "train_folder": "train",
            "test_folder": "val",
        },
        **{
            "test_fraction": None,
            "split_seed": 0,
            "imagenet": None,
            "store_px": 8,
            "on_bad_image": "error",
            "on_duplicate": "error",
        },
        **{
            "max_total_mb": 100,
            "max_file_mb": 10,
            "max_files": 1000,
            "max_ratio": 200,
            "max_megapixels": 1,
        },
    }
    return Dataset(**{**values, **changes})


TOP_CLASSES: dict[str, Any] = {"train_folder": None, "test_folder": None, "test_fraction": 0.25}


def picture(number: int = 0, size: tuple[int, int] = (12, 10), kind: str = "PNG") -> bytes:
    """An image file of two colours that differs from every other number's."""
    left, right = np.random.default_rng(number).integers(0, 256, (2, 3)).tolist()
    image = Image.new("RGB", size, tuple(left))
    image.paste(tuple(right), (size[0] // 2, 0, *size))
    return saved(image, kind)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def tree(
    classes: tuple[str, ...] = ("ants", "bees"), splits: tuple[str, ...] = ("train", "val")
) -> dict[str, bytes]:
    """Three images of each class in each split."""
    names = [
        f"{split}/{name}/{number}.png"
        for split in splits
        for name in classes
        for number in range(3)
    ]
    return {name: picture(seed) for seed, name in enumerate(names)}


def zipped(path: Path, members: Mapping[str, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def listing(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): files.file_hash(p)
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


class Place:
    """An archive and the folder it is preprocessed into."""

    def __init__(self, root: Path) -> None:
        self.root, self.archive, self.out = root, root / "x.zip", root / "processed"

    def run(self, members: Mapping[str, bytes] | None = None, **changes: Any) -> None:
        if members is not None:
            zipped(self.archive, members)
        preprocess(self.archive, dataset(**changes), self.out)

    def refused(
        self, message: str, members: Mapping[str, bytes] | None = None, **changes: Any
    ) -> str:
        """Expect a ValueError that matches, and nothing on disk but the archive."""
        with pytest.raises(ValueError, match=message) as caught:
            self.run(members, **changes)
        assert [path.name for path in self.root.rglob("*")] == ["x.zip"]
        return str(caught.value)

    def rows(self, table: str) -> list[dict[str, str]]:
        return files.read_csv(self.out / table)

    def skipped(self) -> dict[str, str]:
        return {row["id"]: row["reason"] for row in self.rows("skipped.csv")}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# ---------------------------------------------------------------- chance


def test_a_named_generator_depends_on_seed_and_purpose_alone() -> None:
    draws = {name: named_generator(*name).random() for name in [(0, "a"), (1, "a"), (0, "b")]}
    assert len(set(draws.values())) == 3
    assert named_generator(0, "a").random() == draws[0, "a"] == pytest.approx(0.160163538682344)


def test_a_split_is_stratified_sorted_disjoint_and_complete() -> None:
    labels = np.array([0] * 50 + [1] * 10 + [2] * 2)
    kept, held_out = stratified_split(labels, 0.2, 7, "validation")
    assert np.bincount(labels[held_out]).tolist() == [10, 2, 1]
    assert sorted([*kept, *held_out]) == list(range(62))
    assert kept.tolist() == sorted(kept) and held_out.tolist() == sorted(held_out)


def test_a_split_changes_with_seed_and_purpose_and_with_nothing_else() -> None:
    labels = np.arange(40) % 2
    held_out = [
        tuple(stratified_split(labels, 0.25, *key)[1])
        for key in [(0, "a"), (0, "a"), (1, "a"), (0, "b")]
    ]
    assert held_out[0] == held_out[1] and len(set(held_out)) == 3
    assert held_out[0] == (0, 6, 7, 19, 21, 25, 30, 32, 34, 39)


@pytest.mark.parametrize(("fraction", "held_out"), [(0.01, 1), (0.99, 3)])
def test_a_split_holds_out_at_least_one_and_keeps_at_least_one(
    fraction: float, held_out: int
) -> None:
    kept, held = stratified_split(np.zeros(4, dtype=np.int64), fraction, 0, "validation")
    assert (len(kept), len(held)) == (4 - held_out, held_out)


def test_a_class_of_one_image_cannot_be_split() -> None:
    with pytest.raises(
        ValueError,
        match="validation split: expected at least 2 images of every class, got 1 of class 1",
    ):
        stratified_split(np.array([0, 0, 1]), 0.5, 0, "validation")


# ---------------------------------------------------------------- decoding


def decoded(content: bytes, **options: Any) -> Pixels:
    return decode(io.BytesIO(content), max_megapixels=1, **options)


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    values = np.full((4, 6), 30_000, dtype=np.uint16)
    for kind in ("PNG", "TIFF", "PPM"):
        assert np.all(decoded(saved(Image.fromarray(values), kind)) == 117), (
            kind
        )  # 30000 / 65535 * 255 = 116.7


def test_thirty_two_bit_pixels_are_refused_because_their_white_is_unknown() -> None:
    for mode in ("I", "F"):
        with pytest.raises(
            ValueError,
            match=f"mode '{mode}' does not say which value is white; save it with 8 or 16 bits",
        ):
            decoded(saved(Image.new(mode, (4, 4), 200), "TIFF"))


RED = (200, 10, 30)


def palette(**options: Any) -> bytes:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, *RED])
    return saved(image, **options)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (saved(Image.new("RGBA", (4, 4), (*RED, 0))), (255, 255, 255)),
        (saved(Image.new("RGBA", (4, 4), (*RED, 51))), (244, 206, 210)),
        (saved(Image.new("LA", (4, 4), (90, 0))), (255, 255, 255)),
        (palette(transparency=1), (255, 255, 255)),
        (saved(Image.new("RGB", (4, 4), RED), transparency=RED), (255, 255, 255)),
        (palette(), RED),
        (saved(Image.new("L", (4, 4), 90)), (90, 90, 90)),
        (saved(Image.new("1", (4, 4), 1)), (255, 255, 255)),
        (saved(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
        (saved(Image.new("RGB", (4, 4), RED), "WEBP", lossless=True), RED),
        (saved(Image.new("RGB", (4, 4), RED), "BMP"), RED),
        (saved(Image.new("RGB", (4, 4), RED), "PPM"), RED),
    ],
    ids=[
        "RGBA",
        "RGBA 20 %",
        "LA",
        "P clear",
        "RGB clear",
        "P",
        "L",
        "1",
        "CMYK",
        "WEBP",
        "BMP",
        "PPM",
    ],
)
def test_every_mode_becomes_rgb_and_transparency_becomes_white(
    content: bytes, expected: tuple[int, ...]
) -> None:
    pixels = decoded(content)
    assert pixels.shape == (4, 4, 3) and pixels.dtype == np.uint8
    assert np.all(pixels == expected)


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    image = Image.new("RGB", (8, 4), "black")
    image.paste("white", (0, 0, 2, 4))
    pixels = decoded(saved(image, "PNG", exif=exif))
    assert pixels.shape == (8, 4, 3)
    assert pixels[:2].min() == 255 and pixels[2:].max() == 0


def bomb_header() -> bytes:
    """A PNG of 60 bytes that claims 20 000 x 20 000 pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


NOT_USABLE = {
    "truncated": (saved(Image.effect_noise((60, 60), 50), "JPEG")[:-300], "does not decode"),
    "random": (bytes(range(1, 200)), "is not a JPEG, PNG, WEBP, BMP, TIFF or PPM image"),
    "web page": (b"<!doctype html><html>Not found</html>", "is not a JPEG"),
    "bomb": (bomb_header(), r"has 400\.0 megapixels, more than dataset\.max_megapixels=1"),
    "thin": (picture(0, (200, 2)), "is 200 x 2 pixels, one side over 50 times the other"),
}


@pytest.mark.parametrize("name", NOT_USABLE)
def test_what_cannot_be_used_says_why(name: str) -> None:
    content, reason = NOT_USABLE[name]
    with pytest.raises(ValueError, match=f"^{reason}") as caught:
        decoded(content)
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("kind", ["GIF", "EPS"])
def test_other_formats_are_not_opened_whatever_their_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "renamed.jpg"
    path.write_bytes(saved(Image.new("RGB", (9, 9)), kind))
    with pytest.raises(ValueError, match="is not a JPEG"):
        decode(path, max_megapixels=1)


@pytest.mark.parametrize(
    ("size", "expected"), [((40, 20), (8, 16)), ((20, 27), (11, 8)), ((4, 4), (8, 8))]
)
def test_the_shorter_side_is_resized_up_or_down_and_the_longer_one_rounded(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert decoded(picture(size=size), shorter_px=8).shape == (*expected, 3)


def test_downscaling_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    pixels = decoded(saved(Image.fromarray(stripes)), shorter_px=8)
    assert np.all(np.abs(pixels.astype(int) - 128) < 20)


# ---------------------------------------------------------------- the archive


def damaged(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def build(path: Path) -> None:
        path.write_bytes(change(zipped(path, tree()).read_bytes()))

    return build


def flip_a_pixel(content: bytes) -> bytes:
    at = content.index(b"IDAT") + 20
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def declare(size: int) -> Callable[[bytes], bytes]:
    """Let every entry of the central directory claim a size that its data has not."""

    def change(content: bytes) -> bytes:
        first, *entries = content.split(b"PK\x01\x02")
        return b"PK\x01\x02".join(
            [first, *(entry[:20] + struct.pack("<I", size) + entry[24:] for entry in entries)]
        )

    return change


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda content: b"this is no archive", "File is not a zip file"),
        (lambda content: b"", "File is not a zip file"),
        (lambda content: content[:-200], "File is not a zip file"),
        (flip_a_pixel, "Bad CRC-32 for file 'train/ants/0.png'"),
        (declare(40), "Bad CRC-32 for file 'train/ants/0.png'"),
        (declare(4000), r"'train/ants/0.png' has \d+ bytes and declares 4000"),
    ],
    ids=["not a zip", "empty", "truncated", "damaged", "declares less", "declares more"],
)
def test_an_unreadable_archive_is_named_with_the_way_out(
    place: Place, change: Callable[[bytes], bytes], detail: str
) -> None:
    damaged(change)(place.archive)
    message = place.refused(rf"x\.zip: not a readable zip \({detail}")
    assert message.endswith("Delete it and run again to download it afresh.")


def test_a_missing_archive_names_the_stage_that_makes_it(place: Place) -> None:
    with pytest.raises(
        ValueError, match=r"x\.zip: expected a zip, found nothing\. Run .*: dvc repro download"
    ):
        place.run()


@pytest.mark.parametrize(
    "name",
    [
        "../evil.png",
        "train/ants/../../../evil.png",
        "/abs.png",
        "C:\\x.png",
        "C:/x.png",
        "..\\win.png",
        "a\nb.png",
    ],
)
def test_an_unsafe_path_condemns_the_whole_archive(place: Place, name: str) -> None:
    message = place.refused(r"x\.zip: unsafe path '", {**tree(), name: picture()})
    assert repr(name) in message


def entry(name: str, **attributes: Any) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def test_a_link_in_the_archive_is_refused(place: Place) -> None:
    zipped(place.archive, tree())
    with zipfile.ZipFile(place.archive, "a") as archive:
        archive.writestr(
            entry("train/ants/link.png", external_attr=(stat.S_IFLNK | 0o777) << 16), "/etc/passwd"
        )
    place.refused(r"x\.zip: link or special file 'train/ants/link\.png'")


def test_an_encrypted_file_is_refused(place: Place) -> None:
    content = zipped(place.archive, tree()).read_bytes()
    at = content.index(b"PK\x01\x02") + 8
    place.archive.write_bytes(content[:at] + b"\x01" + content[at + 1 :])
    place.refused(r"x\.zip: encrypted file 'train/ants/0\.png'")


def test_an_unusual_compression_is_refused(place: Place) -> None:
    zipped(place.archive, tree(), compression=zipfile.ZIP_BZIP2)
    place.refused("neither stored nor deflated")


def test_a_name_over_255_bytes_is_refused(place: Place) -> None:
    place.refused(
        "name longer than 255 bytes: 'train/ants/é",
        {**tree(), f"train/ants/{'é' * 130}.png": picture()},
    )


@pytest.mark.parametrize("twin", ["train/ants/0.png", "train/ants/0.PNG", "./train//ants/0.png"])
def test_two_files_of_one_name_are_refused(place: Place, twin: str) -> None:
    zipped(place.archive, tree())
    with zipfile.ZipFile(place.archive, "a") as archive:
        archive.NameToInfo.clear()  # or zipfile itself would warn
        archive.writestr(twin, picture(99))
    place.refused(r"x\.zip: two files are named 'train/ants/0\.(png|PNG)'")


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (
            {"max_total_mb": 20, "max_file_mb": 100, "max_ratio": 2000},
            "30 MB unpacked, expected at most dataset.max_total",
        ),
        (
            {"max_file_mb": 10, "max_ratio": 2000},
            "30 MB, more than dataset.max_file_mb=10, in 'train/ants/zeros.bmp'",
        ),
        (
            {"max_file_mb": 100},
            "packed more than dataset.max_ratio=200 times smaller: 'train/ants/zeros.bmp'",
        ),
        (
            {"max_file_mb": 100, "max_ratio": 2000, "max_files": 5},
            "13 entries, expected at most dataset.max_files=5",
        ),
    ],
)
def test_an_archive_bomb_is_refused_before_it_is_unpacked(
    place: Place, limit: dict[str, Any], message: str
) -> None:
    zipped(
        place.archive,
        {**tree(), "train/ants/zeros.bmp": bytes(30_000_000)},
        compression=zipfile.ZIP_DEFLATED,
    )
    assert place.archive.stat().st_size < 50_000
    place.refused(message, **limit)


def test_a_full_disk_is_noticed_before_the_work(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 0)
    )
    place.refused(
        r"processed: need 3\.1 MB, 0\.0 MB are free\. Free some space and run again\.",
        tree(),
        store_px=256,
    )


@pytest.fixture
def files_up_to_ten_kilobytes() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_half_way_leaves_nothing(
    place: Place, files_up_to_ten_kilobytes: None
) -> None:
    place.refused(
        r"processed: not written \(File too large\)\. Nothing was changed", tree(), store_px=64
    )


# ---------------------------------------------------------------- the layout


def test_the_outputs_are_exactly_the_promised_files(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.run(tree())
    assert sorted(listing(place.out)) == OUTPUTS
    known = {"dataset": "tiny", "classes": ["ants", "bees"], "store_px": 8}
    assert files.read_json(place.out / "classes.json") == known
    assert place.rows("class_counts.csv") == [
        {"class": name, "train": "3", "test": "3"} for name in ("ants", "bees")
    ]
    assert place.rows("skipped.csv") == []
    assert place.rows("train/manifest.csv")[1] == {
        **{
            "id": "train/ants/1.png",
            "split": "train",
            "label": "ants",
            "width": "12",
            "height": "10",
        },
        **{"stored_width": "10", "stored_height": "8", "offset": "240"},
        "sha256": hashlib.sha256(picture(1)).hexdigest(),
    }
    assert capsys.readouterr().out == "6 training and 6 test images of 2 classes.\n"


def test_the_same_archive_gives_the_same_bytes(place: Place) -> None:
    place.run(tree())
    first = listing(place.out)
    place.run()
    assert listing(place.out) == first


CLUTTER = [
    "__MACOSX/train/ants/._0.png",
    "d/train/.DS_Store",
    "d/train/ants/._a.png",
    "d/val/bees/Thumbs.db",
]


def test_a_top_folder_is_taken_off_and_clutter_is_counted(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = {
        "d/train/.ipynb_checkpoints/a.png": picture(90),
        "d/README.txt": b"hello",
        "LICENSE": b"free",
    }
    place.run(
        {f"d/{name}": content for name, content in tree().items()}
        | dict.fromkeys(CLUTTER, b"?")
        | checkpoints
    )
    assert place.rows("train/manifest.csv")[0]["id"] == "train/ants/0.png"
    assert place.skipped() == {
        "LICENSE": "ignored: outside the class folders",
        "README.txt": "ignored: outside the class folders",
        "__MACOSX/train/ants/._0.png": "ignored: __MACOSX",
        "train/.DS_Store": "ignored: .DS_Store",
        "train/.ipynb_checkpoints/a.png": "ignored: .ipynb_checkpoints",
        "train/ants/._a.png": "ignored: ._*",
        "val/bees/Thumbs.db": "ignored: Thumbs.db",
    }
    assert "Ignored 7 files (2 outside, 1 __MACOSX, 1 .DS_Store" in capsys.readouterr().out


def test_the_order_of_classes_is_the_configured_one_else_alphabetical(place: Place) -> None:
    place.run(tree(("wasps", "ants", "bees")), classes=("wasps", "ants"))
    assert files.read_json(place.out / "classes.json")["classes"] == ["wasps", "ants"]
    assert place.skipped()["train/bees/0.png"] == "ignored: its folder is not in dataset.classes"
    place.run(tree(("wasps", "ants", "bees")))
    assert files.read_json(place.out / "classes.json")["classes"] == ["ants", "bees", "wasps"]


def test_a_configured_class_that_is_missing_is_named(place: Place) -> None:
    message = (
        r"expected the classes \['ants', 'wasps'\] of dataset\.classes in train, found "
        r"ants, bees\. Missing: wasps"
    )
    place.refused(message, tree(), classes=("ants", "wasps"))


def test_images_in_folders_below_a_class_belong_to_it(place: Place) -> None:
    place.run({**tree(), "train/ants/red/a.png": picture(50)})
    assert [row["label"] for row in place.rows("train/manifest.csv")].count("ants") == 4


def test_different_classes_in_train_and_test_are_refused_and_listed(place: Place) -> None:
    members = {**tree(("ants", "bees", "cats"), ("train",)), **tree(("ants", "cats"), ("val",))}
    place.refused(
        (
            "expected the same classes in train and test, found ants, bees, cats in train and "
            "ants, "
            "cats in"
        ),
        members,
    )


def test_one_class_is_not_enough(place: Place) -> None:
    place.refused(r"need at least 2 classes, found 1 \(ants\)", tree(("ants",)))
    place.refused(r"need at least 2 classes, found 1 \(ants\)", top_classes("ants"), **TOP_CLASSES)


def top_classes(*names: str, count: int = 8) -> dict[str, bytes]:
    return {
        f"{name}/{i:02d}.png": picture(100 * k + i)
        for k, name in enumerate(names)
        for i in range(count)
    }


@pytest.mark.parametrize("top", ["", "flowers/"])
def test_class_folders_at_the_top_are_split_by_the_seed(place: Place, top: str) -> None:
    members = {f"{top}{name}": content for name, content in top_classes("rose", "tulip").items()}
    tested = []
    for seed in (0, 0, 1):
        place.run(members, split_seed=seed, **TOP_CLASSES)
        assert place.rows("class_counts.csv") == [
            {"class": c, "train": "6", "test": "2"} for c in ("rose", "tulip")
        ]
        train, test = (
            {row["id"] for row in place.rows(f"{split}/manifest.csv")} for split in SPLITS
        )
        assert train | test == set(top_classes("rose", "tulip")) and not train & test
        tested.append(test)
    assert tested[0] == tested[1] != tested[2]


def test_an_unreadable_image_moves_no_other_to_the_other_split(place: Place) -> None:
    members = top_classes("rose", "tulip")
    place.run(members, **TOP_CLASSES)
    before = {
        row["id"]: row["split"] for split in SPLITS for row in place.rows(f"{split}/manifest.csv")
    }
    bad = next(name for name, split in before.items() if split == "train")
    place.run({**members, bad: b"broken"}, on_bad_image="skip", **TOP_CLASSES)
    after = {
        row["id"]: row["split"] for split in SPLITS for row in place.rows(f"{split}/manifest.csv")
    }
    assert after == {name: split for name, split in before.items() if name != bad}


def test_too_few_files_to_split_are_refused(place: Place) -> None:
    members = {**top_classes("rose"), **top_classes("tulip", count=2)}
    place.refused(
        r"expected at least 3 files of class 'tulip' \(2 to train, 1 to test\), got 2",
        members,
        **TOP_CLASSES,
    )


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"a.png": picture(), "b.png": picture(1)}, "found the folders: none; files at the top: 2"),
        (
            tree(splits=("training", "testing")),
            "found the folders: testing/ants, testing/bees, training/ants",
        ),
        (tree(splits=("train",)), "found the folders: train/ants, train/bees; files at the top: 0"),
        ({"a/b/c/train/ants/x.png": picture()}, "found the folders: a/b/c/train/ants"),
        ({}, "found the folders: none"),
    ],
    ids=["flat", "other names", "no test", "too deep", "empty"],
)
def test_a_wrong_layout_shows_what_was_expected_and_what_was_found(
    place: Place, members: dict[str, bytes], found: str
) -> None:
    message = place.refused(
        r"x\.zip: expected\n  train/<class>/<image>\.jpg\n  val/<class>/<image>\.jpg\nfound",
        members,
    )
    assert found in message and "Set dataset.train_folder and dataset.test_folder" in message


def test_images_without_class_folders_are_refused(place: Place) -> None:
    message = place.refused(
        r"x\.zip: expected\n  <class>/<image>\.jpg\nfound", {"a.png": picture()}, **TOP_CLASSES
    )
    assert message.endswith(
        "Put the images of every class into a folder of its own, named like the class."
    )


# ---------------------------------------------------------------- the images


def test_what_is_no_photograph_is_left_out_and_listed_with_the_reason(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    gif = saved(Image.new("L", (5, 5)), "GIF")
    others = {
        "train/ants/imageNotFound.gif": gif,
        "train/ants/notes.txt": b"hello",
        "val/bees/renamed.jpg": gif,
    }
    place.run({**tree(), **others, "train/ants/formica.jpeg": picture(70, kind="JPEG")})
    no_image = "left out: is not a JPEG, PNG, WEBP, BMP, TIFF or PPM image"
    assert place.skipped() == {
        "train/ants/imageNotFound.gif": f"{no_image} but GIF",
        "train/ants/notes.txt": no_image,
        "val/bees/renamed.jpg": f"{no_image} but GIF",
    }
    assert place.rows("class_counts.csv")[0] == {"class": "ants", "train": "4", "test": "3"}
    assert "Left out 3 files (2 GIF, 1 not an image)." in capsys.readouterr().out


@pytest.mark.parametrize("name", [*NOT_USABLE, "empty"])
def test_a_bad_image_is_named_with_its_reason_and_the_option(place: Place, name: str) -> None:
    content, reason = NOT_USABLE.get(name, (b"", "is empty"))
    members = {**tree(), "train/bees/bad.jpg": content}
    message = place.refused(
        rf"images that cannot be used: 1\n  train/bees/bad\.jpg: {reason}", members
    )
    assert message.endswith("leave them out: -S dataset.on_bad_image=skip")
    place.run(on_bad_image="skip")
    assert place.skipped()["train/bees/bad.jpg"].startswith(reason.replace("\\", ""))
    assert place.rows("class_counts.csv")[1] == {"class": "bees", "train": "3", "test": "3"}


def test_of_many_bad_images_ten_are_shown_and_the_rest_counted(place: Place) -> None:
    message = place.refused(
        "cannot be used: 12", {**tree(), **{f"val/ants/bad{i}.png": b"bad" for i in range(12)}}
    )
    assert message.count("val/ants/bad") == 10 and "and 2 more" in message


def test_a_class_without_a_usable_image_is_named_with_the_reasons(place: Place) -> None:
    members = {
        name: content for name, content in tree().items() if not name.startswith("train/bees")
    }
    bad = {"train/bees/a.jpg": b"", "train/bees/b.gif": saved(Image.new("L", (5, 5)), "GIF")}
    message = place.refused(
        "class 'bees' in train has no usable image", {**members, **bad}, on_bad_image="skip"
    )
    assert (
        "files left out: 2\n  train/bees/a.jpg: is empty\n  train/bees/b.gif: left out: is not a "
        "JPEG"
    ) in message


def test_an_empty_class_folder_is_no_missing_class(place: Place) -> None:
    members = {name: content for name, content in tree().items() if not name.startswith("val/bees")}
    place.refused(
        "class 'bees' in test has no usable image, expected at least 1",
        {**members, "val/bees/": b""},
    )


def test_one_training_image_is_not_enough(place: Place) -> None:
    members = {
        name: content
        for name, content in tree().items()
        if name not in ("train/ants/1.png", "train/ants/2.png")
    }
    place.refused("class 'ants' in train has 1 usable image, expected at least 2", members)


def test_the_same_image_in_train_and_test_is_refused_unless_allowed(place: Place) -> None:
    members = {**tree(), "val/bees/copy.png": tree()["train/ants/0.png"]}
    message = place.refused(
        r"same image is in train and in test:\n  train/ants/0\.png = val/bees/copy\.png", members
    )
    assert message.endswith("accept it: -S dataset.on_duplicate=allow")
    place.run(on_duplicate="allow")
    assert len(place.rows("test/manifest.csv")) == 7


# ---------------------------------------------------------------- all or nothing


def test_a_failed_attempt_keeps_the_earlier_results_and_every_other_file(place: Place) -> None:
    place.out.mkdir()
    (place.out / "notes.txt").write_text("mine")
    (place.out / "train").mkdir()
    (place.out / "train" / "notes.txt").write_text("mine too")
    place.run(tree())
    before = listing(place.out)
    assert sorted(before) == sorted([*OUTPUTS, "notes.txt", "train/notes.txt"])
    with pytest.raises(ValueError, match="cannot be used: 1"):
        place.run({**tree(), "train/ants/bad.jpg": b"bad"})
    assert listing(place.out) == before


@pytest.mark.parametrize("crash", ["_write_tables", "write_samples", "_prepare"])
def test_an_interrupted_attempt_leaves_nothing_and_the_next_one_succeeds(
    place: Place, monkeypatch: pytest.MonkeyPatch, crash: str
) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pixels, crash, interrupt)
        place.run(tree())
    assert os.listdir(place.root) == ["x.zip"]
    place.run(tree())
    assert sorted(listing(place.out)) == OUTPUTS


def test_remains_of_a_killed_attempt_are_cleared_away(place: Place) -> None:
    remains = place.root / ".processed.part" / "train" / "images.bin"
    remains.parent.mkdir(parents=True)
    remains.write_bytes(b"half an image")
    place.run(tree())
    assert sorted(os.listdir(place.root)) == ["processed", "x.zip"]
    assert sorted(listing(place.out)) == OUTPUTS


# ---------------------------------------------------------------- reading back


@pytest.fixture
def train(place: Place) -> Path:
    place.run(
        {
            **tree(),
            "train/bees/tall.png": picture(60, (9, 33)),
            "train/bees/x.jpg": picture(61, (30, 40), "JPEG"),
        }
    )
    return place.out / "train"


def test_stored_pixels_are_those_that_decode_gives_for_the_same_file(train: Path) -> None:
    images = load_images(train, ("ants", "bees"))
    assert len(images) == 8 and images.labels.tolist() == [0] * 3 + [1] * 5
    assert images.ids[-2:] == ("train/bees/tall.png", "train/bees/x.jpg")
    assert images[6].shape == (29, 8, 3)
    with zipfile.ZipFile(train.parents[1] / "x.zip") as archive:
        for index, name in enumerate(images.ids):
            assert np.array_equal(images[index], decoded(archive.read(name), shorter_px=8)), name


def test_images_are_read_only_views_of_the_file(train: Path) -> None:
    images = load_images(train, ("ants", "bees"))
    assert np.shares_memory(images[0], images.pixels) and not images[0].flags.writeable


def test_labels_count_in_the_order_of_the_given_classes(train: Path) -> None:
    assert load_images(train, ("bees", "wasps", "ants")).labels.tolist() == [2] * 3 + [0] * 5


def test_the_digest_names_the_data(place: Place, train: Path) -> None:
    digests = [load_images(train, ("ants", "bees")).digest]
    place.run()
    digests.append(load_images(train, ("ants", "bees")).digest)
    place.run(store_px=9)
    digests.append(load_images(train, ("ants", "bees")).digest)
    place.run({**tree(), "train/ants/0.png": picture(80)})
    digests.append(load_images(train, ("ants", "bees")).digest)
    assert digests[0] == digests[1] and len(set(digests)) == 3


def test_an_unknown_label_stops_with_the_known_ones(train: Path) -> None:
    with pytest.raises(ValueError, match=r"manifest\.csv: label 'bees' not in \['ants', 'wasps'\]"):
        load_images(train, ("ants", "wasps"))


@pytest.mark.parametrize("size", [0, 100])
def test_pixels_that_do_not_belong_to_the_manifest_are_refused(train: Path, size: int) -> None:
    with (train / "images.bin").open("r+b") as file:
        file.truncate(size)
    with pytest.raises(
        ValueError,
        match=rf"images\.bin: expected \d+ bytes, got {size}\. .* dvc repro -f preprocess",
    ):
        load_images(train, ("ants", "bees"))


def test_a_folder_without_a_manifest_names_the_stage_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"expected manifest\.csv and images\.bin\. Run: dvc repro preprocess"
    ):
        load_images(tmp_path, ("ants", "bees"))


@pytest.mark.parametrize(
    ("classes", "height"), [(2, 2 * 354 + 8), (5, 5 * 354 + 8), (7, 5 * 354 + 8 + 34)]
)
def test_the_sample_sheet_shows_up_to_five_classes(place: Place, classes: int, height: int) -> None:
    place.run(tree(tuple(f"class {number}" for number in range(classes))))
    with Image.open(place.out / "samples.png") as sheet:
        assert sheet.size == (968, height)


# ---------------------------------------------------------------- a folder of one's own


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    for name, content in tree().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def test_a_packed_folder_is_preprocessed_like_any_archive(place: Place, folder: Path) -> None:
    (folder / "val" / "bees" / ".DS_Store").write_bytes(b"?")
    pack.pack_folder(folder, place.archive)
    place.run()
    assert place.rows("class_counts.csv")[0] == {"class": "ants", "train": "3", "test": "3"}
    assert place.skipped() == {"val/bees/.DS_Store": "ignored: .DS_Store"}


def test_packing_depends_on_names_and_bytes_alone(tmp_path: Path, folder: Path) -> None:
    pack.pack_folder(folder, tmp_path / "a.zip")
    for path in folder.rglob("*"):
        os.utime(path, (0, 0))
        path.chmod(0o700)
    pack.pack_folder(folder, tmp_path / "b.zip")
    assert files.file_hash(tmp_path / "a.zip") == files.file_hash(tmp_path / "b.zip")


def test_an_empty_class_folder_survives_packing(place: Place, folder: Path) -> None:
    (folder / "train" / "wasps").mkdir()
    (folder / "val" / "wasps").mkdir()
    pack.pack_folder(folder, place.archive)
    with pytest.raises(ValueError, match="class 'wasps' in train has no usable image"):
        place.run()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/etc", "link that leaves the folder, to /etc"),
        ("/etc/hostname", "link that leaves the folder"),
        ("../..", "link that leaves the folder"),
        ("..", "link to a folder"),
        (".", "link to a folder"),
        ("nowhere", "link that leads nowhere"),
        ("link", "link that leads nowhere"),
    ],
)
def test_a_link_that_leaves_the_folder_or_loops_is_refused(
    tmp_path: Path, folder: Path, target: str, message: str
) -> None:
    (folder / "train" / "link").symlink_to(target)
    with pytest.raises(ValueError, match=f"train/link: {message}"):
        pack.pack_folder(folder, tmp_path / "a.zip")
    with pytest.raises(ValueError, match=f"train/link: {message}"):
        pack.folder_sha256(folder)
    assert not list(tmp_path.glob("*.zip*"))


def test_a_link_to_a_file_inside_is_packed_as_that_file(tmp_path: Path, folder: Path) -> None:
    (folder / "train" / "ants" / "9.png").symlink_to("0.png")
    pack.pack_folder(folder, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.read("train/ants/9.png") == archive.read("train/ants/0.png")


def test_a_special_file_is_refused_and_not_waited_for(tmp_path: Path, folder: Path) -> None:
    os.mkfifo(folder / "train" / "pipe")
    with pytest.raises(ValueError, match="train/pipe: neither a file nor a folder"):
        pack.pack_folder(folder, tmp_path / "a.zip")


def test_a_name_that_is_not_text_is_refused(tmp_path: Path, folder: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    with pytest.raises(ValueError, match="name that is not UTF-8"):
        pack.pack_folder(folder, tmp_path / "a.zip")


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    for use in (pack.folder_sha256, lambda path: pack.pack_folder(path, tmp_path / "a.zip")):
        with pytest.raises(
            ValueError,
            match=r"dataset\.path: expected a zip, or a folder .*, found nothing at .*missing",
        ):
            use(tmp_path / "missing")


def test_packing_onto_a_full_disk_is_refused_first(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 0)
    )
    with pytest.raises(ValueError, match=r"need 0\.0 MB, 0\.0 MB are free"):
        pack.pack_folder(folder, tmp_path / "a.zip")
    assert not list(tmp_path.glob("*.zip*"))


def test_packing_that_fails_half_way_leaves_nothing(
    tmp_path: Path, folder: Path, files_up_to_ten_kilobytes: None
) -> None:
    for number in range(100):
        (folder / f"{number}.png").write_bytes(bytes(200))
    with pytest.raises(
        ValueError, match=r"mine: could not be packed into .*a\.zip \(\[Errno 27\] File too large"
    ):
        pack.pack_folder(folder, tmp_path / "a.zip")
    assert os.listdir(tmp_path) == ["mine"]


def test_the_digest_of_a_folder_is_that_of_its_sha256sum_listing(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_bytes(b"1")
    (tmp_path / "a").write_bytes(b"2")
    lines = [
        f"{hashlib.sha256(c).hexdigest()}  {name}\n" for name, c in (("a", b"2"), ("b/x", b"1"))
    ]
    assert pack.folder_sha256(tmp_path) == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert pack.folder_sha256(tmp_path / "a") == files.file_hash(tmp_path / "a")


@pytest.mark.parametrize(
    ("change", "noticed"),
    [
        (lambda root: (root / "train/ants/0.png").write_bytes(b"other"), True),
        (lambda root: (root / "train/ants/0.png").unlink(), True),
        (lambda root: (root / "train/ants/0.png").rename(root / "train/ants/z.png"), True),
        (lambda root: (root / "train/bees/new.png").write_bytes(b"new"), True),
        (lambda root: (root / "train/ants/0.png").touch(), False),
        (lambda root: (root / "train/.DS_Store").write_bytes(b"?"), False),
    ],
    ids=["replaced", "removed", "renamed", "added", "touched", "clutter"],
)
def test_the_digest_of_a_folder_notices_what_matters(
    folder: Path, change: Callable[[Path], Any], noticed: bool
) -> None:
    before = pack.folder_sha256(folder)
    change(folder)
    assert (pack.folder_sha256(folder) != before) == noticed


# ---------------------------------------------------------------- the real data


def test_the_ants_and_bees_are_244_and_153_and_the_gif_is_listed(tmp_path: Path) -> None:
    archive = Path(places.mirror() or "") / "hymenoptera_data.zip"
    if not archive.is_file():
        pytest.skip("set TRANSFERLAB_MIRROR to a folder that holds hymenoptera_data.zip")
    limits = {"max_total_mb": 1000, "max_megapixels": 50}
    preprocess(archive, dataset(classes=("ants", "bees"), store_px=32, **limits), tmp_path)
    counts = [list(row.values()) for row in files.read_csv(tmp_path / "class_counts.csv")]
    assert counts == [["ants", "123", "70"], ["bees", "121", "83"]]
    assert [row["id"] for row in files.read_csv(tmp_path / "skipped.csv")] == [
        "train/ants/imageNotFound.gif"
    ]
    assert "train/ants/formica.jpeg" in load_images(tmp_path / "train", ("ants", "bees")).ids
