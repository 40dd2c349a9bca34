"""Whether the process that writes a run still lives: a lock file that it holds.

The kernel lets go of a lock however its holder ends. Neither a host name, which a container's
restart changes, nor a number of a process, which is used again, nor a clock can tell it wrong.
"""

import re
import time
import uuid
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from filelock import FileLock, Timeout

from ..pipeline.places import home

WRITER = "transferlab.writer"
"""The tag of a run that carries the name of the process that writes it."""

FORMER = "transferlab.pid"
"""The tag of runs that an earlier version of the project wrote: the number of their process."""


class Presence:
    """This process among those that write runs of one store.

    Args:
        folder: where each of them has its file, made on first use.
        alone: whether nobody writes to the store without a file in this folder.
    """

    def __init__(self, folder: Path, *, alone: bool) -> None:
        self.folder = folder
        self.alone = alone

    @classmethod
    def of(cls, database: Path | None) -> "Presence":
        """Among the writers of a local database; of a server if None, whose writers may be on other
        machines. Not among the caches: a killed process must be told from a cleaned folder.
        """
        if database is None:
            return cls(home() / "mlflow.db.writers-elsewhere", alone=False)
        return cls(Path(f"{database}.writers"), alone=True)

    @cached_property
    def name(self) -> str:
        """What the runs that this process writes carry as a tag."""
        name = uuid.uuid4().hex
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder / name)
        self._lock.acquire()
        return name

    def leave(self) -> None:
        """Let go: no run is written any more."""
        if "name" in self.__dict__:
            (self.folder / self.name).unlink(missing_ok=True)
            self._lock.release()
            del self.name

    def dead(self, name: str) -> bool:
        """Whether nobody writes under a name any more; False where that cannot be known."""
        path = self._file(name)
        return self.alone if path is None else _free(path)

    def wait(self, names: Iterable[str], seconds: float) -> None:
        """Wait until others on this machine have let go, for at most so long."""
        until = time.monotonic() + seconds
        others = [path for name in names if (path := self._file(name)) and path.name != self.name]
        while any(path.exists() and not _free(path) for path in others):
            if time.monotonic() > until:
                return
            time.sleep(0.1)

    def sweep(self) -> None:
        """Remove the files of the dead, once their runs are closed. Runs that are elsewhere too may
        wait for that in another experiment, and need them.
        """
        for path in self.folder.glob("*") if self.alone else ():
            if _free(path):
                path.unlink(missing_ok=True)

    def _file(self, name: str) -> Path | None:
        """The file of a name, if it is here; a name from a server may be anything."""
        path = self.folder / name
        return path if re.fullmatch("[0-9a-f]{32}", name) and path.exists() else None


def _free(path: Path) -> bool:
    """Whether nobody holds a lock; False where the file belongs to somebody else."""
    try:
        with FileLock(path, timeout=0):
            return True
    except (Timeout, OSError):
        return False
