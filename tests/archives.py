"""Small archives of drawn images, and where the stage preprocess takes and leaves them."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transferlab.data.images import Pixels
from transferlab.data.ingest.decode import decode
from transferlab.data.ingest.pixels import preprocess
from transferlab.params.dataset import Dataset
from transferlab.pipeline import files

CLASSES = ("robin", "wren")

OUTPUTS = [
    *("class_counts.csv", "classes.json", "given.csv", "samples.png", "skipped.csv"),
    *("test/images.bin", "test/manifest.csv", "train/images.bin", "train/manifest.csv"),
]


def dataset(**changes: Any) -> Dataset:
    """A small data set in folders train and val."""
    values: dict[str, Any] = {
        **{
            "name": "tiny",
            "path": "x.zip",
            "url": None,
            "sha1": None,
            "sha256": None,
            "contents_sha256": None,
        },
        **{
            "path_sha256": None,
            "textures": None,
            "columns": None,
            "images_folder": None,
            "zip_encoding": None,
            "labels": "folders",
            "classes": None,
            "train_folder": "train",
            "validation_folder": None,
            "validation": "use",
            "test_folder": "val",
        },
        **{
            "test_fraction": None,
            "split_seed": 0,
            "imagenet": None,
            "store_px": 8,
            "enlarge": False,
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


def picture(number: int = 0, size: tuple[int, int] = (12, 10), kind: str = "PNG") -> bytes:
    """An image file of two colours that differs from every other number's."""
    left, right = np.random.default_rng(number).integers(0, 256, (2, 3)).tolist()
    image = Image.new("RGB", size, tuple(left))
    image.paste(tuple(right), (size[0] // 2, 0, *size))
    return saved(image, kind)


def grain(number: int) -> bytes:
    """An image file that looks like no other number's."""
    values = np.random.default_rng(number).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    return saved(Image.fromarray(values))


def photographs(folder: Path, count: int = 5) -> Path:
    """A folder with two classes of images, of which no two look alike."""
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            content = grain(number + 100 * CLASSES.index(name))
            (folder / name / f"{number}.png").write_bytes(content)
    return folder


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


def decoded(content: bytes, **options: Any) -> Pixels:
    return decode(io.BytesIO(content), max_megapixels=1, **options)


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
    "random": (bytes(range(1, 200)), "is not a JPEG, PNG, WEBP, AVIF, BMP, TIFF or PPM image"),
    "web page": (b"<!doctype html><html>Not found</html>", "is not a JPEG"),
    "bomb": (bomb_header(), r"has 400\.0 megapixels, more than dataset\.max_megapixels=1"),
    "thin": (picture(0, (200, 2)), "is 200 x 2 pixels, one side over 50 times the other"),
}
