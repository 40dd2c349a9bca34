"""Digests of a person's files: each is read once, and again where its size, times or place changed.

What is known is kept in the cache, which is safe to delete.
"""

import hashlib
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...pipeline import files, heartbeat, places

SETTLED_SECONDS = 2.0
"""A file that changed less than this ago may change again within the same tick of its clock."""


def file_digests(root: Path, paths: Mapping[str, Path]) -> dict[str, str]:
    """sha256 of each file by its name.

    Args:
        root: What the files belong to; names what is kept about them.
        paths: Files by name.
    """
    index = places.cache_folder("digests") / f"{files.content_hash(os.path.abspath(root))}.json"
    known, now, kept = _read(index), time.time(), {}
    digests = {}
    for name, path in heartbeat.each(paths.items(), "files compared", len(paths)):
        status = path.stat()
        mark = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        entry = known.get(name)
        if isinstance(entry, list) and len(entry) == 2 and entry[0] == mark:
            digests[name] = str(entry[1])
        else:
            digests[name] = files.file_hash(path)
        if max(status.st_mtime, status.st_ctime) < now - SETTLED_SECONDS:
            kept[name] = [mark, digests[name]]
    if kept != known:
        with suppress(OSError):  # a full disk costs the next look its speed and no more
            files.write_json(index, kept)
    return digests


def listing_digest(digests: Mapping[str, str]) -> str:
    """Digest of a listing in the form of `sha256sum`, sorted by name."""
    lines = [f"{digests[name]}  {name}\n" for name in sorted(digests)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _read(index: Path) -> dict[str, Any]:
    """What is known; nothing where that is damaged."""
    try:
        known = files.read_json(index)
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
