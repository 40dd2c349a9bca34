"""One strategy, all its seeds: from processed images to models, history, facts and costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from ..data.divisions import division_of
from ..data.images import Classes
from ..network import device, models
from ..network.activations import Shared
from ..network.device import Compute
from ..network.setup import (
    images_of,
    settled_compute,
    setup_for,
    start_sha256,
    starting_weights,
    without_head,
)
from ..params.learning.recipe import Recipe
from ..params.learning.strategies import starts_random
from ..pipeline import heartbeat
from ..pipeline.awaited import await_record
from ..pipeline.files import content_hash, read_json, write_csv, write_json
from ..training.checkpoint import Progress, checkpoint_of
from ..training.facts import describe, what_names
from ..training.records import Costs, Facts, SeedFacts
from ..training.task import (
    Task,
    changed_tensors,
    learn,
    outcome,
    own_tensors,
    starting_model,
)
from .work import of_parts, operations

MEASURES = (
    "phase",
    "epoch",
    "lr",
    "train_loss",
    "train_accuracy",
    "gradient_norm",
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


@dataclass(kw_only=True)
class Ledger:
    """What the seeds of one strategy leave, beside their models.

    Args:
        facts: What the models were trained with; `seeds` fills up.
        history: Rows of all seeds' epochs.
        seconds: Of each seed's training, by seed.
        shared: What the activations of all seeds have in common.
    """

    facts: Facts
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    shared: Shared = field(default_factory=Shared)

    def add(self, seed: int, done: Progress, facts: SeedFacts) -> None:
        """Enter a seed that is done."""
        self.facts["seeds"][str(seed)] = facts
        self.seconds[str(seed)] = done.seconds
        self.shared.seconds.update(done.shared)
        for row in done.history:
            chosen = int(row["epoch"] == done.best_epoch)
            name = self.facts["strategy"]
            self.history.append({"strategy": name, "seed": seed, **row, "chosen": chosen})

    def write(self, folder: Path, compute: Compute) -> None:
        """Write history.csv, facts.json and costs.json."""
        columns = ("strategy", "seed", *MEASURES, "chosen")
        write_csv(folder / "history.csv", columns, self.history)
        write_json(folder / "facts.json", self.facts)
        shared = sum(self.shared.seconds.values())
        costs: Costs = {
            "train_seconds": sum(self.seconds.values()) + shared,
            "seconds_per_seed": self.seconds,
            "shared_seconds": shared,
            "peak_memory_mb": device.peak_memory_mb(compute.device),
            "device": self.facts["device"],
        }
        write_json(folder / "costs.json", costs)


def run(root: Path, recipe: Recipe, code: str, listener: Listener) -> None:
    """Train a strategy for every seed and write `models/<name>` and `runs/<name>`.

    Args:
        root: Checkout that holds data/ and receives models/ and runs/.
        recipe: The strategy, and what else its training depends on.
        code: Digest of the code that trains.
        listener: Hears of every epoch.
    """
    compute = settled_compute(root, recipe.engine)
    setup, images = setup_for(recipe, compute), images_of(root, "train", compute)
    table = root / "data/splits/validation.csv"
    rows = {seed: division_of(table, images.ids, seed).training for seed in recipe.seeds}
    random = starts_random(recipe.strategy)
    weights = {} if random else without_head(starting_weights(root))
    data = read_json(root / "data/processed/classes.json", Classes)["dataset"]
    facts: Facts = {"dataset": data, **describe(recipe, images, start_sha256(root), compute)}
    identity = [*what_names(facts), images.digest, code]
    ledger, model = Ledger(facts=facts), None
    for seed in heartbeat.each(recipe.seeds, "seeds", len(recipe.seeds)):
        task = Task(
            recipe=recipe,
            setup=setup,
            images=images,
            rows=rows[seed],
            seed=seed,
            shared=ledger.shared,
        )
        key = content_hash([*identity, seed, *(part.tolist() for part in task.rows)])
        checkpoint = checkpoint_of(key, recipe.engine.checkpoint_seconds)
        listener.start(key, seed, facts)
        model = starting_model(weights, task, model)
        log = partial(listener.log, key, seed)
        done, facts["trainable_parameters"] = learn(model, task, checkpoint, log)
        tensors = own_tensors(model, recipe.strategy, done)
        weights = changed_tensors(weights, tensors)
        sha256 = models.save(tensors, root / f"models/{recipe.name}/seed-{seed}.safetensors")
        ledger.add(seed, done, facts_of(key, task, done, sha256, counted(model, task)))
        listener.end(key, seed, outcome(done))
    ledger.write(root / f"runs/{recipe.name}", compute)
    keys = [known["key"] for known in facts["seeds"].values()]
    await_record(keys, root / f"runs/{recipe.name}/facts.json")


def counted(model: nn.Sequential, task: Task) -> int:
    """Operations of one seed's training; see `work.operations`."""
    fit, validation = task.rows
    parts_at = partial(of_parts, model)
    return operations(task.recipe, parts_at, len(fit), len(validation))


def facts_of(key: str, task: Task, done: Progress, sha256: str, work: int) -> SeedFacts:
    """What is known of one seed's model."""
    fit, validation = task.rows
    return {
        "key": key,
        **outcome(done),
        "model_sha256": sha256,
        "fit_images": len(fit),
        "validation_images": len(validation),
        "operations": work,
    }
