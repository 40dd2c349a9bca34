"""The archive, wherever it comes from, is whole and known, or not there."""

import hashlib
import http.server
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from transferlab.data.archive import bring, pack
from transferlab.data.archive.contents import contents_sha256
from transferlab.data.archive.request import Limits
from transferlab.params.dataset import Dataset
from transferlab.params.reading import parse
from transferlab.settings import compose

BASE = parse(yaml.safe_load(compose.compose(["preset=demo", "strategy=probe"]))).dataset
assert BASE.textures is not None
DRAWN = replace(BASE, textures=replace(BASE.textures, train_per_class=2, test_per_class=1, px=16))
NOWHERE = replace(DRAWN, textures=None)


def facts(folder: Path) -> dict[str, Any]:
    """What is written beside the archive; it must be true."""
    found: dict[str, Any] = json.loads((folder / "archive.json").read_text())
    assert sorted(path.name for path in folder.iterdir()) == ["archive.json", "archive.zip"]
    assert found["sha256"] == hashlib.sha256((folder / "archive.zip").read_bytes()).hexdigest()
    assert found["contents_sha256"] == contents_sha256(
        folder / "archive.zip", bring.limits_of(DRAWN)
    )
    assert list(found) == ["name", "origin", "sha256", "contents_sha256", "verified_by"]
    return found


def names(folder: Path) -> list[str]:
    with zipfile.ZipFile(folder / "archive.zip") as opened:
        return sorted(opened.namelist())


def own(path: str) -> Dataset:
    """The dataset as composition writes it for a path."""
    return replace(NOWHERE, name="birds", path=path, path_sha256=compose.hash_of_path(path))


