"""What is wrong with the local tracking store, looked at without MLflow."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from ...tracking import address, diagnosis, moved, store
from .finding import Finding

SYNC = "transferlab sync"
"""It opens the store as every training does: closes runs of the dead, lets addresses follow."""


def problems(root: Path) -> Iterator[Finding]:
    """A store that is gone, half made or moved, and runs that are open although nobody writes them.

    Args:
        root: The checkout.
    """
    database = address.database_of(address.tracking_uri())
    if database is None:
        return
    if diagnosis.is_missing(root, database):
        what = f"{database} is gone, and dvc.lock says that results were tracked there."
        yield Finding(what, SYNC)
    elif database.is_file():
        yield from _in(database)


def _in(database: Path) -> Iterator[Finding]:
    if store.is_half_made(database):
        place = shlex.quote(str(database))
        what = f"{database} is half-made, or no database of MLflow's."
        yield Finding(what, f"mv {place} {place}.set-aside")
        return
    if dead := diagnosis.dead_runs(database):
        what = f"MLflow shows runs as running whose process is gone: {', '.join(dead)}."
        yield Finding(what, SYNC)
    if former := moved.former_homes(database):
        places = ", ".join(map(str, former))
        yield Finding(f"MLflow looks for artifacts where the repository was: {places}.", SYNC)
