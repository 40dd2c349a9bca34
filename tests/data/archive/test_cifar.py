"""CIFAR-10's binary version becomes images of its classes, on an archive of the same shape."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from transferlab.data.archive import bring, cifar
from transferlab.data.images import load_images
from transferlab.data.ingest.pixels import preprocess
from transferlab.network import augment
from transferlab.params.reading import parse
from transferlab.pipeline.files import file_hash
from transferlab.settings import compose

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
EACH = 2  # images of every class in a batch


def record(label: int, number: int) -> bytes:
    """A label, and planes of red, green and blue that tell image, channel and row."""
    planes = np.zeros((3, 32, 32), np.uint8)
    planes += np.arange(3, dtype=np.uint8)[:, None, None] * 50
    planes += np.arange(32, dtype=np.uint8)[:, None]
    planes[:, :, 1] = number
    planes[:, :, 2] = label
    return bytes([label]) + planes.tobytes()


def batch(first: int) -> bytes:
    order = [label for _ in range(EACH) for label in range(10)]
    return b"".join(record(label, first + i) for i, label in enumerate(order))


def archive(path: Path, **changed: bytes) -> Path:
    """A tar.gz as the authors pack it, a few images in every batch."""
    names = [*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]
    members = {"batches.meta.txt": "\n".join([*CLASSES, "", ""]).encode()}
    members |= {name: batch(20 * i) for i, name in enumerate(names)}
    members |= {f"{name}.bin": content for name, content in changed.items()}
    with tarfile.open(path, "w:gz") as target:
        folder = tarfile.TarInfo(cifar.FOLDER)
        folder.type = tarfile.DIRTYPE
        target.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(f"{cifar.FOLDER}/{name}")
            info.size = len(content)
            target.addfile(info, io.BytesIO(content))
    return path


def test_records_become_the_images_of_their_classes(tmp_path: Path) -> None:
    path = archive(tmp_path / "cifar.tar.gz")
    assert cifar.is_cifar(path)
    cifar.cifar_to_zip(path, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as made:
        names = made.namelist()
        assert len([name for name in names if name.startswith("train/")]) == 5 * EACH * 10
        assert len([name for name in names if name.startswith("test/")]) == EACH * 10
        assert {name.split("/")[1] for name in names} == set(CLASSES)
        pixels = np.asarray(Image.open(io.BytesIO(made.read("train/bird/00022.png"))))
    assert pixels.shape == (32, 32, 3)
    expected = np.frombuffer(record(2, 22)[1:], np.uint8).reshape(3, 32, 32).transpose(1, 2, 0)
    assert (pixels == expected).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0" * 3074, "expected records of 3073 bytes in data_batch_3.bin, got 3074 bytes"),
        (b"", "expected records of 3073 bytes in data_batch_3.bin, got 0 bytes"),
        (b"\x0b" + b"\0" * 3072, "expected a label below 10 in data_batch_3.bin, got 11"),
    ],
)
def test_batch_that_is_not_made_of_records_is_refused(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = archive(tmp_path / "cifar.tar.gz", data_batch_3=content)
    with pytest.raises(ValueError, match=message):
        cifar.cifar_to_zip(path, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_images_are_stored_at_their_own_size_and_enlarged_in_the_view(
    tmp_path: Path, own_home: Path
) -> None:
    path = archive(tmp_path / "cifar-10-binary.tar.gz")
    settings = ["preset=source/cifar_partial", "dataset.url=null", f"dataset.path={path}"]
    settings += [f"dataset.path_sha256={file_hash(path)}", "dataset.sha256=null"]
    params = parse(yaml.safe_load(compose.compose(settings)))
    bring.bring(params.dataset, tmp_path / "raw")
    preprocess(tmp_path / "raw/archive.zip", params.dataset, tmp_path / "processed")
    train = load_images(tmp_path / "processed/train", CLASSES)
    assert len(train) == 5 * EACH * 10
    assert train.pixels.nbytes == len(train) * 3 * 32 * 32
    view = augment.test_view(train, [0], params.backbone.preprocessing)
    assert view.shape == (1, 3, 224, 224)


def test_official_archive_is_known_by_its_sha256() -> None:
    """The real one is 170 MB and was not at hand here."""
    dataset = parse(yaml.safe_load(compose.compose(["preset=source/cifar_frozen"]))).dataset
    assert dataset.url == "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    assert dataset.sha256 is not None
    assert dataset.classes == tuple(CLASSES)
