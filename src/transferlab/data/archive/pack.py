"""A folder -> a zip that depends on names and bytes alone."""

import shutil
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

from ...pipeline import files
from .digests import file_digests, listing_digest
from .request import Limits, TooMuch

MB = 10**6

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Of packing, that are read; Python unpacks bzip2 and LZMA without bound: one chunk of a bomb would
fill the memory.
"""


def pack_folder(folder: Path, archive: Path, limits: Limits) -> None:
    """Pack a folder into a stored zip that depends on names and bytes alone, atomically.

    Raises:
        ValueError: the folder does not exist, holds a link that leaves it, a link to a folder or a
            special file, or the disk is full, or something cannot be read.
        TooMuch: it holds more than `limits` allow.
    """
    members = _walk(folder)
    size = sum(path.stat().st_size for path in members.values() if path.is_file())
    if size > limits.max_total_mb * MB:
        raise TooMuch(limits.total_exceeded(f"dataset.path: {folder}"))
    check_space(archive.parent, size)
    try:
        write_zip(archive, members)
    except OSError as error:
        raise ValueError(
            f"{folder}: could not be packed into {archive} ({error}). Check permissions and free "
            "space, and run again."
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
        for name, file in _walk(path).items()
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
        for name in sorted(members):
            content = members[name]
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # Unix: the mode bits below count
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            if name.endswith("/"):
                info.external_attr = (stat.S_IFDIR | 0o755) << 16
                opened.writestr(info, b"")
            elif isinstance(content, bytes):
                opened.writestr(info, content)
            else:
                # decides whether the entry needs 64-bit sizes
                info.file_size = content.stat().st_size
                with content.open("rb") as source, opened.open(info, "w") as target:
                    shutil.copyfileobj(source, target, MB)


def check_space(folder: Path, need: int) -> None:
    """Raise ValueError when the disk of `folder` has less than `need` bytes free."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if need > free:
        raise ValueError(
            f"{folder}: need {_size(need)}, {_size(free)} are free. Free some space and run again."
        )


def _size(count: int) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _walk(root: Path) -> dict[str, Path]:
    """Posix path below `root` -> file, and with a / at the end -> folder."""
    if not root.is_dir():
        raise ValueError(
            "dataset.path: expected a zip, or a folder with a folder per class, found nothing at "
            f"{root}. "
            "Relative paths count from the repository."
        )
    found: dict[str, Path] = {}
    waiting = [root]
    while waiting:
        for path in waiting.pop().iterdir():
            name = path.relative_to(root).as_posix()
            if path.is_symlink() and clutter(name):
                continue
            if problem := _path_problem(path, root):
                raise ValueError(
                    f"{path}: {problem}. Replace it by the files themselves, or remove it."
                )
            if path.is_dir():
                found[f"{name}/"] = path
                waiting.append(path)
            else:
                found[name] = path
    return found


def _path_problem(path: Path, root: Path) -> str | None:
    # Folders behind links are never entered, so a loop cannot hang.
    if path.is_symlink() and not path.exists():
        return "link that leads nowhere"
    if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
        return f"link that leaves the folder, to {path.resolve()}"
    if path.is_symlink() and path.is_dir():
        return "link to a folder"
    if not path.is_dir() and not path.is_file():
        return "neither a file nor a folder"
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "name that is not UTF-8"
    return None


def clutter(path: str) -> str | None:
    """What kind of clutter a path is, as operating systems and editors leave it behind; None for
    what a person put.
    """
    for part in path.rstrip("/").split("/"):
        if part == "__MACOSX" or part.lower() in ("thumbs.db", "desktop.ini"):
            return part
        if part.startswith("."):
            return "._*" if part.startswith("._") else part
    return None
