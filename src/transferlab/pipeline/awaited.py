"""Saved trainings are needed until `dvc.lock` names their result: only then nothing is lost where
they go.

Standard library only at first, because every stage imports it. Beside `<key>.pt` stands
`<key>.result` with the md5 of the file that the training's result went into, and once DVC has
recorded that, `<key>.recorded`.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from .files import file_hash, write_text
from .places import home
from .recorded import outputs

FOLDER = ".cache/transferlab/resume"  # of the home
RESULT, RECORDED = ".result", ".recorded"


def saved_as(key: str) -> Path:
    """Where the training of this name saves itself."""
    return home() / FOLDER / f"{key}.pt"


def await_record(keys: Iterable[str], result: Path) -> None:
    """Note which file the results of trainings are in; a cache that cannot be written costs
    nothing.
    """
    md5 = file_hash(result, "md5")
    for path in filter(Path.is_file, map(saved_as, keys)):
        with contextlib.suppress(OSError):
            mark_of(path).unlink(missing_ok=True)
            write_text(path.with_suffix(RESULT), md5)


def note_records(root: Path) -> None:
    """Mark the trainings whose results the `dvc.lock` of a checkout names: a temporary one is
    deleted later.
    """
    waiting = list((home() / FOLDER).glob(f"*{RESULT}"))
    known = {output.md5 for output in outputs(root)} if waiting else set()
    for path in waiting:
        with contextlib.suppress(OSError):  # another stage marks as well
            if path.read_text(encoding="utf-8") in known:
                path.rename(mark_of(path))


def mark_of(path: Path) -> Path:
    """The file beside a saved training that says: DVC has recorded its result."""
    return path.with_suffix(RECORDED)


def recorded_at(path: Path) -> float | None:
    """When a saved training last gave a result that DVC recorded, in seconds since 1970; None
    where DVC has not recorded its last one.
    """
    try:
        return mark_of(path).stat().st_mtime
    except OSError:
        return None


def forget(path: Path) -> None:
    """Delete a saved training, the save before it, and what is noted of it."""
    for suffix in (".pt", ".previous.pt", RESULT, RECORDED):
        path.with_suffix(suffix).unlink(missing_ok=True)
