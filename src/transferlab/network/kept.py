"""Tables of activations on disk, for the next run."""

import contextlib
import logging
import os
import shutil
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from .models import save, tensors_sha256

DISK_MB = 10_000  # of kept tables; those that were not used for longest make room


def keep_table(table: Tensor, seconds: float, path: Path) -> None:
    """Write a table and what it took. Without room on the disk it is not kept."""
    tensors = {"table": table}
    try:
        if _make_room(path.parent, table.nbytes / 1e6):
            save(tensors, path, {"seconds": str(seconds), "sha256": tensors_sha256(tensors)})
    except OSError as error:
        logging.getLogger(__name__).warning("Features are not kept for the next time: %s", error)


def _make_room(folder: Path, megabytes: float) -> bool:
    """Delete what was not used for longest until a new table fits; False where one that large never
    does.

    The folder takes `DISK_MB` at most, and no more than it leaves free.
    """
    files = []
    for file in folder.iterdir():
        with contextlib.suppress(OSError):  # another process makes room as well
            files.append((file.stat().st_mtime, file.stat().st_size / 1e6, file))
    taken, free = sum(size for _, size, _ in files), shutil.disk_usage(folder).free / 1e6
    limit = min(DISK_MB, (taken + free) / 2)
    for _, size, file in sorted(files):
        if taken + megabytes <= limit or megabytes > limit:
            break
        with contextlib.suppress(OSError):
            file.unlink()
        taken -= size
    return taken + megabytes <= limit


def read_table(path: Path) -> tuple[Tensor, float] | None:
    """A kept table and the seconds it took; a damaged file counts as absent."""
    try:
        with safe_open(path, framework="pt") as file:
            table, facts = file.get_tensor("table"), file.metadata()
            intact = facts["sha256"] == tensors_sha256({"table": table})
        with contextlib.suppress(OSError):  # somebody else's folder
            os.utime(path)
        return (table, float(facts["seconds"])) if intact else None
    except (OSError, SafetensorError, LookupError, TypeError, ValueError):
        return None