def zipped(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("top/ants/a.jpg", b"ant")
        opened.writestr("top/bees/b.jpg", b"bee")
    return path.read_bytes()


@pytest.fixture
def birds(own_home: Path) -> Path:
    for name in ("ants/a.jpg", "bees/b.jpg"):
        (own_home / "birds" / name).parent.mkdir(parents=True)
        (own_home / "birds" / name).write_bytes(name.encode())
    return own_home / "birds"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A server of the folder `served`."""
    (tmp_path / "served").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "served"))

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing on the terminal of a test."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRANSFERLAB_MIRROR", raising=False)


def test_drawn_textures_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        bring.bring(DRAWN, tmp_path / folder)
    assert facts(tmp_path / "one") == facts(tmp_path / "two")
    assert facts(tmp_path / "one")["verified_by"] == "drawn"
    assert facts(tmp_path / "one")["origin"] == facts(tmp_path / "one")["name"] == "textures"
    assert len(names(tmp_path / "one")) == 4 * (2 + 1)


def test_a_downloaded_archive_is_verified_and_copied(tmp_path: Path, address: str) -> None:
    content = zipped(tmp_path / "served/birds.zip")
    sha1 = hashlib.sha1(content).hexdigest()
    bring.bring(
        replace(NOWHERE, name="birds", url=f"{address}/birds.zip", sha1=sha1), tmp_path / "raw"
    )
    found = facts(tmp_path / "raw")
    assert (found["name"], found["origin"], found["verified_by"]) == (
        "birds",
        f"{address}/birds.zip",
        "sha1",
    )
    assert (tmp_path / "raw/archive.zip").read_bytes() == content


def test_a_wrong_download_leaves_what_was_there(tmp_path: Path, address: str) -> None:
    zipped(tmp_path / "served/birds.zip")
    bring.bring(DRAWN, tmp_path / "raw")
    before = facts(tmp_path / "raw")
    with pytest.raises(ValueError, match="dataset"):
        bring.bring(replace(NOWHERE, url=f"{address}/birds.zip", sha1="0" * 40), tmp_path / "raw")
    assert facts(tmp_path / "raw") == before


def test_a_folder_of_ones_own_is_packed_with_its_origin_as_written(
    tmp_path: Path, birds: Path
) -> None:
    bring.bring(own("birds"), tmp_path / "raw")
    found = facts(tmp_path / "raw")
    assert (found["name"], found["origin"], found["verified_by"]) == ("birds", "birds", "path")
    assert [name for name in names(tmp_path / "raw") if not name.endswith("/")] == [
        "ants/a.jpg",
        "bees/b.jpg",
    ]


def test_where_a_folder_lies_does_not_show_in_the_archive(tmp_path: Path, birds: Path) -> None:
    bring.bring(own("birds"), tmp_path / "one")
    birds.rename(birds.with_name("moved"))
    bring.bring(own("moved"), tmp_path / "two")
    assert facts(tmp_path / "one")["sha256"] == facts(tmp_path / "two")["sha256"]


def test_a_zip_of_ones_own_is_copied(tmp_path: Path, own_home: Path) -> None:
    content = zipped(own_home / "birds.zip")
    bring.bring(own("birds.zip"), tmp_path / "raw")
    assert facts(tmp_path / "raw")["origin"] == "birds.zip"
    assert (tmp_path / "raw/archive.zip").read_bytes() == content


def test_a_folder_that_changed_since_composition_is_refused(tmp_path: Path, birds: Path) -> None:
    dataset = own("birds")
    bring.bring(dataset, tmp_path / "raw")
    before = facts(tmp_path / "raw")
    (birds / "ants/a.jpg").write_bytes(b"changed")
    with pytest.raises(
        ValueError,
        match=r"dataset.path: expected .*birds as it was when .* settings: transferlab compose",
    ):
        bring.bring(dataset, tmp_path / "raw")
    assert facts(tmp_path / "raw") == before


def test_a_damaged_zip_of_ones_own_is_named_as_its_own(tmp_path: Path, own_home: Path) -> None:
    content = zipped(own_home / "birds.zip")
    (own_home / "birds.zip").write_bytes(content.replace(b"jpgant", b"jpgtan"))
    with pytest.raises(
        ValueError,
        match=r"^dataset.path: .*/birds.zip: expected a readable zip, got Bad CRC.*a.jpg'\. "
        r"Repair it, or pack it anew\.$",
    ):
        bring.bring(own("birds.zip"), tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []


@pytest.mark.parametrize("path", ["birds", "birds.zip"])
def test_more_than_the_limit_is_refused_and_accepted_where_it_is_raised(
    tmp_path: Path, birds: Path, path: str
) -> None:
    with zipfile.ZipFile(birds.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("ants/a.jpg", bytes(2 * 10**6))
    (birds / "ants/large.jpg").write_bytes(bytes(2 * 10**6))
    small = replace(own(path), max_total_mb=1, max_ratio=10**4)
    with pytest.raises(
        ValueError,
        match=rf"dataset.path: .*/{path}: expected at most dataset.max_total_mb=1 MB, got more\. "
        r"Raise dataset.max_total_mb",
    ):
        bring.bring(small, tmp_path / "raw")
    bring.bring(replace(small, max_total_mb=3), tmp_path / "raw")


@pytest.mark.parametrize(
    ("content", "found"), [(b"no zip", "another file"), (b"", "another file"), (None, "nothing")]
)
def test_what_is_neither_a_folder_nor_a_zip_is_refused(
    tmp_path: Path, own_home: Path, content: bytes | None, found: str
) -> None:
    if content is not None:
        (own_home / "birds.zip").write_bytes(content)
    dataset = replace(NOWHERE, path="birds.zip", path_sha256="0" * 64)
    with pytest.raises(
        ValueError,
        match=rf"dataset.path: expected a folder, a zip, tar .*, found {found} at .*birds.zip\.",
    ):
        bring.bring(dataset, tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []


def test_an_interrupt_leaves_no_part_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, birds: Path
) -> None:
    dataset = own("birds")

    def interrupted(folder: Path, part: Path, limits: Limits) -> None:
        part.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(pack, "pack_folder", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bring.bring(dataset, tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []


def tarred(path: Path, mode: str, *links: str) -> Path:
    with tarfile.open(path, mode) as opened:  # type: ignore[call-overload]
        for name in ("top/ants/a.jpg", "top/bees/b.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 3
            opened.addfile(info, io.BytesIO(b"ant"))
        for name in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            opened.addfile(info)
    return path


@pytest.mark.parametrize(("name", "mode"), [("birds.tar", "w:"), ("birds.tar.gz", "w:gz")])
def test_a_tar_of_ones_own_becomes_a_zip(
    tmp_path: Path, own_home: Path, name: str, mode: str
) -> None:
    tarred(own_home / name, mode)
    bring.bring(own(name), tmp_path / "raw")
    assert facts(tmp_path / "raw")["origin"] == name
    assert names(tmp_path / "raw") == ["top/ants/a.jpg", "top/bees/b.jpg"]


def test_a_downloaded_tar_is_pinned_on_first_use(
    tmp_path: Path, own_home: Path, address: str
) -> None:
    tarred(tmp_path / "served/birds.tar.gz", "w:gz")
    dataset = replace(NOWHERE, name="birds", url=f"{address}/birds.tar.gz")
    bring.bring(dataset, tmp_path / "raw")
    assert facts(tmp_path / "raw")["verified_by"] == "first use"
    assert names(tmp_path / "raw") == ["top/ants/a.jpg", "top/bees/b.jpg"]


def test_a_tar_with_links_or_of_another_packing_is_refused(tmp_path: Path, own_home: Path) -> None:
    tarred(own_home / "links.tar", "w:", "top/ants/link.jpg")
    with pytest.raises(ValueError, match=r"link or special file 'top/ants/link\.jpg'\. Pack"):
        bring.bring(own("links.tar"), tmp_path / "raw")
    tarred(own_home / "twice.tar", "w:")
    with tarfile.open(own_home / "twice.tar", "a") as opened:
        opened.addfile(tarfile.TarInfo("top/ants/a.jpg"))
    with pytest.raises(ValueError, match=r"different names, got two files named 'top/ants/a\.jpg'"):
        bring.bring(own("twice.tar"), tmp_path / "raw")
    tarred(own_home / "birds.tar.xz", "w:xz")
    with pytest.raises(ValueError, match=r"a file packed with xz at .*birds\.tar\.xz\. Unpack it"):
        bring.bring(own("birds.tar.xz"), tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []
