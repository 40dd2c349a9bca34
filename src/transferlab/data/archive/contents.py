"""What a zip holds, whatever its packaging, as one digest."""

import hashlib
import struct
import zipfile
import zlib
from pathlib import Path

from ...pipeline import heartbeat
from .pack import AFRESH, MB, METHODS, clutter
from .request import Limits, TooMuch

CHUNK_BYTES = 1 << 16


def contents_sha256(
    archive: Path, limits: Limits, *, title: str | None = None, advice: str = AFRESH
) -> str:
    """Digest of what is inside a zip, however it was packed.

    The sha256 of the text that `sha256sum` prints for all files, sorted bytewise by path. A single
    top folder is not part of the paths; what `pack.clutter` knows does not count.

    Args:
        archive: The zip.
        limits: What it may unpack to.
        title: What messages call it; null: its path.
        advice: What to do about one that cannot be read.

    Raises:
        ValueError: not a readable zip.
        TooMuch: it unpacks to more than `limits` allow.
    """
    title = title or str(archive)
    try:
        left = limits.max_total_mb * MB
        lines = {}
        with zipfile.ZipFile(archive) as source:
            members = [
                info
                for info in source.infolist()
                if not info.is_dir() and not clutter(info.filename)
            ]
            tops = {info.filename.partition("/")[0] for info in members}
            strip = len(tops) == 1 and all("/" in info.filename for info in members)
            for info in heartbeat.each(members, "files of the archive read", len(members)):
                digest, size = _member_digest(source, info, limits, left, title)
                left -= size
                path = info.filename.partition("/")[2] if strip else info.filename
                lines[path.encode()] = f"{digest}  {path}\n".encode()
    except TooMuch:
        raise
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
        raise ValueError(f"{title}: expected a readable zip, got {error}. {advice}") from error
    return hashlib.sha256(b"".join(lines[path] for path in sorted(lines))).hexdigest()


def _member_digest(
    source: zipfile.ZipFile, info: zipfile.ZipInfo, limits: Limits, left: int, title: str
) -> tuple[str, int]:
    """sha256 and size of a member; counts real bytes, because a header can lie."""
    if info.compress_type not in METHODS:
        raise zipfile.BadZipFile(f"{info.filename!r} is neither stored nor deflated")
    # small files may be as empty as they like, as when they are decoded
    most = max(MB, limits.max_ratio * info.compress_size)
    digest, size = hashlib.sha256(), 0
    with source.open(info) as member:
        while chunk := member.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            if size > left:
                raise TooMuch(limits.total_exceeded(title))
            if size > most:
                raise TooMuch(limits.ratio_exceeded(title, info.filename))
    return digest.hexdigest(), size
