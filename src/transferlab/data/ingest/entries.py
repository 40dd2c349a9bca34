"""A zip, found safe as a whole -> the entries inside, and their bytes."""

import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...params.dataset import Dataset
from ..archive.pack import AFRESH, MB, METHODS
from .names import named


@contextmanager
def opened_zip(archive: Path, advice: str = AFRESH) -> Iterator[zipfile.ZipFile]:
    """Open a zip; what makes it unreadable is a ValueError in one line, which ends in `advice`."""
    if not archive.is_file():
        raise ValueError(
            f"{archive}: expected a zip, found nothing. Run the download stage first: dvc repro "
            "download"
        )
    try:
        with zipfile.ZipFile(archive) as opened:
            yield opened
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        UnicodeDecodeError,
        NotImplementedError,
    ) as error:
        raise ValueError(
            f"{archive}: expected a readable zip, got {str(error) or type(error).__name__}. "
            f"{advice}"
        ) from error


def members_of(
    opened: zipfile.ZipFile, where: str, dataset: Dataset
) -> list[tuple[str, zipfile.ZipInfo]]:
    """Clean posix path and entry of everything inside, once the whole archive is found safe.

    Args:
        opened: The archive.
        where: What messages begin with.
        dataset: Holds the limits.
    """
    infos = opened.infolist()
    names = named(infos, dataset.zip_encoding, where)
    return checked_members(zip(infos, names, strict=True), where, dataset)


def checked_members(
    infos: Iterable[tuple[zipfile.ZipInfo, str]], where: str, dataset: Dataset
) -> list[tuple[str, zipfile.ZipInfo]]:
    """Clean posix path and entry of each, once all are found safe.

    Args:
        infos: Entries and their names, which end in a / for folders.
        where: What messages begin with.
        dataset: Holds the limits.

    Raises:
        ValueError: What is wrong with one, or with all of them.
    """
    members: list[tuple[str, zipfile.ZipInfo]] = []
    taken: set[str] = set()
    for info, name in infos:
        if problem := _entry_problem(info, name, dataset):
            lock = bool(info.flag_bits & 0x1)
            mending = "Pack it anew without a password." if lock else "Rename or remove it."
            raise ValueError(
                f"{where}: expected plain files within the limits, got {problem} {name!r}. Nothing "
                f"was read. {mending}"
            )
        info.filename = name  # a folder is told by its last character
        path = "/".join(part for part in name.split("/") if part not in ("", "."))
        key = path.casefold()
        if key in taken and not info.is_dir():
            raise ValueError(
                f"{where}: expected different names, got two files named {path!r} (A and a count "
                "as equal, and an accent in either spelling). Rename one."
            )
        taken.add(key)
        members.append((path, info))
    megabytes = sum(info.file_size for _, info in members) / MB
    for value, what, key in (
        (len(members), "entries", "max_files"),
        (megabytes, "MB unpacked", "max_total_mb"),
    ):
        if value > getattr(dataset, key):
            raise ValueError(
                f"{where}: expected at most dataset.{key}={getattr(dataset, key)}, got "
                f"{value:,.0f} {what}. Raise the limit if you trust the archive."
            )
    return members


def _entry_problem(info: zipfile.ZipInfo, name: str, dataset: Dataset) -> str | None:
    parts = name.split("/")
    outside = name.startswith("/") or ".." in parts or re.match("[A-Za-z]:", name)
    kind = stat.S_IFMT(info.external_attr >> 16)
    large = info.file_size > MB  # small files may be as empty as they like
    checks = {
        "unsafe path": outside or not name or re.search(r"[\\\x00-\x1f]", name),
        "link or special file": kind not in (0, stat.S_IFREG, stat.S_IFDIR),
        "encrypted file": info.flag_bits & 0x1,
        "neither stored nor deflated, the only two methods that are read:": (
            info.compress_type not in METHODS
        ),
        "name longer than 255 bytes:": max(len(part.encode()) for part in parts) > 255,
        f"{info.file_size / MB:,.0f} MB, more than dataset.max_file_mb={dataset.max_file_mb}, in": (
            info.file_size > dataset.max_file_mb * MB
        ),
        f"packed more than dataset.max_ratio={dataset.max_ratio} times smaller:": (
            large and info.file_size > dataset.max_ratio * info.compress_size
        ),
    }
    return next((problem for problem, found in checks.items() if found), None)


def read_entry(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The bytes of one entry, never more than it declares."""
    # With a number, `read` never inflates more than that; without one, a lying header could fill
    # the memory.
    with opened.open(info) as file:
        content = file.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise zipfile.BadZipFile(
            f"{info.filename!r} has {len(content)} bytes and declares {info.file_size}"
        )
    return content
