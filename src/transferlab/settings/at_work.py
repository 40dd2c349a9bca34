"""Who else is at work in a checkout: the processes that hold DVC's locks."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil


class Holder(NamedTuple):
    """A process that DVC's file of locks names."""

    pid: int
    command: str  # as the lock tells it


def expect_nobody_else(root: Path) -> None:
    """Refuse to replace `params.yaml` under a run that reads it.

    Raises:
        ValueError: Another DVC runs stages in this checkout.
    """
    for holder in holders(root / ".dvc/tmp/rwlock"):
        if holder.pid != os.getpid() and is_dvc(holder.pid):
            raise ValueError(
                f"{root}: expected no other experiment at work here, got one (PID {holder.pid}). "
                "Wait until it ends, or use --temp or --queue to run beside it."
            )


def holders(path: Path) -> list[Holder]:
    """Who holds locks, each once, in the order of the file; nobody where it cannot be read.

    A process that was killed stays in it until DVC needs what it locked.
    """
    try:
        found = list(_entries(json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return []
    return list(dict.fromkeys(found))


def _entries(locks: Any) -> Iterator[Holder]:
    for kind in ("write", "read"):
        for entry in locks.get(kind, {}).values():
            for each in entry if isinstance(entry, list) else [entry]:
                yield Holder(int(each["pid"]), str(each["cmd"]))


def is_dvc(pid: int) -> bool:
    """Whether a living process is one of DVC's: numbers are given out again, in containers soon."""
    try:
        process = psutil.Process(pid)
        words = [Path(word) for word in process.cmdline()]
        living = process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
    return living and any(word.name == "dvc" or word.match("dvc/__main__.py") for word in words)
