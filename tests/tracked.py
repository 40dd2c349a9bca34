"""A store that is copied, the files of two strategies, and the messages of a training."""

import json
import math
import queue
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from checkout import ROOT

from transferlab.pipeline import files
from transferlab.tracking import address
from transferlab.tracking import child as receiver
from transferlab.tracking import store as storing
from transferlab.tracking import sync as syncing
from transferlab.tracking.mlflow_runs import Store
from transferlab.tracking.sender import Tracker

SRC = str(Path(syncing.__file__).parents[2])


PARENT = {"key": "f" * 64}


COMPARE = {"confidence": 0.95, "calibration_bins": 10}


PARAMS: dict[str, Any] = {
    "dataset": {"name": "textures"},
    "backbone": {"name": "tiny"},
    "train": {"batch_size": 8, "max_epochs": None},
    "seeds": [0, 1],
    "compare": COMPARE,
    "strategies": {
        "frozen": {"title": "frozen", "learner": "gradient", "lr": 0.1, "patience": None},
        "wild": {"title": "wild", "learner": "gradient", "lr": 9, "patience": None},
    },
}


ROW = {"phase": "main", "lr": 0.1, "train_loss": 0.5, "validation_accuracy": None}


def opened() -> Store:
    """The experiment of these tests' data set."""
    return storing.prepare_store("textures")


def store_in(home: Path, empty_store: Path) -> Store:
    shutil.copy(empty_store, home / "mlflow.db")
    with closing(sqlite3.connect(home / "mlflow.db")) as connection, connection:
        place = (home / "mlartifacts").as_uri()
        connection.execute("UPDATE experiments SET artifact_location = ?", (place,))
    return opened()


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
    """Eight images per seed, all of class a, of which so many are recognised; each is as sure as
    the others.
    """
    sure, unsure = math.exp(-0.25), 1 - math.exp(-0.25)
    rows = [
        {
            "strategy": path.stem,
            "seed": seed,
            "id": f"test/a/{image}.png",
            "label": "a",
            "predicted": "a" if image < hits else "b",
            "p_a": sure if image < hits else unsure,
            "p_b": unsure if image < hits else sure,
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
                "fit_images": 10,
            }
            for seed in range(seeds)
        }
        used = {name: PARAMS[name] for name in ("backbone", "train", "seeds")}
        facts = {
            "strategy": strategy,
            "learner": "gradient",
            "classes": ["a", "b"],
            "params": used | {"strategy": PARAMS["strategies"][strategy]},
            "seeds": outcomes,
        }
        files.write_json(root / f"runs/{strategy}/facts.json", facts)
        costs = {"seconds_per_seed": {seed: 2.5 for seed in outcomes}, "train_seconds": 5.0}
        files.write_json(root / f"runs/{strategy}/costs.json", costs)
        rows = [
            {
                "strategy": strategy,
                "seed": seed,
                "phase": "main",
                "epoch": epoch,
                "train_loss": 1 / epoch,
                "gradient_norm": 4 / epoch,
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
    measured = {name: {"mean": 0.5} for name in ("macro_f1", "nll", "ece")}
    accuracy = {"mean": 0.875, "images_low": 0.5, "images_high": 0.9375}
    numbers = {"frozen": {"measures": {"accuracy": accuracy, **measured}}}
    files.write_json(root / "metrics/numbers.json", numbers)
    files.write_json(root / "metrics/comparison.json", {"recommended": {"strategy": "frozen"}})
    files.write_json(root / "metrics/summary.json", {"frozen": {"accuracy": 0.875}})
    files.write_json(root / "data/weights/start.json", START)
    files.write_json(root / "data/weights/file.json", FILE)
    files.write_json(root / "data/raw/archive.json", {"name": "textures", "sha256": "a" * 64})
    files.write_text(root / "data/processed/class_counts.csv", "class,train,test\na,9,8\nb,9,0\n")
    files.write_text(
        root / "reports/report.md", "# Which?\n\n**Use `frozen`**: why.\n\n## Numbers\n"
    )
    files.write_text(root / "reports/figures/cost.png", "a picture")
    files.write_text(root / "params.yaml", json.dumps(PARAMS))
    files.write_text(
        root / "conf/defaults.yaml", json.dumps(PARAMS | {"train": {"batch_size": 32}})
    )
    files.write_text(root / "dvc.lock", json.dumps({"stages": LOCK}))
    return root


REPORT = "# Which?\n\n**Use `frozen`**: why.\n\n## Numbers\n\nMany.\n"


LOCK = {
    "preprocess": {
        "outs": [
            {"path": f"data/processed/{split}", "md5": f"{digit * 32}.dir"}
            for split, digit in (("train", "1"), ("test", "2"))
        ]
    },
    "train@frozen": {"cmd": "python stages/train.py frozen"},
}
"""Of dvc.lock, what is looked at."""


def sync(root: Path) -> bool:
    return syncing.sync(root, PARAMS) is not None


def every_run(store: Store) -> dict[str, Any]:
    return {run.info.run_name: run for run in store.runs("attributes.run_id != ''")}


def comparison_in(runs: dict[str, Any]) -> Any:
    """The only parent run."""
    (found,) = (run for run in runs.values() if run.data.tags["transferlab.kind"] == "comparison")
    return found


def points(store: Store) -> int:
    """How many metric values the database holds."""
    with closing(sqlite3.connect(address.tracking_uri().removeprefix("sqlite:///"))) as connection:
        return int(connection.execute("SELECT count(*) FROM metrics").fetchone()[0])


class OneByOne(queue.SimpleQueue[Any]):
    """Messages that come so slowly that each is sent before the next one comes."""

    def empty(self) -> bool:
        return True


def serve(*messages: dict[str, Any]) -> None:
    waiting = OneByOne()
    for message in (*messages, None):
        waiting.put(message if message is None else {"time": 1000, "key": "a" * 64, **message})
    receiver.Live(opened(), ROOT).serve(waiting)


TAGS = {"strategy": "frozen", "seed": "0", "dataset": "textures", "backbone": "tiny"}


def start(**changes: Any) -> dict[str, Any]:
    return {
        "do": "start",
        "params": {"strategy": {"lr": 0.1}},
        "tags": TAGS,
        "parent": PARENT,
        **changes,
    }


def row(step: int, **changes: Any) -> dict[str, Any]:
    return {"do": "log", "step": step, "metrics": ROW | {"epoch": step} | changes}


END = {"do": "end", "status": "FINISHED"}


def train(epochs: int = 3) -> None:
    """A training whose second epoch lasts until the child is gone."""
    with Tracker(patience=20) as tracked:
        for step in range(epochs):
            tracked.start("a" * 64, {"lr": 0.1}, TAGS, PARENT)
            tracked.log("a" * 64, step, ROW)
            if tracked._child is not None:
                tracked._child.wait(20)
        tracked.end("a" * 64, "FINISHED")
