"""A tar -> a zip of the same files."""

import tarfile
import zipfile
import zlib
from pathlib import Path

from ...params.dataset import Dataset
from ...pipeline import files, heartbeat
from .pack import MB, copied, entry_of

MODES = ("r:", "r:gz")
"""Plain and gzip. Python unpacks bzip2 and LZMA without bound: one chunk of a bomb would fill the
memory.
"""


def is_tar(path: Path) -> bool:
    """Whether a file is a tar or tar.gz."""
    return _mode(path) is not None


def tar_to_zip(path: Path, archive: Path, dataset: Dataset) -> None:
    """Write the files of a tar into a stored zip, atomically.

    Raises:
        ValueError: It is damaged, holds more than the limits allow, links or special files.
    """
    mode = _mode(path)
    assert mode is not None  # the caller asked `is_tar`
    total = 0
    try:
        with (
            tarfile.open(path, mode) as source,  # type: ignore[call-overload]
            files.atomic(archive, "wb") as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as target,
        ):
            for count, member in enumerate(heartbeat.each(source, "files unpacked"), 1):
                total += member.size
                require_plain(path, member, count, total, dataset)
                if member.name in target.NameToInfo and not member.isdir():
                    raise ValueError(
                        f"{path}: expected different names, got two files named {member.name!r}. "
                        "Pack the archive anew."
                    )
                if member.isdir():
                    target.writestr(entry_of(f"{member.name}/"), b"")
                    continue
                content = source.extractfile(member)
                assert content is not None  # a regular file has content
                copied(content, target, entry_of(member.name), member.size)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ValueError(
            f"{path}: expected a whole tar, got {error}. Repair it, or pack it anew."
        ) from error


def require_plain(
    path: Path, member: tarfile.TarInfo, count: int, total: int, dataset: Dataset
) -> None:
    """Refuse a member of a tar that is no plain file or folder, or is beyond the limits.

    Args:
        path: Of the tar.
        member: That is asked about.
        count: Of the members up to this one.
        total: Their bytes.
        dataset: Holds the limits.

    Raises:
        ValueError: It is.
    """
    if problem := _problem(member, count, total, dataset):
        raise ValueError(f"{path}: expected plain files within the limits, got {problem}.")


def _mode(path: Path) -> str | None:
    for mode in MODES:
        try:
            with tarfile.open(path, mode):  # type: ignore[call-overload]
                return mode
        except (tarfile.TarError, EOFError, zlib.error, OSError):
            continue
    return None


def _problem(member: tarfile.TarInfo, count: int, total: int, dataset: Dataset) -> str | None:
    name = repr(member.name)
    try:
        member.name.encode()
    except UnicodeEncodeError:
        return f"a name that is not UTF-8, {name}. Pack the archive anew"
    if not (member.isreg() or member.isdir()):
        return f"link or special file {name}. Pack the files themselves"
    if member.size > dataset.max_file_mb * MB:
        return f"more than dataset.max_file_mb={dataset.max_file_mb} MB in {name}. Raise it"
    if total > dataset.max_total_mb * MB:
        return f"more than dataset.max_total_mb={dataset.max_total_mb} MB unpacked. Raise it"
    if count > dataset.max_files:
        return f"more entries than dataset.max_files={dataset.max_files}. Raise it"
    return None
