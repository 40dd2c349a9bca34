"""A store follows its repository: moved or copied, it writes to itself and finds what is old."""

import hashlib
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking._tracking_service import utils
from tracked import every_run, results, store_in, sync, write_predictions

from transferlab.pipeline import files
from transferlab.tracking import moved
from transferlab.tracking import store as storing


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A repository whose store holds a comparison, a registered and a logged model, a trace and an
    experiment that the user made in a notebook.
    """
    root = tmp_path_factory.mktemp("original") / "my #1 é"
    results(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = store_in(root, empty_store)
        assert sync(root)
        run = every_run(store)["frozen · seed 0"]
        model = store.client.create_logged_model(store.experiment, name="net")
        store.client.log_model_artifact(model.model_id, str(root / "reports/report.md"))
        store.client.create_registered_model("net")
        store.client.create_model_version("net", run.info.artifact_uri, run.info.run_id)
        store.client.create_experiment("notebook", artifact_location=str(root / "mlruns/7"))
    with closing(sqlite3.connect(root / "mlflow.db")) as connection, connection:
        tag = ("mlflow.artifactLocation", f"{(root / 'mlartifacts').as_uri()}/traces/t", "t")
        connection.execute("INSERT INTO trace_tags (key, value, request_id) VALUES (?, ?, ?)", tag)
    return root


def digest(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def texts(database: Path) -> dict[str, list[str]]:
    """Every column of every table, as "table.column", and the texts that it holds."""
    with closing(sqlite3.connect(database)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            f"{table}.{column}": [
                value
                for (value,) in connection.execute(f'SELECT "{column}" FROM "{table}"')
                if isinstance(value, str)
            ]
            for (table,) in tables.fetchall()
            for _, column, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall()
        }


def pointing_to(place: Path, database: Path) -> dict[str, int]:
    """How many values of each column name something in a folder."""
    starts = (f"{place}/", f"{place.as_uri()}/")
    found = {
        name: sum(v.startswith(starts) for v in values) for name, values in texts(database).items()
    }
    return {name: count for name, count in found.items() if count}


def enter(root: Path, monkeypatch: pytest.MonkeyPatch) -> storing.Store:
    """As a new process would: without the places that MLflow remembers of each run."""
    utils._artifact_repos_cache.clear()
    monkeypatch.setenv("DVC_ROOT", str(root))
    return storing.prepare_store("textures")


def expect_all_here(root: Path, store: Any) -> None:
    """Old artifacts are found, and new ones are written, below a folder."""
    run = every_run(store)["frozen · seed 0"]
    read = store.client.download_artifacts(run.info.run_id, "seed-0.safetensors", str(root))
    assert Path(read).read_text() == "tensors of 0"
    (model,) = store.client.search_logged_models([store.experiment])
    assert [item.path for item in store.client.list_logged_model_artifacts(model.model_id)] == [
        "report.md"
    ]
    address = store.client.get_model_version_download_uri("net", "1")
    assert address == (root / "mlartifacts" / run.info.run_id / "artifacts").as_uri()
    write_predictions(root / "predictions/frozen.csv", 2, hits=3)
    assert sync(root)
    rows = files.read_csv(root / f"mlartifacts/{run.info.run_id}/artifacts/predictions.csv")
    assert sum(row["predicted"] == row["label"] for row in rows) == 3


@pytest.mark.slow
@pytest.mark.parametrize("place", ["elsewhere", "100 & one", "home/inner"])
def test_a_moved_repository_writes_to_itself_and_finds_what_is_old(
    place: str,
    original: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old, new = tmp_path / "home", tmp_path / place
    shutil.copytree(original, old)
    enter(old, monkeypatch)
    before = pointing_to(old, old / "mlflow.db")
    old.rename(tmp_path / "on its way")
    new.parent.mkdir(exist_ok=True)
    (tmp_path / "on its way").rename(new)
    caplog.clear()
    expect_all_here(new, enter(new, monkeypatch))
    (said,) = caplog.messages
    assert said.startswith(f"This repository was at {old} before: ")
    assert pointing_to(new, new / "mlflow.db") == before
    assert set(before) == {f"{table}.{column}" for table, column in moved.ADDRESSES} - {
        "workspaces.trace_archival_location"
    }
    assert pointing_to(old, new / "mlflow.db.before-move") == before
    assert not [
        path for path in old.rglob("*") if not path.is_relative_to(new) and path != new.parent
    ]


@pytest.mark.slow
def test_a_copied_repository_leaves_the_original_alone(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, copy = digest(original), tmp_path / "copy"
    shutil.copytree(original, copy)
    expect_all_here(copy, enter(copy, monkeypatch))
    assert digest(original) == before
    assert pointing_to(original, copy / "mlflow.db") == {}


@pytest.mark.slow
def test_a_rewriting_that_fails_changes_nothing(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    before = texts(copy / "mlflow.db")
    monkeypatch.setattr(moved, "ADDRESSES", (*moved.ADDRESSES, ("no_such_table", "uri")))
    with pytest.raises(ValueError, match=r"mlflow\.db: MLflow cannot use it: no such table"):
        enter(copy, monkeypatch)
    assert texts(copy / "mlflow.db") == before


@pytest.mark.slow
def test_a_database_from_outside_the_repository_is_left_as_it_is(
    original: Path, home: Path
) -> None:
    """Others may use it too, and their artifacts lie where it says."""
    shared, link = original / "mlflow.db", home / "mlflow.db"
    link.symlink_to(shared)
    assert [moved.former_homes(path) for path in (shared, link)] == [[], []]
    assert moved.artifacts_of(shared) == original / "mlartifacts"
    assert moved.artifacts_of(home / "runs.db") == home / "mlartifacts"


@pytest.mark.slow
def test_every_place_of_artifacts_in_mlflow_s_tables_is_known(empty_store: Path) -> None:
    named = {name for name in texts(empty_store) if re.search(r"(location|uri|\bsource)$", name)}
    others = {"mcp_server_versions.source", "evaluation_dataset_records.source"}
    tags = {"trace_tags.value"}
    assert named - others | tags == {f"{table}.{column}" for table, column in moved.ADDRESSES}
