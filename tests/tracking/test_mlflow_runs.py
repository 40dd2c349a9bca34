"""Names and values as MLflow takes them, and runs that nobody writes any more."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracked import SRC, every_run

from transferlab.tracking import diagnosis
from transferlab.tracking.mlflow_runs import KEY, Store
from transferlab.tracking.presence import FORMER, WRITER, Presence
from transferlab.tracking.writer import metric_name

# Runs


@pytest.fixture
def writer(store: Store) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes runs of this store; its first line is its name among them."""
    code = (
        "import sys, time; from pathlib import Path; from transferlab.tracking import presence\n"
        "own = presence.Presence.of(Path(sys.argv[1]))\n"
        "print(own.name, flush=True); time.sleep(600)"
    )
    database = store.presence.folder.with_suffix("")
    command = [sys.executable, "-c", code, str(database)]
    environment = {**os.environ, "PYTHONPATH": SRC}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        yield process
        process.kill()


@pytest.mark.slow
def test_open_runs_of_dead_processes_are_closed_and_those_of_the_living_are_not(
    store: Store, home: Path, writer: subprocess.Popen[str]
) -> None:
    assert writer.stdout is not None
    other = writer.stdout.readline().strip()
    written_by = {"own": store.presence.name, "other": other, "swept": "0" * 32, "foreign": "../x"}
    tags = {name: {WRITER: tag} for name, tag in written_by.items()}
    former = {"transferlab.host": "before", FORMER: "17"}  # as the version before wrote them
    tags |= {"former": former, "taken over": {**former, WRITER: other}, "the user's own": {}}
    for name, known in tags.items():
        store.client.create_run(store.experiment, run_name=name, tags=known)
    assert diagnosis.dead_runs(home / "mlflow.db") == ["swept", "foreign", "former"]
    statuses = dict.fromkeys(tags, "RUNNING") | {"swept": "KILLED", "foreign": "KILLED"}
    statuses |= {"former": "KILLED"}
    store.close_stale()
    assert {name: run.info.status for name, run in every_run(store).items()} == statuses
    writer.kill()
    writer.wait()
    assert diagnosis.dead_runs(home / "mlflow.db") == ["other", "taken over"]
    store.close_stale()
    assert {name: run.info.status for name, run in every_run(store).items()} == {
        **statuses,
        "other": "KILLED",
        "taken over": "KILLED",
    }
    assert [path.name for path in store.presence.folder.iterdir()] == [store.presence.name]


@pytest.mark.slow
def test_what_writes_to_a_server_from_another_machine_is_not_called_dead(
    store: Store, home: Path
) -> None:
    server = Presence.of(None)
    (home / "mlflow.db.writers-elsewhere").mkdir()
    (home / "mlflow.db.writers-elsewhere" / ("a" * 32)).touch()  # of a killed process of this one
    assert [server.dead(name) for name in ("a" * 32, "b" * 32, "../mlflow.db")] == [
        True,
        False,
        False,
    ]


@pytest.mark.slow
def test_waiting_for_other_writers_ends_with_them(
    store: Store, writer: subprocess.Popen[str]
) -> None:
    assert writer.stdout is not None
    tags = {WRITER: writer.stdout.readline().strip(), KEY: "a" * 64}
    store.client.create_run(store.experiment, tags=tags)
    store.wait_for_writers({"b" * 64}, seconds=600)  # nobody's
    ended = threading.Timer(0.3, writer.kill)
    ended.start()
    store.wait_for_writers({"a" * 64}, seconds=600)
    assert writer.wait(0.2) == -signal.SIGKILL
    ended.join()


# Names


@pytest.mark.parametrize(
    ("name", "accepted"),
    [("train_loss", "train_loss"), ("recall/ants:é", "recall/ants__"), ("a" * 300, "a" * 250)],
)
def test_metric_names_are_made_acceptable(name: str, accepted: str) -> None:
    assert metric_name(name) == accepted
