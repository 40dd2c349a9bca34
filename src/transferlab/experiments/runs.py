"""One strategy, all its seeds: from processed images to models, history, facts and costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ..data.divisions import division_of
from ..data.images import Classes
from ..network import device, models
from ..network.activations import Shared
from ..network.device import Compute
from ..network.setup import images_of, settled_compute
from ..params.learning.recipe import Recipe
from ..params.learning.strategies import GradientStrategy, views_of
from ..params.tuning import Tuning
from ..pipeline import heartbeat
from ..pipeline.awaited import await_record
from ..pipeline.files import read_json, write_csv, write_json
from ..training.records import Costs, Described, Facts, SeedFacts
from ..training.task import Log, outcome
from .trainer import Trainer
from .trials import Search, search, variants

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
        keys: Of all trainings, those of settings that were not kept too.
    """

    facts: Facts
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    shared: Shared = field(default_factory=Shared)
    keys: list[str] = field(default_factory=list)

    def add(self, seed: int, found: Search, facts: SeedFacts) -> None:
        """Enter a seed that is done."""
        self.facts["seeds"][str(seed)] = facts
        self.seconds[str(seed)] = found.seconds
        self.keys += found.keys
        self.shared.seconds.update(found.shared)
        done = found.kept.done
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


def run(root: Path, recipe: Recipe, tuning: Tuning, code: str, listener: Listener) -> None:
    """Train a strategy for every seed and write `models/<name>` and `runs/<name>`.

    Args:
        root: Checkout that holds data/ and receives models/ and runs/.
        recipe: The strategy, and what else its training depends on.
        tuning: How many settings of it each seed tries.
        code: Digest of the code that trains.
        listener: Hears of every epoch.
    """
    compute = settled_compute(root, recipe.engine)
    images = images_of(root, "train", compute)
    trainer = Trainer(root=root, recipe=recipe, images=images, split=len(images), code=code)
    table = root / "data/splits/validation.csv"
    rows = {seed: division_of(table, images.ids, seed).training for seed in recipe.seeds}
    data = read_json(root / "data/processed/classes.json", Classes)["dataset"]
    facts: Facts = {"dataset": data, **trainer.describe(recipe)}
    if isinstance(recipe.strategy, GradientStrategy) and recipe.strategy.views == "auto":
        facts["views"] = views_of(recipe.strategy, len(images))
    ledger = Ledger(facts=facts, shared=trainer.shared)
    for seed in heartbeat.each(recipe.seeds, "seeds", len(recipe.seeds)):

        def begins(key: str, described: Described, seed: int = seed) -> Log:
            """See `Begins`."""
            listener.start(key, seed, {"dataset": data, **described})
            return partial(listener.log, key, seed)

        found = search(trainer, variants(recipe, tuning, seed), seed, rows[seed], begins)
        kept, path = found.kept, root / f"models/{recipe.name}/seed-{seed}.safetensors"
        facts["trainable_parameters"] = kept.values
        ledger.add(seed, found, facts_of(found, models.save(kept.tensors, path)))
        listener.end(kept.key, seed, outcome(kept.done))
    ledger.write(root / f"runs/{recipe.name}", compute)
    await_record(ledger.keys, root / f"runs/{recipe.name}/facts.json")


def facts_of(found: Search, sha256: str) -> SeedFacts:
    """What is known of one seed's model."""
    kept, (fit, validation) = found.kept, found.kept.task.rows
    known: SeedFacts = {
        "key": kept.key,
        **outcome(kept.done),
        "model_sha256": sha256,
        "fit_images": len(fit),
        "validation_images": len(validation),
        "operations": found.operations,
        "trials": found.trials,
    }
    if len(found.trials) == 1:
        del known["trials"]
    return known
