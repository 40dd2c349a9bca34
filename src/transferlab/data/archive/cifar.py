"""CIFAR-10 as its authors publish it for other programs, a tar of records -> a zip of images."""

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ...pipeline import files, heartbeat
from .pack import entry_of

FOLDER = "cifar-10-batches-bin"

SIDE = 32

RECORD = 1 + 3 * SIDE * SIDE  # the label, then all of red, green and blue

BATCHES = {
    "train": [f"data_batch_{number}.bin" for number in range(1, 6)],
    "test": ["test_batch.bin"],
}


def is_cifar(path: Path) -> bool:
    """Whether a tar holds what the authors call the binary version."""
    try:
        with tarfile.open(path) as archive:
            first = archive.next()
            return first is not None and first.name.split("/")[0] == FOLDER
    except (tarfile.TarError, EOFError, zlib.error, OSError):
        return False


def cifar_to_zip(path: Path, archive: Path) -> None:
    """Write every image as a PNG, `train/<class>/<number>.png`, into a stored zip, atomically.

    The records hold no paths and are no pickle, which the version for Python is.

    Raises:
        ValueError: The tar is damaged, or a batch is not made of records.
    """
    try:
        with (
            tarfile.open(path) as source,
            files.atomic(archive, "wb") as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as target,
        ):
            for name, content in heartbeat.each(_images(source, path), "images unpacked"):
                target.writestr(entry_of(name), content)
    except (tarfile.TarError, EOFError, zlib.error, KeyError) as error:
        raise ValueError(
            f"{path}: expected the tar of CIFAR-10, got {error}. Fetch it again."
        ) from error


def _images(source: tarfile.TarFile, path: Path) -> Iterator[tuple[str, bytes]]:
    classes = _content(source, "batches.meta.txt").decode().split()
    for split, batches in BATCHES.items():
        number = 0
        for batch in batches:
            content = np.frombuffer(_content(source, batch), np.uint8)
            if not len(content) or len(content) % RECORD:
                raise ValueError(
                    f"{path}: expected records of {RECORD} bytes in {batch}, got {len(content)} "
                    "bytes. Fetch it again."
                )
            for record in content.reshape(-1, RECORD):
                if record[0] >= len(classes):
                    raise ValueError(
                        f"{path}: expected a label below {len(classes)} in {batch}, got "
                        f"{record[0]}. Fetch it again."
                    )
                yield f"{split}/{classes[record[0]]}/{number:05d}.png", _png(record[1:])
                number += 1


def _content(source: tarfile.TarFile, name: str) -> bytes:
    file = source.extractfile(f"{FOLDER}/{name}")
    assert file is not None  # `getmember` raises KeyError where it is not there
    return file.read()


def _png(planes: np.ndarray) -> bytes:
    """uint8 [3072] -> the bytes of a PNG."""
    file = io.BytesIO()
    pixels = planes.reshape(3, SIDE, SIDE).transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", compress_level=1)
    return file.getvalue()
