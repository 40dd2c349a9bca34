"""The local tracking store, looked at without MLflow."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from transferlab.commands.doctor import stores
from transferlab.commands.doctor.finding import Finding
from transferlab.tracking.presence import Presence

TABLES = """
CREATE TABLE alembic_version (version_num TEXT);
INSERT INTO alembic_version VALUES ('1');
CREATE TABLE experiments (artifact_location TEXT);
CREATE TABLE runs (run_uuid TEXT, name TEXT, status TEXT, lifecycle_stage TEXT, start_time INT);
CREATE TABLE tags (run_uuid TEXT, key TEXT, value TEXT);
"""


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def problems(own_home: Path) -> list[Finding]:
    return list(stores.problems(own_home))


def execute(own_home: Path, statement: str, *values: str) -> None:
    with closing(sqlite3.connect(own_home / "mlflow.db")) as opened, opened:
        opened.execute(statement, values)


def open_run(own_home: Path, name: str, writer: str, status: str = "RUNNING") -> None:
    execute(own_home, "INSERT INTO runs VALUES (?, ?, ?, 'active', 0)", name, name, status)
    execute(own_home, "INSERT INTO tags VALUES (?, 'transferlab.writer', ?)", name, writer)


@pytest.fixture
def store(own_home: Path) -> Path:
    with closing(sqlite3.connect(own_home / "mlflow.db")) as opened:
        opened.executescript(TABLES)
    return own_home / "mlflow.db"


def test_runs_of_dead_processes_are_told_and_those_of_living_ones_are_not(
    own_home: Path, store: Path
) -> None:
    living = Presence.of(store)
    open_run(own_home, "living", living.name)
    open_run(own_home, "ended", "0" * 32, status="FINISHED")
    assert problems(own_home) == []
    open_run(own_home, "left", "0" * 32)
    (found,) = problems(own_home)
    assert found.what == "MLflow shows runs as running whose process is gone: left."
    assert found.command == "transferlab sync"
    living.leave()


def test_a_store_that_came_from_another_place_is_told(own_home: Path, store: Path) -> None:
    execute(own_home, "INSERT INTO experiments VALUES (?)", f"{own_home}/mlartifacts")
    assert problems(own_home) == []
    execute(own_home, "INSERT INTO experiments VALUES (?)", "/elsewhere/lab/mlartifacts")
    (found,) = problems(own_home)
    assert found.what == "MLflow looks for artifacts where the repository was: /elsewhere/lab."


def test_a_store_that_is_gone_is_told_where_results_were_tracked(own_home: Path) -> None:
    assert problems(own_home) == []
    (own_home / "dvc.lock").write_text("stages:\n  track:\n    cmd: python\n")
    (found,) = problems(own_home)
    assert found.what.startswith(f"{own_home}/mlflow.db is gone")
    assert found.command == "transferlab sync"


@pytest.mark.parametrize("bytes_there", [b"", b"SQLite format 3\0 cut off", b"text"])
def test_a_half_made_store_is_told_and_set_aside(own_home: Path, bytes_there: bytes) -> None:
    (own_home / "mlflow.db").write_bytes(bytes_there)
    (found,) = problems(own_home)
    assert found.what == f"{own_home}/mlflow.db is half-made, or no database of MLflow's."
    subprocess.run(found.command, shell=True, check=True)
    assert problems(own_home) == []
    assert (own_home / "mlflow.db.set-aside").read_bytes() == bytes_there
