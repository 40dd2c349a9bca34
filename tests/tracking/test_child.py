"""What a training tells becomes one run, however often it is told."""

import pytest
from tracked import END, every_run, points, row, serve, start

from transferlab.tracking.mlflow_runs import Store

pytestmark = pytest.mark.slow


def test_a_training_is_a_run_below_its_comparison(store: Store) -> None:
    given = {"strategy": {"lr": 0.1, "rates": {"*": None}, "patience": None, "title": "a title"}}
    serve(start(params=given), row(1), row(2), END)
    runs = every_run(store)
    child, parent = runs["frozen · seed 0"], runs["textures · tiny"]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.params == {
        "lr": "0.1",
        "rates": '{"*": null}',
        "strategy": "frozen",
        "seed": "0",
        "dataset": "textures",
        "backbone": "tiny",
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
    serve(start(params={"strategy": {"lr": 0.2, "late": 1}}), row(2, train_loss=9.0), row(3), END)
    run = every_run(store)["frozen · seed 0"]
    history = store.client.get_metric_history(run.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert (run.data.params["lr"], run.data.params["late"]) == ("0.1", "1")
    assert {run.info.status for run in every_run(store).values()} == {"FINISHED"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_finite_number_becomes_a_tag(value: float, store: Store) -> None:
    serve(start(), row(1), row(2, train_loss=value), END)
    run = every_run(store)["frozen · seed 0"]
    assert run.data.metrics["train_loss"] == 0.5
    assert run.data.tags["not_finite.train_loss"] == f"{value} at step 2"
