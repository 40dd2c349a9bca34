"""Files of one's own are what composition saw, or absent; a change is refused."""

import logging
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from archives import dataset

from transferlab.data.archive import digests, own, pack
from transferlab.data.archive.digests import file_digests
from transferlab.pipeline import files


@pytest.fixture
def birds(own_home: Path) -> Path:
    for name in ("ants/a.jpg", "bees/b.jpg"):
        (own_home / "birds" / name).parent.mkdir(parents=True)
        (own_home / "birds" / name).write_bytes(name.encode())
        settle(own_home / "birds" / name)
    return own_home / "birds"


def settle(path: Path) -> None:
    """As if it had been written long ago; its change time cannot be set."""
    os.utime(path, (time.time() - 100, time.time() - 100))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose bytes are read, in order."""
    seen: list[str] = []

    def file_hash(path: Path, *arguments: Any) -> str:
        seen.append(path.name)
        return real(path, *arguments)

    real = files.file_hash
    monkeypatch.setattr(files, "file_hash", file_hash)
    monkeypatch.setattr(digests, "SETTLED_SECONDS", -1.0)  # of the change time
    return seen


def test_images_that_are_what_they_were_pass(birds: Path) -> None:
    seen = dataset(path="birds", path_sha256=pack.folder_sha256(birds))
    own.check_images(seen)
    own.check_images(replace(seen, path=None, url="http://data.invalid/a.zip"))


@pytest.mark.parametrize("edit", ["bytes", "name", "new", "gone", "to a file"])
def test_changed_images_are_refused_with_what_to_do(birds: Path, edit: str) -> None:
    seen = dataset(path="birds", path_sha256=pack.folder_sha256(birds))
    image = birds / "ants/a.jpg"
    if edit == "bytes":
        image.write_bytes(b"another")
    elif edit == "name":
        image.rename(birds / "bees/a.jpg")
    elif edit == "new":
        (birds / "ants/c.jpg").write_bytes(b"new")
    else:
        image.unlink()
    if edit == "to a file":
        image.parent.rmdir()
        image.parent.write_bytes(b"")
    with pytest.raises(
        ValueError,
        match=r"^dataset\.path: expected .*/birds as it was when params\.yaml was composed, got "
        r"other content\. Compose again, with the same settings: transferlab compose && dvc repro, "
        r"or dvc exp run\.$",
    ):
        own.check_images(seen)


def test_absent_images_are_as_they_were_recorded_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    own.check_images(dataset(path="birds", path_sha256="0" * 64))
    own.check_file("mine.pth", sha256="0" * 64, key="backbone.weights")
    assert [record.getMessage() for record in caplog.records] == [
        "dataset.path: birds is not here, so what was recorded of it stands.",
        "backbone.weights: mine.pth is not here, so what was recorded of it stands.",
    ]


def test_a_changed_file_of_weights_is_refused(own_home: Path) -> None:
    (own_home / "mine.pth").write_bytes(b"mine")
    sha256 = files.file_hash(own_home / "mine.pth")
    own.check_file("mine.pth", sha256=sha256, key="backbone.weights")
    own.check_file("official", sha256=None, key="backbone.weights")
    (own_home / "mine.pth").write_bytes(b"yours")
    with pytest.raises(ValueError, match=r"backbone\.weights: .*mine\.pth changed since params"):
        own.check_file("mine.pth", sha256=sha256, key="backbone.weights")


def test_weights_of_a_mirror_are_compared_and_what_is_fetched_is_not_called_absent(
    own_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    monkeypatch.setenv("TRANSFERLAB_MIRROR", str(mirror))
    (mirror / "mine.pth").write_bytes(b"mine")
    sha256 = files.file_hash(mirror / "mine.pth")
    own.check_file("mine.pth", sha256=sha256, key="backbone.weights")
    own.check_file("http://data.invalid/a.pth", sha256=sha256, key="backbone.weights")
    with pytest.raises(ValueError, match=r"backbone\.weights: .*mirror/mine\.pth changed since"):
        own.check_file("mine.pth", sha256="0" * 64, key="backbone.weights")
    monkeypatch.setenv("TRANSFERLAB_MIRROR", "http://data.invalid")
    own.check_file("mine.pth", sha256=sha256, key="backbone.weights")
    assert not caplog.records


def test_a_file_is_read_again_only_where_it_changed(birds: Path, read: list[str]) -> None:
    first = pack.folder_sha256(birds)
    assert read == ["a.jpg", "b.jpg"]
    assert pack.folder_sha256(birds) == first
    assert read == ["a.jpg", "b.jpg"]
    times = (birds / "ants/a.jpg").stat()
    (birds / "ants/a.jpg").write_bytes(b"ANTS/A.JPG")
    os.utime(birds / "ants/a.jpg", ns=(times.st_atime_ns, times.st_mtime_ns))  # and of that size
    assert pack.folder_sha256(birds) != first
    assert read[2:] == ["a.jpg"]


@pytest.mark.parametrize("damage", ["[", "3", '{"ants/a.jpg": 3}', '{"ants/a.jpg": [[], "0"]}'])
def test_a_damaged_index_costs_time_and_no_truth(birds: Path, read: list[str], damage: str) -> None:
    first = pack.folder_sha256(birds)
    (index,) = (birds.parent / ".cache/transferlab/digests").iterdir()
    index.write_text(damage)
    assert pack.folder_sha256(birds) == first


def test_a_file_that_changed_just_now_is_read_again(birds: Path) -> None:
    assert file_digests(birds, {"a": birds / "ants/a.jpg"}) == {
        "a": files.file_hash(birds / "ants/a.jpg")
    }
    assert not list((birds.parent / ".cache/transferlab/digests").iterdir())
