"""One process at a time runs a stage for a strategy in a checkout.

The file that is locked holds the number of the process that runs, or that was killed: one does not
come to emptying it. `filelock` empties a file that it only tries to lock, hence `fcntl`.
"""

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

FOLDER = ".dvc/tmp/transferlab"  # of the checkout, ignored by git and DVC; `make clean` spares it
SECONDS = 10.0  # to wait: a process that has lost its DVC ends within five
POLL = 0.2  # seconds


class Lock:
    """Of one stage, as `train@frozen`, in one checkout."""

    def __init__(self, root: Path, instance: str):
        self.instance, self.path = instance, root / FOLDER / f"{instance}.lock"

    @contextmanager
    def taken(self) -> Iterator[int | None]:
        """Hold the lock for the block; gives the process that was killed while it had it.

        Raises:
            ValueError: Another process has it, and keeps it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+", encoding="utf-8") as file:
            self._wait(file)
            before = killed(file)
            _write(file, json.dumps({"pid": os.getpid()}))
            try:
                yield before
            finally:
                self.clear()

    def clear(self) -> None:
        """This process ends as it should."""
        if self.path.exists():  # a temporary checkout may be gone
            os.truncate(self.path, 0)

    def _wait(self, file: IO[str]) -> None:
        until, told = time.monotonic() + SECONDS, False
        while not _locked(file):
            if time.monotonic() > until:
                raise ValueError(self._refusal(owner(file)))
            if not told:
                log.info("%s: another process is still running it, waiting ...", self.instance)
            told = True
            time.sleep(POLL)

    def _refusal(self, pid: int | None) -> str:
        return (
            f"{self.instance}: expected nobody else to run it in this checkout, got process "
            f"{pid or 'of a number that is not known'}. Wait for it, or end it: kill "
            f"{pid or 'PID'}. To run both, use: dvc exp run --temp"
        )


def killed(file: IO[str]) -> int | None:
    """The process that a free lock's file names: it did not come to emptying it. One that the
    machine's own end took along is nobody's fault.
    """
    pid = owner(file)
    if pid is None:
        return None
    import psutil

    return pid if os.fstat(file.fileno()).st_mtime > psutil.boot_time() else None


def owner(file: IO[str]) -> int | None:
    """The process that a lock's file names; None where none does."""
    file.seek(0)
    try:
        return int(json.load(file)["pid"])
    except (ValueError, TypeError, LookupError):
        return None


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        log.warning("%s: cannot be locked (%s); run no second DVC here.", file.name, error.strerror)
    return True


def _write(file: IO[str], text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()
