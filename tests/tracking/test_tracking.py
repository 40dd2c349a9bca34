"""Tracking: it never touches a training, it logs nothing twice, and it leaves no run open."""

import json
import math
import os
import queue
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from transferlab.pipeline import files
from transferlab.tracking import child as receiver
from transferlab.tracking import sender
from transferlab.tracking import store as storing
from transferlab.tracking import sync as syncing
from transferlab.tracking.mlflow_runs import Store, _process_tags, flat, metric_name
from transferlab.tracking.sender import Tracker, parent_identity

SRC = str(Path(syncing.__file__).parents[2])
PARENT = {"key": "f" * 64, "name": "comparison"}
PARAMS = {"dataset": {"name": "textures"}, "backbone": {"name": "tiny"}, "train": {"lr": 0.1}}
ROW = {"phase": "main", "lr": 0.1, "train_loss": 0.5, "validation_accuracy": None}


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database, because creating one takes seconds and copying it none."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        storing.prepare_store()
    return folder / "mlflow.db"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "MLFLOW_TRACKING_URI",
        "MLFLOW_EXPERIMENT_NAME",
        "TRANSFERLAB_TRACKING",
        "DVC_EXP_NAME",
    ):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(folder))
    return folder


@pytest.fixture
def store(home: Path, empty_store: Path) -> Store:
    return store_in(home, empty_store)


def store_in(home: Path, empty_store: Path) -> Store:
    shutil.copy(empty_store, home / "mlflow.db")
    with closing(sqlite3.connect(home / "mlflow.db")) as connection, connection:
        place = (home / "mlartifacts").as_uri()
        connection.execute("UPDATE experiments SET artifact_location = ?", (place,))
    return storing.prepare_store()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return results(tmp_path / "checkout")


START = {
    "origin": "mine.pth",
    "sha256": "b" * 64,
    "source_file_sha256": "d" * 64,
}
FILE = {
    "name": "mine.pth",
    "tensors_used": 3,
    "tensors_held": 4,
    "undone": ["opened 'net'", "cast from float16"],
}


def write_predictions(path: Path, seeds: int, hits: int) -> None:
    """Eight images per seed, of which so many are recognised; the loss is a quarter of a nat."""
    rows = [
        {
            "seed": seed,
            "id": f"test/a/{image}.png",
            "label": "a",
            "predicted": "a" if image < hits else "b",
            "p_a": math.exp(-0.25),
        }
        for seed in range(seeds)
        for image in range(8)
    ]
    files.write_csv(path, list(rows[0]), rows)


def results(root: Path, seeds: int = 2, epochs: int = 3) -> Path:
    """What the stages before `track` leave: one strategy that finished and one that diverged at
    epoch 2.
    """
    for strategy, diverged in (("frozen", None), ("wild", 2)):
        outcomes = {
            str(seed): {
                "key": files.content_hash([strategy, seed]),
                "status": "diverged" if diverged else "finished",
                "diverged_epoch": diverged,
                "best_epoch": 1,
                "validation_accuracy": None if diverged else 0.75,
                "model_sha256": "0" * 64,
            }
            for seed in range(seeds)
        }
        facts = {"strategy": strategy, "learner": "gradient", "params": PARAMS, "seeds": outcomes}
        files.write_json(root / f"runs/{strategy}/facts.json", facts)
        files.write_json(
            root / f"runs/{strategy}/costs.json",
            {"seconds_per_seed": {seed: 2.5 for seed in outcomes}},
        )
        rows = [
            {
                "strategy": strategy,
                "seed": seed,
                "phase": "main",
                "epoch": epoch,
                "train_loss": 1 / epoch,
                "chosen": 0,
            }
            for seed in range(seeds)
            for epoch in range(1, diverged or epochs + 1)
        ]
        files.write_csv(root / f"runs/{strategy}/history.csv", list(rows[0]), rows)
        if not diverged:
            write_predictions(root / f"predictions/{strategy}.csv", seeds, hits=7)
            for seed in outcomes:
                files.write_text(
                    root / f"models/{strategy}/seed-{seed}.safetensors", f"tensors of {seed}"
                )
    summary = {
        "frozen": {"accuracy": 0.875, "seeds": seeds, "status": "finished"},
        "wild": {"accuracy": None, "seeds": seeds, "status": "diverged at epoch 2 (seed 0, lr 9)"},
    }
    files.write_json(root / "metrics/summary.json", summary)
    files.write_json(root / "data/weights/start.json", START)
    files.write_json(root / "data/weights/file.json", FILE)
    files.write_text(root / "reports/report.md", "# Report")
    files.write_text(root / "reports/figures/cost.png", "a picture")
    files.write_text(root / "params.yaml", json.dumps(PARAMS))
    return root


