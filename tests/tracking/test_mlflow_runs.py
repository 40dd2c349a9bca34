"""Names and values as MLflow takes them, and runs that nobody writes any more."""

import subprocess
import sys

import pytest
from tracked import every_run

from transferlab.tracking.mlflow_runs import Store, _process_tags, flat, metric_name

# Runs


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


# Names


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
