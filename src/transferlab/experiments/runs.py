"""One strategy, all its seeds: from processed images to models, history, facts and costs."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ..data.chance import stratified_split
from ..data.images import load_images
from ..network import device, models
from ..network.activations import Shared
from ..network.models import starting_weights
from ..network.views import resident
from ..params.strategies import starts_random
from ..params.whole import Params
from ..pipeline.files import content_hash, read_json, write_csv, write_json
from ..pipeline.places import cache_folder
from ..training import probe
from ..training.checkpoint import Checkpoint
from ..training.facts import describe
from ..training.task import Task, changed_tensors, learn, outcome, own_tensors, starting_model

MEASURES = (
    "phase",
    "epoch",
    "lr",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
)


class Listener(Protocol):
    """Hears of every training while it runs."""

    def start(self, key: str, seed: int, facts: Mapping[str, Any]) -> None:
        """One seed begins; `key` names this training for ever."""

    def log(self, key: str, seed: int, row: Mapping[str, Any]) -> None:
        """One epoch is done."""

    def end(self, key: str, seed: int, outcome: Mapping[str, Any]) -> None:
        """One seed is done."""


def run(root: Path, name: str, params: Params, code: str, listener: Listener) -> None:
    """Train a strategy for every seed and write `models/<name>` and `runs/<name>`.

    Args:
        root: Checkout that holds data/ and receives models/ and runs/.
        name: Key of the strategy.
        params: All parameters.
        code: Digest of the code that trains.
        listener: Hears of every epoch.
    """
    place = device.prepare(params.engine, read_json(root / "data/engine.json"))
    known = read_json(root / "data/processed/classes.json")
    images = resident(load_images(root / "data/processed/train", known["classes"]), place.device)
    start = read_json(root / "data/weights/start.json")
    weights = (
        {} if starts_random(params.strategies[name]) else starting_weights(root, start["sha256"])
    )
    facts = {"dataset": known["dataset"], **describe(name, params, images, start["sha256"], place)}
    machine = [
        facts[key] for key in ("device", "threads", "precision", "memory_format", "versions")
    ]
    identity = [
        {**facts["params"], "seeds": None},
        images.digest,
        start["sha256"],
        code,
        name,
        machine,
    ]
    fraction = params.train.validation_fraction
    splits = {
        seed: stratified_split(images.labels, fraction, seed, "validation") for seed in params.seeds
    }
    together = (
        {}
        if starts_random(params.strategies[name])
        else {seed: rows[0] for seed, rows in splits.items()}
    )
    heads: dict[int, tuple[probe.Solution, float]] = {}
    shared, model = Shared(), None
    history, seconds, checkpoints = [], {}, []
    for seed, rows in splits.items():
        key = content_hash([*identity, seed])
        task = Task(
            params=params,
            images=images,
            rows=rows,
            seed=seed,
            place=place,
            shared=shared,
            seeds=together,
            heads=heads,
        )
        checkpoints.append(
            Checkpoint(cache_folder("resume") / f"{key}.pt", params.engine.checkpoint_seconds)
        )
        listener.start(key, seed, facts)
        model = starting_model(weights, name, task, model)
        log = partial(listener.log, key, seed)
        done, facts["trainable_parameters"] = learn(model, name, task, checkpoints[-1], log)
        tensors = own_tensors(model, params.strategies[name], done)
        weights = changed_tensors(weights, tensors)
        sha256 = models.save(tensors, root / f"models/{name}/seed-{seed}.safetensors")
        images_used = {"fit_images": len(rows[0]), "validation_images": len(rows[1])}
        facts["seeds"][str(seed)] = {
            "key": key,
            **outcome(done),
            "model_sha256": sha256,
            **images_used,
        }
        for row in done.history:
            history.append(
                {
                    "strategy": name,
                    "seed": seed,
                    **row,
                    "chosen": int(row["epoch"] == done.best_epoch),
                }
            )
        seconds[str(seed)] = done.seconds
        shared.seconds.update(done.shared)
        listener.end(key, seed, outcome(done))
    write_csv(root / f"runs/{name}/history.csv", ("strategy", "seed", *MEASURES, "chosen"), history)
    write_json(root / f"runs/{name}/facts.json", facts)
    costs = {
        "train_seconds": sum(seconds.values()) + sum(shared.seconds.values()),
        "seconds_per_seed": seconds,
        "shared_seconds": sum(shared.seconds.values()),
        "peak_memory_mb": device.peak_memory_mb(place.device),
        "device": facts["device"],
    }
    write_json(root / f"runs/{name}/costs.json", costs)
    for checkpoint in checkpoints:
        checkpoint.remove()
