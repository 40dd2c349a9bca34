"""What the entries of a zip are called, as its writer meant it."""

import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence

UNICODE = 0x800
"""The bit that says: this name is UTF-8."""

UNICODE_PATH = 0x7075
"""The extra field that repeats a name in UTF-8 (Info-ZIP's, APPNOTE.TXT 4.6.9)."""

WINDOWS = 0
"""What `create_system` is where a backslash may stand between folders."""

PAGES = ("cp437", "cp850", "cp1252", "cp866", "cp932", "gbk")
"""Code pages that are shown as examples."""


def named(infos: Sequence[zipfile.ZipInfo], encoding: str | None, where: str) -> list[str]:
    """The names of all entries, with / between folders and composed accents (NFC).

    Args:
        infos: The entries.
        encoding: Of names that do not say theirs; None: such names are refused, unless they are
            UTF-8.
        where: What messages begin with.

    Raises:
        ValueError: Names are in an unknown code page.
    """
    names = [_name(info, encoding) for info in infos]
    unknown = [info for info, name in zip(infos, names, strict=True) if name is None]
    if unknown:
        raise ValueError(_code_page(unknown, encoding, where))
    return [_posix(info, name or "") for info, name in zip(infos, names, strict=True)]


def _name(info: zipfile.ZipInfo, encoding: str | None) -> str | None:
    """The name as it was meant; None where that is unknown."""
    name = info.orig_filename  # `filename` ends at a null byte
    if info.flag_bits & UNICODE or name.isascii():
        return name
    raw = name.encode("cp437")  # as zipfile decodes what does not say its encoding
    if (repeated := _unicode_path(info.extra, raw)) is not None:
        return repeated
    try:
        return raw.decode(encoding or "utf-8")
    except (UnicodeDecodeError, LookupError):
        return None


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """The name in the extra field, if it is that of these bytes."""
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == UNICODE_PATH and field[1:5] == struct.pack("<I", zlib.crc32(raw)):
            try:
                return field[5:].decode("utf-8")
            except UnicodeDecodeError:
                return None
    return None


def _posix(info: zipfile.ZipInfo, name: str) -> str:
    if info.create_system == WINDOWS:
        name = name.replace("\\", "/")
    return unicodedata.normalize("NFC", name)


def _code_page(unknown: Sequence[zipfile.ZipInfo], encoding: str | None, where: str) -> str:
    raw = unknown[0].orig_filename.encode("cp437")
    if encoding is not None:
        return (
            f"{where}: expected file names in dataset.zip_encoding={encoding}, got {raw!r}. Give "
            "another, such as cp850 or cp932."
        )
    read = {page: _as(raw, page) for page in PAGES}
    shown = ", ".join(f"{page}: {name!r}" for page, name in read.items() if name)
    return (
        f"{where}: expected file names in UTF-8, got {len(unknown)} in a code page that the zip "
        f"does not tell. The first would be in {shown}. Say which: -S dataset.zip_encoding=cp850, "
        "or pack the archive anew with UTF-8 names."
    )


def _as(raw: bytes, page: str) -> str:
    try:
        name = raw.decode(page)
    except UnicodeDecodeError:
        return ""
    return name if name.isprintable() else ""
