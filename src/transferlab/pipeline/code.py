"""The code that a stage runs, as it was when its process began.

Standard library only, because the first lines of every stage import it.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from .files import file_hash

PLACES = ("src/transferlab", "stages")
_noted: dict[str, str] = {}


def note(root: Path) -> None:
    """Hash every file of a checkout's code before it is imported; it takes milliseconds.

    What is edited after that is another code than the one that runs, even where it is imported
    later. The script itself and this room were read a few milliseconds ago: an edit in between
    would have to be saved within them.
    """
    for place in PLACES:
        for folder, inner, names in os.walk(root / place):
            inner[:] = [name for name in inner if name != "__pycache__"]
            for path in (os.path.join(folder, name) for name in names):
                if os.path.isfile(path):  # an editor's lock is a link to nowhere
                    _noted[path] = file_hash(Path(path))


def noted(path: Path) -> dict[Path, str]:
    """A file or the files of a folder, with their hashes when the process began; empty where
    `note` was not called or knows none of them.
    """
    inside = f"{path}{os.sep}"
    found = {Path(name): it for name, it in _noted.items() if f"{name}{os.sep}".startswith(inside)}
    return dict(sorted(found.items()))


def edited(path: Path) -> bool:
    """Whether noted code is no longer what it was."""
    known = noted(path)
    return bool(known) and known != {file: file_hash(file) for file in files_in(path)}


def files_in(path: Path) -> Iterator[Path]:
    """A file, or the files below a folder, in order; compiled code is none."""
    if path.is_dir():
        yield from sorted(
            file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts
        )
    else:
        yield path
