"""A store that is copied, the files of two strategies, and the messages of a training."""

import json
import math
import queue
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from transferlab.pipeline import files
from transferlab.tracking import address
from transferlab.tracking import child as receiver
from transferlab.tracking import store as storing
from transferlab.tracking import sync as syncing
from transferlab.tracking.mlflow_runs import Store
from transferlab.tracking.sender import Tracker

SRC = str(Path(syncing.__file__).parents[2])


PARENT = {"key": "f" * 64, "name": "comparison"}


PARAMS = {"dataset": {"name": "textures"}, "backbone": {"name": "tiny"}, "train": {"lr": 0.1}}


ROW = {"phase": "main", "lr": 0.1, "train_loss": 0.5, "validation_accuracy": None}


def store_in(home: Path, empty_store: Path) -> Store:
    shutil.copy(empty_store, home / "mlflow.db")
    with closing(sqlite3.connect(home / "mlflow.db")) as connection, connection:
        place = (home / "mlartifacts").as_uri()
        connection.execute("UPDATE experiments SET artifact_location = ?", (place,))
    return storing.prepare_store()


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


END = {"do": "end", "status": "FINISHED"}


def train(epochs: int = 3) -> None:
    """A training whose second epoch lasts until the child is gone."""
    with Tracker(patience=20) as tracked:
        for step in range(epochs):
            tracked.start("a" * 64, "frozen seed 0", {"lr": 0.1}, {"strategy": "frozen"}, PARENT)
            tracked.log("a" * 64, step, ROW)
            if tracked._child is not None:
                tracked._child.wait(20)
        tracked.end("a" * 64, "FINISHED")
