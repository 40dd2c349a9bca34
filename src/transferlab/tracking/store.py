"""MLflow's store, opened: a first use that no second process disturbs, and no half-made file."""

import contextlib
import glob
import logging
import os
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from .address import database_of, tracking_uri, without_password
from .mlflow_runs import LOCK_SECONDS, Store, lock
from .moved import artifacts_of, follow, opened
from .presence import Presence
from .shown import VIEW_TAGS

logger = logging.getLogger(__name__)

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Bounds: a refusing server costs a call 1 s, a hanging one 20 s; MLflow's own are 248 s and
    # 1208 s.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # every failure is reported once, by us
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""Set before MLflow is imported, where the user has not set them."""

QUESTION = "api/2.0/mlflow/experiments/search?max_results=1"
ANSWER_SECONDS = 5.0  # for a server to begin an answer; its database may just be waking up

# the pages then show what belongs to training
KIND = {"mlflow.experimentKind": "custom_model_development", **VIEW_TAGS}


def prepare_store(experiment: str) -> "Store":
    """Open an experiment in the store of `tracking_uri()`.

    Args:
        experiment: its name, created on first use; `MLFLOW_EXPERIMENT_NAME` wins.

    Raises:
        ValueError: see `connect`.
    """
    client, artifacts = connect()
    with _told(database_of(tracking_uri())):
        number = experiment_of(client, experiment, artifacts)
    return Store(client, number, Presence.of(database_of(tracking_uri())))


def connect() -> tuple[Any, str | None]:
    """MLflow's client for `tracking_uri()`; a file that does not exist is created whole or not at
    all.

    Returns:
        The client, and where a local store keeps artifacts; a server knows that itself.

    Raises:
        ValueError: the server does not answer, or the database is damaged or of another version.
    """
    uri = tracking_uri()
    expect_answer(uri)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it tells of every retry
    from mlflow.tracking.client import MlflowClient  # 6 to 10 s

    database = database_of(uri)
    if database is None:
        return MlflowClient(uri, registry_uri=uri), None
    artifacts = artifacts_of(database).as_uri()
    database.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that create the tables at once make each other fail.
    with FileLock(f"{database}.init.lock", timeout=LOCK_SECONDS):
        _create_database(database, artifacts)
    with _told(database):
        client = MlflowClient(uri, registry_uri=uri)
        with FileLock(f"{database}.init.lock", timeout=LOCK_SECONDS):
            follow(database)
    return client, artifacts


@contextlib.contextmanager
def _told(database: Path | None) -> Iterator[None]:
    """What goes wrong with a local database in one line, with what to do."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error) as error:
        if database is None:
            raise
        reason = str(error).splitlines()[0]
        advice = "Copy it before you upgrade it; move it away if its creation was interrupted."
        if "locked" in reason:
            advice = "Try again when the process that holds it is done."
        raise ValueError(f"{database}: MLflow cannot use it: {reason}. {advice}") from error


def number_of(experiment: str | None, dataset: str) -> str:
    """The id of an experiment that there is; of the data set's if None, created on first use.

    Raises:
        ValueError: there is none of that name, or the store cannot be used.
    """
    opened = prepare_store(dataset)
    if experiment is None:
        return opened.experiment
    found = opened.client.get_experiment_by_name(experiment)
    if found is None or found.lifecycle_stage == "deleted":
        names = ", ".join(it.name for it in opened.client.search_experiments())
        raise ValueError(f"--experiment: expected one of {names}, got {experiment!r}.")
    return str(found.experiment_id)


def expect_answer(uri: str) -> None:
    """Find out in seconds, before the import, whether a server answers as MLflow's do; that it
    lives (`/health`) says nothing of the database behind it.
    """
    if not uri.startswith(("http://", "https://")):
        return
    import requests

    try:
        with requests.get(
            f"{uri.rstrip('/')}/{QUESTION}", timeout=ANSWER_SECONDS, stream=True
        ) as answer:
            problem = f"status {answer.status_code}" if answer.status_code >= 500 else ""
    except requests.exceptions.SSLError:
        problem = ""  # somebody answers; which certificates are good is set for MLflow, not here
    except requests.RequestException as error:
        problem = type(error).__name__
    if problem:
        place = without_password(uri)
        raise ValueError(f"{place}: expected an MLflow server, got no usable answer ({problem})")


def _create_database(database: Path, artifacts: str) -> None:
    """Create the tables beside their place and move them there when they are complete; the caller
    holds the lock.
    """
    for abandoned in glob.glob(f"{glob.escape(str(database))}.init-*"):
        Path(abandoned).unlink()
    if database.exists():
        if is_half_made(database):
            raise ValueError(
                f"{database}: expected MLflow's database, got a half-made or foreign file. Move it "
                "away and run again."
            )
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    unfinished = Path(f"{database}.init-{os.getpid()}")
    store: Any = SqlAlchemyStore(f"sqlite:///{unfinished}", artifacts)  # type: ignore[no-untyped-call]
    store.engine.dispose()
    os.replace(unfinished, database)


def is_half_made(database: Path) -> bool:
    """Whether a file is no database of MLflow's: without a version it is what an interrupted first
    use leaves, and MLflow fails on it for ever.
    """
    with contextlib.closing(opened(database, "ro")) as connection:
        try:
            return not connection.execute("SELECT version_num FROM alembic_version").fetchall()
        except sqlite3.DatabaseError as error:
            return "locked" not in str(error)  # in use, so somebody can use it


def experiment_name(dataset: str) -> str:
    """One experiment for each data set, unless the user names another."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or dataset


def experiment_of(client: Any, dataset: str, artifacts: str | None) -> str:
    """The id of the experiment, created on first use with an absolute place for its artifacts."""
    from mlflow.exceptions import MlflowException

    name = experiment_name(dataset)
    with lock():
        found = client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            _set_aside(client, found)
            found = None
        if found is None:
            try:
                return str(client.create_experiment(name, artifact_location=artifacts, tags=KIND))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            found = client.get_experiment_by_name(name)
        for tag, value in KIND.items():
            if found.tags.get(tag) != value:  # of an earlier version, or made by a person
                client.set_experiment_tag(found.experiment_id, tag, value)
    return str(found.experiment_id)


def _set_aside(client: Any, experiment: Any) -> None:
    """Give a deleted experiment another name, since MLflow keeps the name of what is deleted.

    It stays deleted, as somebody wanted, and nothing of it is lost.
    """
    number = experiment.experiment_id
    client.restore_experiment(number)
    client.rename_experiment(number, f"{experiment.name} (deleted, {number})")
    client.delete_experiment(number)
    logger.warning(
        "MLflow's experiment '%s' was deleted, so tracking begins a new one. To have it back: %s",
        experiment.name,
        restoring(number),
    )


def restoring(number: str) -> str:
    """The command that brings a deleted experiment back, as '<name> (deleted, <number>)'."""
    uri = shlex.quote(without_password(tracking_uri()))
    return f"MLFLOW_TRACKING_URI={uri} mlflow experiments restore --experiment-id {number}"
