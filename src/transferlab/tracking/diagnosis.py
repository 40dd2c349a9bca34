"""What is wrong with a local store, looked at without MLflow; nothing is changed."""

import sqlite3
from contextlib import closing
from pathlib import Path

from .moved import opened
from .presence import FORMER, WRITER, Presence

OPEN = """
SELECT runs.name, max(CASE tags.key WHEN ? THEN tags.value ELSE '' END)
FROM runs JOIN tags USING (run_uuid)
WHERE runs.status = 'RUNNING' AND runs.lifecycle_stage = 'active' AND tags.key IN (?, ?)
GROUP BY runs.run_uuid
ORDER BY runs.start_time
"""


def dead_runs(database: Path) -> list[str]:
    """Names of the runs that are open although the process that wrote them is gone; the next
    training or `track` closes them as KILLED.
    """
    presence = Presence.of(database)
    try:
        with closing(opened(database, "ro")) as connection:
            rows = connection.execute(OPEN, (WRITER, WRITER, FORMER)).fetchall()
    except sqlite3.DatabaseError:
        return []  # no database of MLflow's: `store.is_half_made` says so
    return [name for name, writer in rows if presence.dead(writer)]


def is_missing(root: Path, database: Path) -> bool:
    """Whether dvc.lock says that results were tracked, and the store is gone: `dvc repro` then
    finds nothing to do, and `transferlab sync` sends them again.
    """
    lock = root / "dvc.lock"
    return not database.exists() and lock.exists() and "\n  track:" in lock.read_text("utf-8")
