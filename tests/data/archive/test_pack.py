"""A folder of one's own becomes an archive that depends on names and bytes alone."""

import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from archives import Place

from transferlab.data.archive import pack
from transferlab.data.archive.request import Limits, TooMuch
from transferlab.pipeline import files

LIMITS = Limits(max_total_mb=1, total_key="dataset.max_total_mb")


def test_a_packed_folder_is_preprocessed_like_any_archive(place: Place, folder: Path) -> None:
    (folder / "val" / "bees" / ".DS_Store").write_bytes(b"?")
    pack.pack_folder(folder, place.archive, LIMITS)
    place.run()
    assert place.rows("class_counts.csv")[0] == {"class": "ants", "train": "3", "test": "3"}
    assert place.skipped() == {"val/bees/.DS_Store": "ignored: .DS_Store"}


def test_packing_depends_on_names_and_bytes_alone(tmp_path: Path, folder: Path) -> None:
    pack.pack_folder(folder, tmp_path / "a.zip", LIMITS)
    for path in folder.rglob("*"):
        os.utime(path, (0, 0))
        path.chmod(0o700)
    pack.pack_folder(folder, tmp_path / "b.zip", LIMITS)
    assert files.file_hash(tmp_path / "a.zip") == files.file_hash(tmp_path / "b.zip")


def test_an_empty_class_folder_survives_packing(place: Place, folder: Path) -> None:
    (folder / "train" / "wasps").mkdir()
    (folder / "val" / "wasps").mkdir()
    pack.pack_folder(folder, place.archive, LIMITS)
    with pytest.raises(ValueError, match="of class 'wasps' in train, got 0"):
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
    with pytest.raises(ValueError, match=f"train/link: .*, got a {message}"):
        pack.pack_folder(folder, tmp_path / "a.zip", LIMITS)
    with pytest.raises(ValueError, match=f"train/link: .*, got a {message}"):
        pack.folder_sha256(folder)
    assert not list(tmp_path.glob("*.zip*"))


def test_a_link_to_a_file_inside_is_packed_as_that_file(tmp_path: Path, folder: Path) -> None:
    (folder / "train" / "ants" / "9.png").symlink_to("0.png")
    pack.pack_folder(folder, tmp_path / "a.zip", LIMITS)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.read("train/ants/9.png") == archive.read("train/ants/0.png")


def test_a_link_to_a_folder_inside_is_followed(tmp_path: Path, folder: Path) -> None:
    (folder / "train" / "wasps").symlink_to("ants")
    pack.pack_folder(folder, tmp_path / "a.zip", LIMITS)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.read("train/wasps/0.png") == archive.read("train/ants/0.png")


def test_links_into_a_dvc_cache_are_followed(tmp_path: Path, folder: Path) -> None:
    cached = tmp_path / "elsewhere/files/md5/0a" / ("b" * 30)
    cached.parent.mkdir(parents=True)
    (folder / "train/ants/0.png").rename(cached)
    (folder / "train/ants/0.png").symlink_to(cached)
    pack.pack_folder(folder, tmp_path / "a.zip", LIMITS)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.read("train/ants/0.png") == cached.read_bytes()


def test_a_special_file_is_refused_and_not_waited_for(tmp_path: Path, folder: Path) -> None:
    os.mkfifo(folder / "train" / "pipe")
    with pytest.raises(ValueError, match="train/pipe: expected a file or folder, got a pipe"):
        pack.pack_folder(folder, tmp_path / "a.zip", LIMITS)


def test_a_name_that_is_not_text_is_refused(tmp_path: Path, folder: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    with pytest.raises(ValueError, match="name that is not UTF-8"):
        pack.pack_folder(folder, tmp_path / "a.zip", LIMITS)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    for use in (
        pack.folder_sha256,
        lambda path: pack.pack_folder(path, tmp_path / "a.zip", LIMITS),
    ):
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
    with pytest.raises(ValueError, match=r"expected room for 1\.0 kB, got 0 bytes free"):
        pack.pack_folder(folder, tmp_path / "a.zip", LIMITS)
    assert not list(tmp_path.glob("*.zip*"))


def test_packing_that_fails_half_way_leaves_nothing(
    tmp_path: Path, folder: Path, files_up_to_ten_kilobytes: None
) -> None:
    for number in range(100):
        (folder / f"{number}.png").write_bytes(bytes(200))
    with pytest.raises(
        ValueError, match=r"mine: expected to pack it into .*a\.zip, got .*File too large"
    ):
        pack.pack_folder(folder, tmp_path / "a.zip", LIMITS)
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


def test_a_folder_larger_than_the_limit_is_refused_before_it_is_packed(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "train/ants/large.png").write_bytes(bytes(10**6))
    with pytest.raises(
        TooMuch,
        match=r"dataset\.path: .*mine: expected at most dataset\.max_total_mb=1 MB, got more\.",
    ):
        pack.pack_folder(folder, tmp_path / "a.zip", LIMITS)
    assert not (tmp_path / "a.zip").exists()
