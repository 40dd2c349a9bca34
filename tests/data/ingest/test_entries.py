"""No archive does harm."""

import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from archives import Place, picture, tree, zipped


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
    message = place.refused(rf"x\.zip: expected a readable zip, got {detail}")
    assert message.endswith("Repair it, or pack it anew.")
    message = place.refused(r"expected a readable zip", path=None, url="https://example.org/x.zip")
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
    message = place.refused(r"got unsafe path '", {**tree(), name: picture()})
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
    place.refused(r"got link or special file 'train/ants/link\.png'")


def test_an_encrypted_file_is_refused(place: Place) -> None:
    content = zipped(place.archive, tree()).read_bytes()
    at = content.index(b"PK\x01\x02") + 8
    place.archive.write_bytes(content[:at] + b"\x01" + content[at + 1 :])
    place.refused(r"x\.zip: expected .*, got encrypted file 'train/ants/0\.png'")


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
    place.refused(
        r"x\.zip: expected different names, got two files named 'train/ants/0\.(png|PNG)'"
    )


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (
            {"max_total_mb": 20, "max_file_mb": 100, "max_ratio": 2000},
            "expected at most dataset.max_total",
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
            "expected at most dataset.max_files=5, got 13 entries",
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
        r"processed: expected room for 6\.3 MB, got 0 bytes free\. Free some space and run again\.",
        tree(),
        store_px=256,
    )


def test_a_disk_that_fills_up_half_way_leaves_nothing(
    place: Place, files_up_to_ten_kilobytes: None
) -> None:
    place.refused(
        r"processed: expected to write it, got File too large\. Nothing was changed",
        tree(),
        store_px=64,
    )


# Names


def test_backslashes_of_windows_stand_between_folders(place: Place) -> None:
    zipped(place.archive, {})
    with zipfile.ZipFile(place.archive, "w") as archive:
        for name, content in tree().items():
            windows = entry("x", create_system=0)
            windows.filename = "birds\\" + name.replace("/", "\\")
            archive.writestr(windows, content)
    place.run()
    assert place.rows("train/manifest.csv")[0]["id"] == "train/ants/0.png"
    with zipfile.ZipFile(place.archive, "a") as archive:
        escaping = entry("x", create_system=0)
        escaping.filename = "..\\evil.png"
        archive.writestr(escaping, b"")
    with pytest.raises(ValueError, match=r"got unsafe path '\.\./evil\.png'"):
        place.run()


class OfCodePage(zipfile.ZipInfo):
    """An entry whose name is written in a code page, and does not say in which."""

    page = "cp850"

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.filename.encode(self.page), self.flag_bits & ~0x800


def in_code_page(path: Path, names: dict[str, bytes], page: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in names.items():
            info = OfCodePage(name)
            info.page = page
            archive.writestr(info, content)


@pytest.mark.parametrize(("page", "name"), [("cp866", "кот"), ("cp932", "ネコ"), ("cp850", "chât")])
def test_a_code_page_is_read_where_it_is_said_and_else_refused(
    place: Place, page: str, name: str
) -> None:
    in_code_page(place.archive, tree((name, "bees")), page)
    place.refused(
        f"file names in UTF-8, got 6 in a code page that the zip does not tell.* {page}: '.*{name}"
    )
    place.run(zip_encoding=page)
    assert {row["class"] for row in place.rows("class_counts.csv")} == {name, "bees"}


def test_utf_8_names_that_do_not_say_so_are_read(place: Place) -> None:
    in_code_page(place.archive, tree(("chât", "bees")), "utf-8")
    place.run()
    assert place.rows("class_counts.csv")[1]["class"] == "chât"


def test_decomposed_and_composed_accents_are_one_class(place: Place) -> None:
    composed, decomposed = "ch\u00e2t", "cha\u0302t"
    members = tree((composed, "bees"), ("train",)) | tree((decomposed, "bees"), ("val",))
    members = {name: picture(seed) for seed, name in enumerate(members)}
    place.run(members)
    assert place.rows("class_counts.csv")[1] == {"class": composed, "train": "3", "test": "3"}
