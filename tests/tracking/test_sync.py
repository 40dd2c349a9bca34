"""Sync makes the runs equal to the files: nothing twice, nothing missing, nothing open."""

import math
import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tracked import (
    END,
    START,
    comparison_in,
    every_run,
    points,
    row,
    serve,
    start,
    store_in,
    sync,
    write_predictions,
)

from transferlab.pipeline import files
from transferlab.tracking import address, shown
from transferlab.tracking import sync as syncing
from transferlab.tracking.mlflow_runs import Store
from transferlab.tracking.sender import parent_identity

pytestmark = pytest.mark.slow

COMPARISONS = "tags.`transferlab.kind` = 'comparison'"


def live(checkout: Path, *messages: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Messages of the training behind the files of frozen, seed 0."""
    key = files.read_json(checkout / "runs/frozen/facts.json")["seeds"]["0"]["key"]
    parent = parent_identity(files.file_hash(checkout / "params.yaml"))
    return ({"key": key} | message for message in (start(parent=parent), *messages))


# Places


def test_the_store_of_a_queued_experiment_is_the_one_of_the_users_repository(
    store: Store, home: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout)
    before = sorted(checkout.rglob("*"))
    assert sync(checkout)
    run = every_run(store)["frozen · seed 0"]
    assert address.tracking_uri() == f"sqlite:///{home}/mlflow.db"
    assert (
        home / "mlartifacts" / run.info.run_id / "artifacts/seed-0.safetensors"
    ).read_text() == "tensors of 0"
    assert sorted(checkout.rglob("*")) == before


# The server


@pytest.fixture
def dying_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It is healthy, and then closes every connection without an answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if "experiments/search" in self.path:
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


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        ("closed_port", "no usable answer (ConnectionError)"),
        pytest.param("hanging_port", "no usable answer (ReadTimeout)", marks=pytest.mark.drill),
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
    assert "transferlab sync" in warning


def test_what_a_server_that_dies_while_training_missed_is_added_by_sync_once(
    store: Store, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = type(store.client)
    log_batch, calls = client.log_batch, iter(("commit", "params", "row", "row"))

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
        every_run(store)["frozen · seed 0"].info.run_id, "train_loss"
    )
    assert [point.step for point in history] == [1, 2, 3]
    assert {run.info.status for run in every_run(store).values()} == {"FINISHED"}


@pytest.mark.drill
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


# Sync


def test_sync_makes_every_run_from_the_files(store: Store, checkout: Path) -> None:
    assert sync(checkout)
    runs = every_run(store)
    comparison = runs.pop("textures · tiny · 2 strategies · frozen 87.5 %")
    assert sorted(runs) == ["frozen · seed 0", "frozen · seed 1", "wild · seed 0", "wild · seed 1"]
    assert {run.info.status for run in (comparison, *runs.values())} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {
        comparison.info.run_id
    }
    assert runs["frozen · seed 1"].data.metrics == {
        "train_loss": 1 / 3,
        "gradient_norm": 4 / 3,
        "test_accuracy": 0.875,
        "test_accuracy_low": pytest.approx(0.5291, abs=1e-4),
        "test_accuracy_high": pytest.approx(0.9776, abs=1e-4),
        "test_macro_f1": pytest.approx(7 / 15),
        "test_log_loss": pytest.approx((7 * 0.25 - math.log(1 - math.exp(-0.25))) / 8),
        "test_calibration_error": pytest.approx(0.875 - math.exp(-0.25)),
        "best_validation_accuracy": 0.75,
        "best_epoch": 1,
        "train_seconds": 2.5,
        "images_per_second": 10 * 3 / 2.5,
    }
    # the tag that the report names its comparison by
    tag = f"tags.`transferlab.params_sha256` = '{files.file_hash(checkout / 'params.yaml')}'"
    (found,) = store.client.search_runs([store.experiment], f"{tag} and {COMPARISONS}")
    assert found.info.run_id == comparison.info.run_id
    norms = store.client.get_metric_history(runs["frozen · seed 1"].info.run_id, "gradient_norm")
    assert [(point.step, point.value) for point in norms] == [(1, 4), (2, 2), (3, 4 / 3)]
    view = shown.VIEW_TAGS["mlflow.sharedViewState.transferlab"]
    assert "attributes.`Version`" in view  # where MLflow shows the commit
    assert "metrics.`test_accuracy_low`" in view
    repeated = {"strategy": "frozen", "seed": "1", "dataset": "textures", "backbone": "tiny"}
    assert repeated.items() <= runs["frozen · seed 1"].data.params.items()
    assert repeated.items() <= runs["frozen · seed 1"].data.tags.items()
    assert comparison.data.metrics == {
        "accuracy/frozen": 0.875,
        "test_accuracy": 0.875,
        "test_accuracy_low": 0.5,
        "test_accuracy_high": 0.9375,
        "test_macro_f1": 0.5,
        "test_log_loss": 0.5,
        "test_calibration_error": 0.5,
        "train_seconds": 5.0,
    }
    assert runs["wild · seed 0"].data.tags["result"] == "diverged at epoch 2"


def test_of_several_settings_a_run_shows_the_one_that_was_kept(
    store: Store, checkout: Path
) -> None:
    path = checkout / "runs/frozen/facts.json"
    facts = files.read_json(path)
    kept = facts["seeds"]["1"]
    kept["trials"] = [
        {"key": "a" * 64, "lr": 0.1, "epochs": 3},
        {"key": kept["key"], "lr": 0.4, "epochs": 6},
    ]
    files.write_json(path, facts)
    assert sync(checkout)
    own, other = (every_run(store)[f"frozen · seed {seed}"].data for seed in (0, 1))
    assert (own.params["lr"], other.params["lr"], other.params["epochs"]) == ("0.1", "0.4", "6")
    # seconds are those of all settings, the history that of one
    assert "images_per_second" in own.metrics
    assert "images_per_second" not in other.metrics


def test_comparison_says_what_the_weights_were(store: Store, checkout: Path) -> None:
    assert sync(checkout)
    comparison = comparison_in(every_run(store))
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
    folder = home / "mlartifacts" / runs["frozen · seed 1"].info.run_id / "artifacts"
    expected = ["facts.json", "history.csv", "predictions.csv", "seed-1.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == expected
    assert {line["seed"] for line in files.read_csv(folder / "history.csv")} == {"1"}
    lines = (folder / "predictions.csv").read_text().splitlines()
    assert (lines[0], len(lines)) == ("strategy,seed,id,label,predicted,p_a,p_b", 9)
    assert lines[1].startswith("frozen,1,test/a/0.png,a,a,0.77")
    comparison = comparison_in(runs)
    folder = home / "mlartifacts" / comparison.info.run_id / "artifacts"
    assert (folder / "report/figures/cost.png").read_text() == "a picture"
    listed = files.read_csv(folder / "trainings.csv")
    assert {line["run_id"] for line in listed} == {run.info.run_id for run in runs.values()} - {
        comparison.info.run_id
    }


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_copies_in_mlflow_can_be_read_by_whom_new_files_can_be_read(
    mask: int, mode: int, store: Store, home: Path, checkout: Path
) -> None:
    del store
    (checkout / "models/frozen/seed-0.safetensors").chmod(0o600)
    (checkout / "reports/report.md").chmod(0o444)
    before = os.umask(mask)
    try:
        assert sync(checkout)
    finally:
        os.umask(before)
    copies = [path for path in (home / "mlartifacts").rglob("*") if path.is_file()]
    assert {path.name for path in copies} >= {"seed-0.safetensors", "report.md", "facts.json"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in copies} == {mode}


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


def told(store: Store) -> dict[str, Any]:
    """What people see of every run, by name; neither times nor numbers of runs."""
    passing = ("mlflow.parentRunId", "transferlab.artifacts", "transferlab.writer")
    passing += ("mlflow.source.git.commit",)
    return {
        name: (
            run.data.metrics,
            run.data.params,
            {tag: value for tag, value in run.data.tags.items() if tag not in passing},
            sorted(item.path for item in store.client.list_artifacts(run.info.run_id)),
            [(it.dataset.name, it.dataset.digest) for it in run.inputs.dataset_inputs],
        )
        for name, run in every_run(store).items()
    }


def test_a_store_that_was_deleted_is_made_again_whole_and_so_is_that_of_a_clone(
    store: Store,
    home: Path,
    empty_store: Path,
    checkout: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert sync(checkout)
    before = told(store)
    assert before["frozen · seed 0"][4] == [
        ("textures/train", f"{'1' * 32}.dir"),
        ("textures/test", f"{'2' * 32}.dir"),
    ]
    shutil.rmtree(home / "mlartifacts")
    (home / "mlflow.db").unlink()
    clone = shutil.copytree(checkout, tmp_path / "clone")
    for number, files_of in enumerate((checkout, clone)):
        place = tmp_path / f"home {number}"
        place.mkdir()
        monkeypatch.setenv("DVC_ROOT", str(place))
        again = store_in(place, empty_store)
        assert sync(files_of)
        assert told(again) == before


def test_a_run_says_what_it_used_and_a_note_that_a_person_wrote_stays(
    store: Store, checkout: Path
) -> None:
    assert sync(checkout)
    runs = every_run(store)
    tags = runs["frozen · seed 0"].data.tags
    expected = {
        "dvc.stage": "train@frozen",
        "data.md5": f"{'1' * 32}.dir",
        "weights.sha256": "b" * 64,
        "model.sha256": "0" * 64,
        "mlflow.source.name": "train@frozen",
    }
    assert expected.items() <= tags.items()
    assert {"lock.sha256", "params.sha256"} <= tags.keys()
    assert tags["transferlab.again"].endswith("dvc repro train@frozen")
    comparison = comparison_in(runs)
    note = comparison.data.tags["mlflow.note.content"]
    assert note.startswith("# Which?\n\n**Use `frozen`**: why.\n\nThe report is")
    assert comparison.data.params == {
        "dataset": "textures",
        "backbone": "tiny",
        "strategies": "frozen wild",
        "seeds": "0 1",
        "train.batch_size": "8",
    }
    store.client.set_tag(comparison.info.run_id, "mlflow.note.content", "ask Anna")
    files.write_text(checkout / "reports/report.md", "# Another answer")
    assert sync(checkout)
    found = comparison_in(every_run(store)).data.tags
    assert found["mlflow.note.content"] == "ask Anna"


def test_a_deleted_run_is_made_again(store: Store, checkout: Path) -> None:
    assert sync(checkout)
    before = every_run(store)
    store.client.delete_run(before["frozen · seed 0"].info.run_id)
    assert sync(checkout)
    after = every_run(store)
    assert after.keys() == before.keys()
    assert after["frozen · seed 0"].data.metrics == before["frozen · seed 0"].data.metrics


def test_sync_completes_a_training_that_was_logged_while_it_ran(
    store: Store, checkout: Path
) -> None:
    serve(*live(checkout, row(1), row(2)))  # then it was killed
    assert sync(checkout)
    runs = every_run(store)
    assert len(runs) == 5
    history = store.client.get_metric_history(runs["frozen · seed 0"].info.run_id, "train_loss")
    assert [point.step for point in history] == [1, 2, 3]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def test_a_new_evaluation_replaces_the_final_numbers(store: Store, checkout: Path) -> None:
    assert sync(checkout)
    write_predictions(checkout / "predictions/frozen.csv", 2, hits=4)
    assert sync(checkout)
    run = every_run(store)["frozen · seed 0"]
    assert run.data.metrics["test_accuracy"] == 0.5
    assert run.data.metrics["test_macro_f1"] == pytest.approx(1 / 3)


def test_a_training_stays_under_the_first_comparison_that_was_completed_with_it(
    store: Store, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = files.read_json(checkout / "runs/frozen/facts.json")["seeds"]["0"]["key"]
    # its comparison is never completed
    serve(*({"key": key} | message for message in (start(), row(1), END)))
    parents = []
    for experiment in ("first-try", "second-try"):
        monkeypatch.setenv("DVC_EXP_NAME", experiment)
        assert sync(checkout)
        runs = every_run(store)
        parent = store.client.get_run(runs["frozen · seed 0"].data.tags["mlflow.parentRunId"])
        parents.append(parent.data.tags["dvc.experiment"])
        (own,) = store.runs(f"tags.`dvc.experiment` = '{experiment}' and {COMPARISONS}")
        assert own.data.metrics["accuracy/frozen"] == 0.875
    assert parents == ["first-try", "first-try"]
    monkeypatch.delenv("DVC_EXP_NAME")  # as in `dvc repro --force track`
    assert sync(checkout)
    assert len(store.runs(COMPARISONS)) == 3
    assert len(store.runs("attributes.run_id != ''")) == 4 + 3
