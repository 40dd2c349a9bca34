"""Where MLflow keeps its runs: its address, and a first use that no second process disturbs."""

import contextlib
import glob
import logging
import os
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from filelock import FileLock

from ..pipeline.places import from_home, home
from .mlflow_runs import LOCK_SECONDS, Store

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Bounds: a refusing server costs a call 1 s, a hanging one 20 s; MLflow's own are 248 s and
    # 1208 s.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # every failure is reported once, by us
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Set before MLflow is imported, where the user has not set them."""

HEALTH_SECONDS = 3.0  # for a server to answer at all

# the pages then show what belongs to training
KIND = {"mlflow.experimentKind": "custom_model_development"}


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, else mlflow.db in the user's repository; a local file is always given
    absolutely.

    Raises:
        ValueError: the file's path holds a character that no SQLite address can carry.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    database = _database(uri or "sqlite:///mlflow.db")
    if database is None:
        return uri
    if found := set("%?") & set(str(database)):
        raise ValueError(
            f"{database}: expected a path without % and ? for MLflow's database, got "
            f"{' and '.join(sorted(found))}. "
            "Rename the folder, or set MLFLOW_TRACKING_URI."
        )
    return f"sqlite:///{database}"


def prepare_store() -> "Store":
    """Open the store of `tracking_uri()`; where it is a file that does not exist, create it whole
    or not at all.

    Raises:
        ValueError: the server does not answer, or the database is damaged or of another version.
    """
    uri = tracking_uri()
    expect_answer(uri)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it tells of every retry
    from mlflow.exceptions import MlflowException  # 6 to 10 s
    from mlflow.tracking.client import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    database = _database(uri)
    if database is None:
        client = MlflowClient(uri, registry_uri=uri)
        return Store(client, experiment_of(client, None))
    artifacts = (home() / "mlartifacts").as_uri()
    database.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that create the tables at once make each other fail.
    with FileLock(f"{database}.init.lock", timeout=LOCK_SECONDS):
        _create_database(database, artifacts)
    try:
        client = MlflowClient(uri, registry_uri=uri)
        return Store(client, experiment_of(client, artifacts))
    except (MlflowException, SQLAlchemyError) as error:
        reason = str(error).splitlines()[0]
        advice = "Copy it before you upgrade it; move it away if its creation was interrupted."
        if "locked" in reason:
            advice = "Try again when the process that holds it is done."
        raise ValueError(f"{database}: MLflow cannot use it: {reason}. {advice}") from error


def _database(uri: str) -> Path | None:
    """The file behind a SQLite address, relative ones counted from the repository; None for all
    other addresses.
    """
    if not uri.startswith("sqlite:///") or "?" in uri or uri.endswith(":memory:"):
        return None
    return from_home(uri.removeprefix("sqlite:///"))


def expect_answer(uri: str) -> None:
    """Find out in seconds, before the import, whether a server is there."""
    if not uri.startswith(("http://", "https://")):
        return
    import requests

    try:
        with requests.get(
            f"{uri.rstrip('/')}/health", timeout=HEALTH_SECONDS, stream=True
        ) as answer:
            problem = f"status {answer.status_code}" if answer.status_code >= 500 else ""
    except requests.exceptions.SSLError:
        problem = ""  # somebody answers; which certificates are good is set for MLflow, not here
    except requests.RequestException as error:
        problem = type(error).__name__
    if problem:
        raise ValueError(f"{uri}: expected an MLflow server, got no usable answer ({problem})")


def _create_database(database: Path, artifacts: str) -> None:
    """Create the tables beside their place and move them there when they are complete; the caller
    holds the lock.
    """
    for abandoned in glob.glob(f"{glob.escape(str(database))}.init-*"):
        Path(abandoned).unlink()
    if database.exists():
        _refuse_half_made(database)
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    unfinished = Path(f"{database}.init-{os.getpid()}")
    store: Any = SqlAlchemyStore(f"sqlite:///{unfinished}", artifacts)  # type: ignore[no-untyped-call]
    store.engine.dispose()
    os.replace(unfinished, database)


def _refuse_half_made(database: Path) -> None:
    """A database without a version is what an interrupted first use leaves; MLflow fails on it for
    ever.
    """
    address = f"file:{quote(str(database))}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
        try:
            versions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                return  # in use, so somebody can use it
            versions = []
    if not versions:
        raise ValueError(
            f"{database}: expected MLflow's database, got a half-made or foreign file. Move it "
            "away and run again."
        )


def experiment_of(client: Any, artifacts: str | None) -> str:
    """The id of the experiment, created on first use with an absolute place for its artifacts."""
    from mlflow.exceptions import MlflowException

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "transferlab"
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts, tags=KIND))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = client.get_experiment_by_name(name)
    return str(found.experiment_id)


def in_one_line(error: Exception) -> str:
    """An error in one line that shows no password."""
    text = " ".join(without_password(str(error) or type(error).__name__).split())
    return text if len(text) <= 400 else f"{text[:400]}..."


def without_password(text: str) -> str:
    """A text without what stands before the @ in the server's address."""
    user, at, _ = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", "")).netloc.rpartition("@")
    return text.replace(user + at, "") if user else text
