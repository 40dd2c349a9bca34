"""MLflow's store: one place, one creation, and no half-made database."""

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from tracked import PARENT, SRC, TAGS, every_run, store_in, sync

from transferlab.pipeline import files
from transferlab.tracking import address
from transferlab.tracking import store as storing
from transferlab.tracking.mlflow_runs import Store

pytestmark = pytest.mark.slow


def test_spaces_hashes_and_accents_in_the_path_work(
    tmp_path: Path, empty_store: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "my #1 é"
    home.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(home))
    store = store_in(home, empty_store)
    assert sync(checkout)
    run = every_run(store)["frozen · seed 1"]
    assert (home / "mlartifacts" / run.info.run_id / "artifacts/facts.json").is_file()


def test_a_file_store_that_lies_around_is_not_switched_to(
    store: Store, home: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_text(home / "mlruns/0/meta.yaml", "name: Default")
    monkeypatch.chdir(home)
    assert sync(checkout)
    assert len(every_run(store)) == 5
    assert [path.name for path in (home / "mlruns/0").iterdir()] == ["meta.yaml"]


@pytest.mark.parametrize(
    "content", [b"", b"not a database" * 100, "CREATE TABLE experiments (name TEXT)"]
)
def test_a_half_made_database_is_named_and_kept(content: bytes | str, home: Path) -> None:
    database = home / "mlflow.db"
    if isinstance(content, bytes):
        database.write_bytes(content)
    else:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute(content)
    before = database.read_bytes()
    with pytest.raises(
        ValueError, match=r"mlflow\.db: expected MLflow's database, got a half-made.*Move it away"
    ):
        storing.prepare_store("textures")
    assert database.read_bytes() == before


def test_a_creation_that_was_killed_leaves_nothing_that_disturbs_the_next(
    home: Path, empty_store: Path
) -> None:
    (home / "mlflow.db.init-4711").write_bytes(b"half")
    (home / "mlflow.db.init-4711-journal").write_bytes(b"half")
    store_in(home, empty_store)
    assert {path.name for path in home.glob("mlflow.db*")} == {"mlflow.db", "mlflow.db.init.lock"}


def test_an_old_schema_is_reported_as_mlflow_reports_it(
    store: Store, home: Path, tmp_path: Path
) -> None:
    del store
    with closing(sqlite3.connect(home / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '90e64c465722'")
    # MLflow remembers the store that it opened at this address, so look from another one.
    old = (home / "mlflow.db").rename(tmp_path / "old.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{old}")
        with pytest.raises(
            ValueError, match=r"old\.db: MLflow cannot use it: .*mlflow db upgrade.*Copy it before"
        ):
            storing.prepare_store("textures")


def test_a_deleted_experiment_stays_deleted_and_tracking_begins_a_new_one(
    store: Store, checkout: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert sync(checkout)
    store.client.delete_experiment(store.experiment)
    assert sync(checkout)
    new = storing.prepare_store("textures")
    assert new.experiment != store.experiment
    assert len(every_run(new)) == 5
    (said,) = caplog.messages
    command = said.partition("To have it back: ")[2]
    assert command.startswith(f"MLFLOW_TRACKING_URI={address.tracking_uri()} mlflow experiments ")
    store.client.restore_experiment(command.split()[-1])
    restored = store.client.get_experiment(store.experiment)
    assert restored.name == f"textures (deleted, {store.experiment})"
    assert len(every_run(store)) == 5


def test_an_experiment_that_there_is_not_is_refused_with_those_that_there_are(
    store: Store,
) -> None:
    assert storing.number_of(None, "textures") == store.experiment
    assert storing.number_of("textures", "textures") == store.experiment
    with pytest.raises(
        ValueError, match=r"^--experiment: expected one of .*textures.*, got 'birds'\.$"
    ):
        storing.number_of("birds", "textures")


def test_a_server_without_an_answer_is_named_without_its_password(closed_port: str) -> None:
    with pytest.raises(ValueError, match=rf"^http://127.0.0.1:{closed_port}: expected an MLflow"):
        storing.number_of(None, "textures")


@pytest.mark.drill
def test_four_processes_that_use_a_new_store_at_once_all_succeed(home: Path) -> None:
    code = (
        "from transferlab.tracking import store; s = store.prepare_store('textures'); "
        f"s.training(str(__import__('os').getpid()), {{}}, {TAGS}, "
        f"s.comparison({PARENT}, 'x').info.run_id)"
    )
    environment = {**os.environ, "PYTHONPATH": SRC}
    processes = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(4)]
    assert [process.wait(300) for process in processes] == [0, 0, 0, 0]
    kinds = Counter(
        run.data.tags["transferlab.kind"]
        for run in storing.prepare_store("textures").runs("attributes.run_id != ''")
    )
    assert kinds == {"training": 4, "comparison": 1}
