"""What a zip holds, whatever its packaging, as one digest."""

import hashlib
import struct
import zipfile
import zlib
from pathlib import Path

from .pack import METHODS, clutter

CHUNK_BYTES = 1 << 16

MAX_UNPACKED_BYTES = 20 * 10**9

MAX_RATIO = 200  # unpacked bytes per byte of archive


def contents_sha256(archive: Path) -> str:
    """Digest of what is inside a zip, however it was packed.

    The sha256 of the text that `sha256sum` prints for all files, sorted bytewise by path. A single
    top folder is not part of the paths; what `pack.clutter` knows does not count.

    Raises:
        ValueError: not a readable zip, or one that unpacks to more than 20 GB or 200 times its
            size.
    """
    try:
        budget = min(MAX_UNPACKED_BYTES, MAX_RATIO * archive.stat().st_size)
        lines = {}
        with zipfile.ZipFile(archive) as source:
            members = [
                info
                for info in source.infolist()
                if not info.is_dir() and not clutter(info.filename)
            ]
            tops = {info.filename.partition("/")[0] for info in members}
            strip = len(tops) == 1 and all("/" in info.filename for info in members)
            for info in members:
                digest, size = _member_digest(source, info, budget)
                budget -= size
                path = info.filename.partition("/")[2] if strip else info.filename
                lines[path.encode()] = f"{digest}  {path}\n".encode()
    # What zipfile raises for damaged input; RuntimeError is an encrypted member.
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        OSError,
        RuntimeError,
        ValueError,
    ) as error:
        raise ValueError(
            f"{archive} is not a readable zip ({error}). Delete it and run again to download it "
            "afresh."
        ) from error
    return hashlib.sha256(b"".join(lines[path] for path in sorted(lines))).hexdigest()


def _member_digest(source: zipfile.ZipFile, info: zipfile.ZipInfo, budget: int) -> tuple[str, int]:
    """sha256 and size of a member; counts real bytes, because a header can lie."""
    if info.compress_type not in METHODS:
        raise zipfile.BadZipFile(f"{info.filename!r} is neither stored nor deflated")
    digest, size = hashlib.sha256(), 0
    with source.open(info) as member:
        while chunk := member.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            if size > budget:
                raise zipfile.BadZipFile(
                    f"unpacks to more than 20 GB or {MAX_RATIO} times its size"
                )
    return digest.hexdigest(), size