def sync(root: Path) -> bool:
    return syncing.sync(root, ["frozen", "wild"], PARAMS)


def every_run(store: Store) -> dict[str, Any]:
    return {run.info.run_name: run for run in store.runs("attributes.run_id != ''")}


def points(store: Store) -> int:
    """How many metric values the database holds."""
    with closing(sqlite3.connect(storing.tracking_uri().removeprefix("sqlite:///"))) as connection:
        return int(connection.execute("SELECT count(*) FROM metrics").fetchone()[0])


class OneByOne(queue.SimpleQueue[Any]):
    """Messages that come so slowly that each is sent before the next one comes."""

    def empty(self) -> bool:
        return True


def serve(*messages: dict[str, Any]) -> None:
    waiting = OneByOne()
    for message in (*messages, None):
        waiting.put(message if message is None else {"time": 1000, "key": "a" * 64, **message})
    receiver.serve(storing.prepare_store(), waiting)


def start(**changes: Any) -> dict[str, Any]:
    tags = {"strategy": "frozen", "seed": "0"}
    return {
        "do": "start",
        "name": "frozen seed 0",
        "params": {"lr": 0.1},
        "tags": tags,
        "parent": PARENT,
        **changes,
    }


def row(step: int, **changes: Any) -> dict[str, Any]:
    return {"do": "log", "step": step, "metrics": ROW | {"epoch": step} | changes}


