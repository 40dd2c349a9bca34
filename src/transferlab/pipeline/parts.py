"""Temporary files and folders beside what they will become, and what killed processes left of them.

Standard library only, because every stage and the composition check import it.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

PART = re.compile(r"\.part-(?P<pid>\d+)(-|$)")


def prefix(path: Path) -> str:
    """How the name of a temporary folder for `path` begins: with the process that writes it."""
    return f".{path.name}.part-{os.getpid()}-"


def sweep(outputs: Iterable[Path], caches: Path) -> None:
    """Remove what dead processes left, beside and in outputs and in the caches.

    Files of living processes stay.

    Args:
        outputs: Of the stage that is about to run, whose lock is held.
        caches: The folder of all caches.
    """
    folders = [caches, *caches.glob("*")]
    for output in outputs:
        folders += [output.parent, *([output] if output.is_dir() else [])]
        remove(output.with_name(f".{output.name}.part"))  # this stage alone builds it
    for path in {path for folder in folders for path in _left_in(folder)}:
        remove(path)


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content; another process may sweep as well."""
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _left_in(folder: Path) -> Iterator[Path]:
    for path in folder.glob("*.part-*"):
        found = PART.search(path.name)
        if found and not _lives(int(found["pid"])):
            yield path


def _lives(pid: int) -> bool:
    """Whether there is another process of this number; in containers they repeat."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's; no number of a process
        return True
    return True
