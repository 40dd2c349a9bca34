"""MLflow's absolute addresses follow a repository that was moved or copied.

Every experiment, run and model carries the place of its artifacts from the day of its creation.
Without this a moved repository would make its old folder again, and a copy would write into the
original's.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from ..pipeline.places import home

logger = logging.getLogger(__name__)

FOLDER = "mlartifacts"

ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
    ("workspaces", "trace_archival_location"),
)
"""The columns of MLflow 3.17 that hold places of artifacts."""

LOCKED_SECONDS = 20.0  # as long as MLflow itself waits for others


def artifacts_of(database: Path) -> Path:
    """Where the artifacts of a local store lie: in the user's repository, with a database from
    elsewhere beside that.
    """
    return (home() if _belongs_here(database) else database.parent) / FOLDER


def former_homes(database: Path) -> list[Path]:
    """Where the repository of a local store was when artifacts got their addresses, if elsewhere.

    A database from outside the repository may be shared, and stays as it is. Changes nothing.
    """
    if not database.exists() or not _belongs_here(database):
        return []
    with closing(opened(database, "ro")) as connection:
        rows = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
    return sorted({place for (address,) in rows for place in _homes(address)} - {home()})


def follow(database: Path) -> None:
    """Let every address of an artifact point into the repository where it is now.

    All or nothing; the database as it was is kept beside it. The caller holds the store's lock.
    """
    former = former_homes(database)
    if not former:
        return
    kept = Path(f"{database}.before-move")
    with closing(opened(database, "rw")) as connection:
        _copy(connection, kept)
        with connection:
            for old in former:
                _rewrite(connection, old, home())
    logger.warning(
        "This repository was at %s before: MLflow's artifacts are now found and written here. "
        "The database as it was: %s",
        " and ".join(map(str, former)),
        kept,
    )


def _belongs_here(database: Path) -> bool:
    return database.resolve().is_relative_to(home())


def _homes(address: str | None) -> Iterator[Path]:
    """The repository that an experiment's place of artifacts was in, if it is one of ours."""
    parts = urlsplit(address or "")
    path = Path(unquote(parts.path) if parts.scheme == "file" else address or "")
    yield from (place.parent for place in (path, path.parent) if place.name == FOLDER)


def opened(database: Path, mode: str) -> sqlite3.Connection:
    """A local store without MLflow: "ro" to read, "rw" to write."""
    address = f"file:{quote(str(database))}?mode={mode}"
    return sqlite3.connect(address, uri=True, timeout=LOCKED_SECONDS)


def _copy(connection: sqlite3.Connection, path: Path) -> None:
    unfinished = Path(f"{path}.part")
    unfinished.unlink(missing_ok=True)
    with closing(sqlite3.connect(unfinished)) as copy:
        connection.backup(copy)
    os.replace(unfinished, path)


def _rewrite(connection: sqlite3.Connection, old: Path, new: Path) -> None:
    """Replace the beginning of all addresses, as MLflow writes them: with and without file://."""
    for before, after in ((old.as_uri(), new.as_uri()), (str(old), str(new))):
        values = {"before": f"{before}/", "after": f"{after}/"}
        for table, column in ADDRESSES:
            connection.execute(
                f"UPDATE {table} "
                f"SET {column} = :after || substr({column}, length(:before) + 1) "
                f"WHERE substr({column}, 1, length(:before)) = :before "
                # a repository that moved into a folder of its own old place
                f"AND substr({column}, 1, length(:after)) != :after",
                values,
            )