def live(checkout: Path, *messages: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Messages of the training behind the files of frozen, seed 0."""
    key = files.read_json(checkout / "runs/frozen/facts.json")["seeds"]["0"]["key"]
    parent = parent_identity(files.file_hash(checkout / "params.yaml"))
    return ({"key": key} | message for message in (start(parent=parent), *messages))


END = {"do": "end", "status": "FINISHED"}


# Places


def test_the_store_of_a_queued_experiment_is_the_one_of_the_users_repository(
    store: Store, home: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout)
    before = sorted(checkout.rglob("*"))
    assert sync(checkout)
    run = every_run(store)["frozen seed 0"]
    assert storing.tracking_uri() == f"sqlite:///{home}/mlflow.db"
    assert (
        home / "mlartifacts" / run.info.run_id / "artifacts/seed-0.safetensors"
    ).read_text() == "tensors of 0"
    assert sorted(checkout.rglob("*")) == before


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("sqlite:////data/runs.db", "sqlite:////data/runs.db"),
        ("sqlite:///runs.db", "sqlite:///{home}/runs.db"),
    ],
)
def test_a_given_address_wins_and_relative_ones_count_from_the_repository(
    given: str, used: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert storing.tracking_uri() == used.format(home=home)


@pytest.mark.parametrize("name", ["100%", "50%20", "why?", "?%"])
def test_a_path_that_sqlite_cannot_carry_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / name))
    with pytest.raises(ValueError, match=r"expected a path without % and \?.*Rename the folder"):
        storing.tracking_uri()


def test_spaces_hashes_and_accents_in_the_path_work(
    tmp_path: Path, empty_store: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "my #1 é"
    home.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(home))
    store = store_in(home, empty_store)
    assert sync(checkout)
    run = every_run(store)["frozen seed 1"]
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
        storing.prepare_store()
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
            storing.prepare_store()


@pytest.mark.slow
def test_four_processes_that_use_a_new_store_at_once_all_succeed(home: Path) -> None:
    code = (
        "from transferlab.tracking import store; s = store.prepare_store(); "
        f"s.training(str(__import__('os').getpid()), 'x', {{}}, {{}}, "
        f"s.comparison({PARENT}).info.run_id)"
    )
    environment = {**os.environ, "PYTHONPATH": SRC}
    processes = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(4)]
    assert [process.wait(300) for process in processes] == [0, 0, 0, 0]
    kinds = Counter(
        run.data.tags["transferlab.kind"]
        for run in storing.prepare_store().runs("attributes.run_id != ''")
    )
    assert kinds == {"training": 4, "comparison": 1}


# The server


@pytest.fixture
def closed_port(monkeypatch: pytest.MonkeyPatch) -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://name:secret@127.0.0.1:{port}")
    return str(port)


@pytest.fixture
def hanging_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        yield str(port)


@pytest.fixture
def dying_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It is healthy, and then closes every connection without an answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/health":
                self.send_response(200)
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each write to the child, whether it would wait for room in the pipe."""
    seen, write = [], os.write

    def watched(descriptor: int, content: Any) -> int:
        seen.append(os.get_blocking(descriptor))
        return write(descriptor, content)

    monkeypatch.setattr(sender.os, "write", watched)
    return seen


def train(epochs: int = 3) -> None:
    """A training whose second epoch lasts until the child is gone."""
    with Tracker(patience=20) as tracked:
        for step in range(epochs):
            tracked.start("a" * 64, "frozen seed 0", {"lr": 0.1}, {"strategy": "frozen"}, PARENT)
            tracked.log("a" * 64, step, ROW)
            if tracked._child is not None:
                tracked._child.wait(20)
        tracked.end("a" * 64, "FINISHED")


@pytest.mark.parametrize(
    ("server", "problem"), [("closed_port", "ConnectionError"), ("hanging_port", "ReadTimeout")]
)
def test_a_dead_server_is_one_warning_and_nothing_that_a_training_waits_for(
    server: str,
    problem: str,
    waits: list[bool],
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    request.getfixturevalue(server)
    train()
    assert set(waits) == {False}
    (warning,) = caplog.messages
    assert f"expected an MLflow server, got no usable answer ({problem})" in warning
    assert "dvc repro --single-item --force track" in warning
    assert "secret" not in warning
    assert "Traceback" in sender.log_file().read_text()
    assert "secret" not in sender.log_file().read_text()


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        ("closed_port", "no usable answer (ConnectionError)"),
        ("hanging_port", "no usable answer (ReadTimeout)"),
        ("dying_server", "experiments/get-by-name failed with exception HTTPConnectionPool"),
    ],
)
def test_a_sync_without_server_gives_up_with_one_warning(
    server: str,
    problem: str,
    checkout: Path,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    request.getfixturevalue(server)
    assert not sync(checkout)
    (warning,) = caplog.messages
    assert problem in warning
    assert "dvc repro --single-item --force track" in warning


def test_what_a_server_that_dies_while_training_missed_is_added_by_sync_once(
    store: Store, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = type(store.client)
    log_batch, calls = client.log_batch, iter(("params", "first row", "second row"))

    def dies(*arguments: Any) -> None:
        if next(calls, None) is None:
            raise ConnectionError("the server went away")
        log_batch(*arguments)

    monkeypatch.setattr(client, "log_batch", dies)
    with pytest.raises(ConnectionError):
        serve(*live(checkout, row(1), row(2), row(3)))
    assert points(store) == 4
    monkeypatch.setattr(client, "log_batch", log_batch)
    assert sync(checkout)
    history = store.client.get_metric_history(
        every_run(store)["frozen seed 0"].info.run_id, "train_loss"
    )
    assert [point.step for point in history] == [1, 2, 3]
    assert {run.info.status for run in every_run(store).values()} == {"FINISHED"}


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_a_database_that_stays_locked_is_given_up_with_one_warning(
    home: Path, checkout: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(sqlite3.connect(home / "mlflow.db", isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        assert not sync(checkout)
        connection.execute("COMMIT")
    (warning,) = caplog.messages
    assert "database is locked. Try again when" in warning
    assert sync(checkout)


# Runs


def test_a_training_is_a_run_below_its_comparison(store: Store) -> None:
    serve(start(params={"train": {"lr": 0.1}, "rates": {"*": None}}), row(1), row(2), END)
    runs = every_run(store)
    child, parent = runs["frozen seed 0"], runs["comparison"]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.params == {
        "train.lr": "0.1",
        "rates": '{"*": null}',
        "strategy": "frozen",
        "seed": "0",
    }
    assert child.data.metrics == {"lr": 0.1, "train_loss": 0.5}
    assert [point.step for point in store.client.get_metric_history(child.info.run_id, "lr")] == [
        1,
        2,
    ]
    assert {child.info.status, parent.info.status} == {"FINISHED"}


def test_a_finished_training_is_not_logged_again(store: Store) -> None:
    serve(start(), row(1), END)
    serve(start(), row(1), row(2), END)
    assert len(every_run(store)) == 2
    assert points(store) == 2


def test_a_resumed_training_goes_on_in_its_run_and_changes_no_param(store: Store) -> None:
    serve(start(), row(1), row(2))
    assert {run.info.status for run in every_run(store).values()} == {"KILLED"}
    serve(start(params={"lr": 0.2, "late": 1}), row(2, train_loss=9.0), row(3), END)
    run = every_run(store)["frozen seed 0"]
    history = store.client.get_metric_history(run.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert run.data.params == {"lr": "0.1", "late": "1", "strategy": "frozen", "seed": "0"}
    assert {run.info.status for run in every_run(store).values()} == {"FINISHED"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_finite_number_becomes_a_tag(value: float, store: Store) -> None:
    serve(start(), row(1), row(2, train_loss=value), END)
    run = every_run(store)["frozen seed 0"]
    assert run.data.metrics["train_loss"] == 0.5
    assert run.data.tags["not_finite.train_loss"] == f"{value} at step 2"


def test_open_runs_of_dead_processes_are_closed_and_those_of_the_living_are_not(
    store: Store,
) -> None:
    alive = store.training("a" * 64, "alive", {}, {}, "0" * 32)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    changes = {
        "dead": {"transferlab.pid": str(dead.pid)},
        "number used again": {"transferlab.pid_started": "1"},
        "elsewhere": {"transferlab.host": "another machine", "transferlab.pid": str(dead.pid)},
    }
    for name, tags in changes.items():
        store.client.create_run(store.experiment, run_name=name, tags=_process_tags() | tags)
    store.close_stale()
    assert {name: run.info.status for name, run in every_run(store).items()} == {
        "alive": "RUNNING",
        "dead": "KILLED",
        "number used again": "KILLED",
        "elsewhere": "RUNNING",
    }
    assert alive.run.info.status == "RUNNING"


def test_a_short_training_does_not_wait_for_mlflow_and_is_left_to_sync(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "mlflow.py").write_text("raise RuntimeError('the child imported MLflow')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Tracker() as tracked:
        tracked.start("a" * 64, "frozen seed 0", {}, {}, PARENT)
        tracked.log("a" * 64, 1, ROW)
        tracked.end("a" * 64, "FINISHED")
    assert every_run(store) == {}
    assert caplog.messages == []


@pytest.mark.slow
def test_the_run_of_a_training_that_is_killed_is_closed_as_killed(store: Store, home: Path) -> None:
    code = (
        "import time\nfrom transferlab.tracking.sender import Tracker\n"
        "with Tracker() as tracked:\n"
        f"    tracked.start('a' * 64, 'frozen seed 0', {{}}, {{}}, {PARENT})\n"
        f"    tracked.log('a' * 64, 1, {{'lr': 0.1}})\n"
        "    print(tracked._child.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": SRC}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment
    ) as training:
        assert training.stdout is not None
        child = psutil.Process(int(training.stdout.readline()))
        training.send_signal(signal.SIGKILL)
    child.wait(60)
    runs = every_run(store)
    assert {name: run.info.status for name, run in runs.items()} == {
        "frozen seed 0": "KILLED",
        "comparison": "KILLED",
    }
    assert runs["frozen seed 0"].data.metrics == {"lr": 0.1}


# Sync


def test_sync_makes_every_run_from_the_files(store: Store, checkout: Path) -> None:
    assert sync(checkout)
    runs = every_run(store)
    comparison = runs.pop(f"params {files.file_hash(checkout / 'params.yaml')[:8]}")
    assert sorted(runs) == ["frozen seed 0", "frozen seed 1", "wild seed 0", "wild seed 1"]
    assert {run.info.status for run in (comparison, *runs.values())} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {
        comparison.info.run_id
    }
    assert runs["frozen seed 1"].data.metrics == {
        "train_loss": 1 / 3,
        "test_accuracy": 0.875,
        "test_loss": pytest.approx(0.25),
        "best_validation_accuracy": 0.75,
        "best_epoch": 1,
        "train_seconds": 2.5,
    }
    repeated = {"strategy": "frozen", "seed": "1", "dataset": "textures", "backbone": "tiny"}
    assert repeated.items() <= runs["frozen seed 1"].data.params.items()
    assert repeated.items() <= runs["frozen seed 1"].data.tags.items()
    assert comparison.data.metrics == {"frozen.accuracy": 0.875, "frozen.seeds": 2, "wild.seeds": 2}
    assert comparison.data.tags["status.wild"] == "diverged at epoch 2 (seed 0, lr 9)"
    assert runs["wild seed 0"].data.tags["result"] == "diverged at epoch 2"


def test_comparison_says_what_the_weights_were(store: Store, checkout: Path) -> None:
    assert sync(checkout)
    (comparison,) = (run for name, run in every_run(store).items() if name.startswith("params"))
    expected = {
        "weights.origin": "mine.pth",
        "weights.sha256": "b" * 64,
        "weights.file": "mine.pth",
        "weights.file_sha256": "d" * 64,
        "weights.tensors_used": "3 of 4",
        "weights.undone": "opened 'net'; cast from float16",
    }
    assert {
        name: value for name, value in comparison.data.tags.items() if name.startswith("weights.")
    } == expected


def test_weights_that_no_file_gave_have_no_file_among_the_tags(checkout: Path) -> None:
    files.write_json(checkout / "data/weights/start.json", START | {"origin": "random"})
    files.write_json(checkout / "data/weights/file.json", None)
    assert syncing._weights(checkout) == {"weights.origin": "random", "weights.sha256": "b" * 64}


def test_sync_sends_the_seeds_own_rows_the_model_the_report_and_the_list_of_runs(
    store: Store, home: Path, checkout: Path
) -> None:
    assert sync(checkout)
    runs = every_run(store)
    folder = home / "mlartifacts" / runs["frozen seed 1"].info.run_id / "artifacts"
    expected = ["facts.json", "history.csv", "predictions.csv", "seed-1.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == expected
    assert {line["seed"] for line in files.read_csv(folder / "history.csv")} == {"1"}
    lines = (folder / "predictions.csv").read_text().splitlines()
    assert (lines[0], len(lines)) == ("seed,id,label,predicted,p_a", 9)
    assert lines[1].startswith("1,test/a/0.png,a,a,0.77")
    comparison = next(run for name, run in runs.items() if name.startswith("params"))
    folder = home / "mlartifacts" / comparison.info.run_id / "artifacts"
    assert (folder / "report/figures/cost.png").read_text() == "a picture"
    listed = files.read_csv(folder / "trainings.csv")
    assert {line["run_id"] for line in listed} == {run.info.run_id for run in runs.values()} - {
        comparison.info.run_id
    }


def test_a_second_sync_changes_nothing(
    store: Store, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sync(checkout)
    before = points(store), {name: run.info.run_id for name, run in every_run(store).items()}
    sent: list[str] = []
    monkeypatch.setattr(
        type(store.client), "log_artifact", lambda *arguments: sent.append(arguments[2])
    )
    assert sync(checkout)
    assert (
        points(store),
        {name: run.info.run_id for name, run in every_run(store).items()},
    ) == before
    assert sent == []


def test_a_deleted_run_is_made_again(store: Store, checkout: Path) -> None:
    assert sync(checkout)
    before = every_run(store)
    store.client.delete_run(before["frozen seed 0"].info.run_id)
    assert sync(checkout)
    after = every_run(store)
    assert after.keys() == before.keys()
    assert after["frozen seed 0"].data.metrics == before["frozen seed 0"].data.metrics


def test_sync_completes_a_training_that_was_logged_while_it_ran(
    store: Store, checkout: Path
) -> None:
    serve(*live(checkout, row(1), row(2)))  # then it was killed
    assert sync(checkout)
    runs = every_run(store)
    assert len(runs) == 5
    history = store.client.get_metric_history(runs["frozen seed 0"].info.run_id, "train_loss")
    assert [point.step for point in history] == [1, 2, 3]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def test_a_new_evaluation_replaces_the_final_numbers(store: Store, checkout: Path) -> None:
    assert sync(checkout)
    write_predictions(checkout / "predictions/frozen.csv", 2, hits=4)
    assert sync(checkout)
    run = every_run(store)["frozen seed 0"]
    assert run.data.metrics["test_accuracy"] == 0.5
    assert run.data.metrics["test_loss"] == pytest.approx(0.25)


def test_a_training_stays_under_the_first_comparison_that_was_completed_with_it(
    store: Store, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = files.read_json(checkout / "runs/frozen/facts.json")["seeds"]["0"]["key"]
    serve(
        *({"key": key} | message for message in (start(), row(1), END))
    )  # its comparison is never completed
    parents = []
    for experiment in ("first-try", "second-try"):
        monkeypatch.setenv("DVC_EXP_NAME", experiment)
        assert sync(checkout)
        runs = every_run(store)
        parents.append(
            store.client.get_run(
                runs["frozen seed 0"].data.tags["mlflow.parentRunId"]
            ).info.run_name
        )
        assert runs[experiment].data.metrics["frozen.accuracy"] == 0.875
    assert parents == ["first-try", "first-try"]
    monkeypatch.delenv("DVC_EXP_NAME")  # as in `dvc repro --force track`
    assert sync(checkout)
    assert len(every_run(store)) == 4 + 3


def test_off_means_no_store_and_no_child(
    home: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFERLAB_TRACKING", "off")
    train()
    assert not sync(checkout)
    assert list(home.iterdir()) == []


# The training's end


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A child that only writes down what it is told."""
    told = tmp_path / "told.jsonl"
    code = f"import sys; open({str(told)!r}, 'wb').write(sys.stdin.buffer.read())"
    monkeypatch.setattr(sender, "_start_child", lambda: child_that(code))
    return told


def child_that(code: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    child = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, bufsize=0)
    assert child.stdin is not None
    os.set_blocking(child.stdin.fileno(), False)
    return child


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")],
)
def test_leaving_with_an_error_closes_the_open_runs(
    error: type[BaseException], status: str, recorder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(error), Tracker() as tracked:
        tracked.start("done", "frozen seed 0", {}, {}, PARENT)
        tracked.end("done", "FINISHED")
        tracked.start("open", "frozen seed 1", {}, {}, PARENT)
        raise error
    told = [json.loads(line) for line in recorder.read_text().splitlines()]
    assert [(item["do"], item["key"], item.get("status")) for item in told[1:]] == [
        ("end", "done", "FINISHED"),
        ("start", "open", None),
        ("end", "open", status),
    ]
    assert caplog.messages == []


def test_a_child_that_reads_nothing_holds_up_nothing(
    waits: list[bool], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    child = child_that("import time; time.sleep(600)")
    monkeypatch.setattr(sender, "_start_child", lambda: child)
    with Tracker(patience=0.5) as tracked:
        for step in range(3000):  # far more than a pipe holds
            tracked.log("a" * 64, step, ROW)
        assert len(waits) >= 3000
    assert set(waits) == {False}
    assert "still runs after 1 s and was left behind" in caplog.text
    assert len(caplog.messages) == 1
    child.kill()
    child.communicate()


def test_all_that_a_slow_child_did_not_read_arrives_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    code = (
        f"import sys, time; time.sleep(0.3); open({str(told)!r}, "
        "'wb').write(sys.stdin.buffer.read())"
    )
    monkeypatch.setattr(sender, "_start_child", lambda: child_that(code))
    with Tracker() as tracked:
        for step in range(3000):
            tracked.log("a" * 64, step, ROW)
    assert [json.loads(line)["step"] for line in told.read_text().splitlines()] == list(range(3000))


def test_a_child_that_cannot_start_is_one_warning(
    waits: list[bool], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sender, "_start_child", fails)
    train()
    assert waits == []
    assert [message.split(":")[0] for message in caplog.messages] == ["Tracking could not start"]


@pytest.mark.usefixtures("closed_port")
def test_a_long_log_is_moved_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "LOG_BYTES", 10)
    sender.log_file().write_text("eleven long")
    train()
    assert sender.log_file().with_suffix(".log.old").read_text() == "eleven long"
    assert "eleven" not in sender.log_file().read_text()


# Names


def test_an_experiment_is_known_by_name_and_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parent_identity("ab" * 32)["key"] == "ab" * 32
    monkeypatch.setenv("DVC_EXP_NAME", "tidal-mint")
    first, other = parent_identity("ab" * 32), parent_identity("cd" * 32)
    assert first["name"] == other["name"] == "tidal-mint"
    assert first["key"] != other["key"]


@pytest.mark.parametrize(
    ("name", "accepted"),
    [("train_loss", "train_loss"), ("recall/ants:é", "recall_ants__"), ("a" * 300, "a" * 250)],
)
def test_metric_names_are_made_acceptable(name: str, accepted: str) -> None:
    assert metric_name(name) == accepted


def test_nested_parameters_become_dotted_names() -> None:
    nested = {
        "train": {"lr": 0.1, "crop": [0.5, 1]},
        "rates": {"head": 1, "*": None},
        "cap": None,
        "name": "a",
    }
    assert flat(nested) == {
        "train.lr": "0.1",
        "train.crop": "[0.5, 1]",
        "rates": '{"head": 1, "*": null}',
        "cap": "null",
        "name": "a",
    }


def test_the_training_does_not_import_mlflow() -> None:
    code = (
        "import sys, transferlab.tracking.sender; print(sorted({'mlflow', "
        "'transferlab.tracking.child', 'torch'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": SRC}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
