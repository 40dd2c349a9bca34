"""A folder -> a zip that depends on names and bytes alone."""

import re
import shutil
import stat
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from ...pipeline import disk, files, heartbeat
from .digests import file_digests, listing_digest
from .request import Limits, TooMuch

MB = 10**6

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Of packing, that are read; Python unpacks bzip2 and LZMA without bound: one chunk of a bomb would
fill the memory.
"""

AFRESH = "Delete it and run again to download it afresh."
"""What to do with a damaged archive that came from an address."""

REPAIR = "Repair it, or pack it anew."
"""The same of one's own."""


def pack_folder(folder: Path, archive: Path, limits: Limits) -> None:
    """Pack a folder into a stored zip that depends on names and bytes alone, atomically.

    Raises:
        ValueError: the folder does not exist, holds a link that leaves it or goes round, or a
            special file, or the disk is full, or something cannot be read.
        TooMuch: it holds more than `limits` allow.
    """
    members = walk(folder)
    size = sum(path.stat().st_size for path in members.values() if path.is_file())
    if size > limits.max_total_mb * MB:
        raise TooMuch(limits.total_exceeded(f"dataset.path: {folder}"))
    check_space(archive.parent, size)
    try:
        write_zip(archive, members)
    except OSError as error:
        raise ValueError(
            f"{folder}: expected to pack it into {archive}, got {error}. Check permissions and "
            "free space, and run again."
        ) from error


def folder_sha256(path: Path) -> str:
    """Digest of a folder's listing in the form of `sha256sum`, sorted by path; of a file, its
    sha256.

    Clutter such as .DS_Store does not count: a file manager that merely looks at a folder must not
    re-run anything.

    Raises:
        ValueError: as `pack_folder`.
    """
    if path.is_file():
        return file_digests(path, {path.name: path})[path.name]
    members = {
        name: file
        for name, file in walk(path).items()
        if not name.endswith("/") and not clutter(name)
    }
    return listing_digest(file_digests(path, members))


def write_zip(archive: Path, members: Mapping[str, Path | bytes]) -> None:
    """Write a stored zip atomically: sorted, fixed dates and modes; a name that ends with / is an
    empty folder.
    """
    with (
        files.atomic(archive, "wb") as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as opened,
    ):
        for name in heartbeat.each(sorted(members), "files packed", len(members)):
            content = members[name]
            if name.endswith("/"):
                opened.writestr(entry_of(name), b"")
            elif isinstance(content, bytes):
                opened.writestr(entry_of(name), content)
            else:
                with content.open("rb") as source:
                    copied(source, opened, entry_of(name), content.stat().st_size)


def entry_of(name: str) -> zipfile.ZipInfo:
    """An entry of a zip that depends on its name alone."""
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system = 3  # Unix: the mode bits below count
    is_folder = name.endswith("/")
    kind = stat.S_IFDIR | 0o755 if is_folder else stat.S_IFREG | 0o644
    info.external_attr = kind << 16
    return info


def copied(source: IO[bytes], archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> None:
    """Copy a file of `size` bytes into a zip, without holding it in memory."""
    info.file_size = size  # decides whether the entry needs 64-bit sizes
    with archive.open(info, "w") as target:
        shutil.copyfileobj(source, target, MB)


def check_space(folder: Path, need: int) -> None:
    """Raise ValueError when the disk of `folder` has less than `need` bytes free."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if need > free:
        raise ValueError(
            f"{folder}: expected room for {disk.size(need)}, got {disk.size(free)} free. Free some "
            "space and run again."
        )


def walk(root: Path) -> dict[str, Path]:
    """Posix path below `root` -> file, and with a / at the end -> folder."""
    if not root.is_dir():
        raise ValueError(
            "dataset.path: expected a zip, or a folder with a folder per class, found nothing at "
            f"{root}. "
            "Relative paths count from the repository."
        )
    found: dict[str, Path] = {}
    waiting: list[tuple[Path, tuple[Path, ...]]] = [(root, (root.resolve(),))]
    while waiting:
        folder, above = waiting.pop()
        for path in folder.iterdir():
            name = path.relative_to(root).as_posix()
            if path.is_symlink() and clutter(name):
                continue
            if problem := _path_problem(path, above):
                raise ValueError(
                    f"{path}: expected a file or folder, got a {problem}. Replace it by the files "
                    "themselves, or remove it."
                )
            if path.is_dir():
                found[f"{name}/"] = path
                waiting.append((path, (*above, path.resolve())))
            else:
                found[name] = path
    return found


def _path_problem(path: Path, above: Sequence[Path]) -> str | None:
    """Why a path cannot be packed; `above` are the real folders that lead to it, root first."""
    if path.is_symlink() and not path.exists():  # one that leads to itself too
        return "link that leads nowhere"
    target = path.resolve()
    if path.is_symlink() and not target.is_relative_to(above[0]) and not _is_cached(target):
        return f"link that leaves the folder, to {target}"
    if path.is_symlink() and path.is_dir() and target in above:  # or it would be entered for ever
        return "link to a folder that it lies in"
    if not path.is_dir() and not path.is_file():
        return "pipe, socket or device"
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "name that is not UTF-8"
    return None


def _is_cached(target: Path) -> bool:
    """Whether a file is an object of a DVC cache, wherever that is, which its place tells."""
    return bool(re.search(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$", target.as_posix()))


CLUTTER = (
    *("__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("lost+found", "@eadir", "#recycle"),  # the last two of network drives
)


def clutter(path: str) -> str | None:
    """What kind of clutter a path is, as operating systems and editors leave it behind; None for
    what a person put.
    """
    for part in path.rstrip("/").split("/"):
        if part.lower() in CLUTTER:
            return part
        if part.startswith("."):
            return "._*" if part.startswith("._") else part
    return None
