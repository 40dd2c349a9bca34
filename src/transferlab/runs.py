"""One strategy, all its seeds: from processed images to models, history, facts and costs."""

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from . import backbones, device, models, probe, strategies, train
from .augment import training_side
from .data import Images, load_images, named_generator, stratified_split
from .device import Place
from .features import Shared, Source, Views, resident
from .files import cache_folder, content_hash, read_json, write_csv, write_json
from .params import PARTS, GradientStrategy, LogisticStrategy, Params, Regression, Strategy, plain

HEAD = len(PARTS) - 1
MEASURES = ("phase", "epoch", "lr", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
Log = Callable[[Mapping[str, Any]], None]


class Listener(Protocol):
    """Hears of every training while it runs."""

    def start(self, key: str, seed: int, facts: Mapping[str, Any]) -> None:
        """One seed begins; `key` names this training for ever."""

    def log(self, key: str, seed: int, row: Mapping[str, Any]) -> None:
        """One epoch is done."""

    def end(self, key: str, seed: int, outcome: Mapping[str, Any]) -> None:
        """One seed is done."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one seed works on.

    Args:
        params: All parameters.
        images: The training split.
        rows: Indices of the images to fit and of those to validate on.
        seed: Draws everything.
        place: Where the arithmetic runs, and how.
        shared: What the sources of all seeds have in common.
        seeds: Rows to fit of every seed that starts from the same weights: their regressions are solved at once.
        heads: Their solutions, with the seconds that each took.
    """

    params: Params
    images: Images
    rows: tuple[np.ndarray, np.ndarray]
    seed: int
    place: Place
    shared: Shared = field(default_factory=Shared)
    seeds: Mapping[int, np.ndarray] = field(default_factory=dict)
    heads: dict[int, tuple[probe.Solution, float]] = field(default_factory=dict)

    def source(self, model: nn.Sequential, views: int | None, resolution: float, cut: int) -> Source:
        """What enters the layers from part `cut` on."""
        preprocessing, ranges = self.params.backbone.preprocessing, self.params.train.augment
        side = training_side(preprocessing, resolution)
        seen = Views(images=self.images, preprocessing=preprocessing, ranges=ranges, seed=self.seed, side=side)
        shared = self.shared if cut else None
        return Source(
            backbones.below(model, cut),
            seen,
            self.rows,
            count=views,
            place=self.place,
            memory_mb=self.params.engine.memory_mb,
            shared=shared,
        )


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
    weights = {} if starts_random(params.strategies[name]) else starting_weights(root, start["sha256"])
    facts = {"dataset": known["dataset"], **describe(name, params, images, start["sha256"], place)}
    machine = [facts[key] for key in ("device", "threads", "precision", "memory_format", "versions")]
    identity = [{**facts["params"], "seeds": None}, images.digest, start["sha256"], code, name, machine]
    fraction = params.train.validation_fraction
    splits = {seed: stratified_split(images.labels, fraction, seed, "validation") for seed in params.seeds}
    together = {} if starts_random(params.strategies[name]) else {seed: rows[0] for seed, rows in splits.items()}
    heads: dict[int, tuple[probe.Solution, float]] = {}
    shared, model = Shared(), None
    history, seconds, checkpoints = [], {}, []
    for seed, rows in splits.items():
        key = content_hash([*identity, seed])
        task = Task(
            params=params, images=images, rows=rows, seed=seed, place=place, shared=shared, seeds=together, heads=heads
        )
        checkpoints.append(train.Checkpoint(cache_folder("resume") / f"{key}.pt", params.engine.checkpoint_seconds))
        listener.start(key, seed, facts)
        model = starting_model(weights, name, task, model)
        log = partial(listener.log, key, seed)
        done, facts["trainable_parameters"] = learn(model, name, task, checkpoints[-1], log)
        tensors = own_tensors(model, params.strategies[name], done)
        weights = changed(weights, tensors)
        sha256 = models.save(tensors, root / f"models/{name}/seed-{seed}.safetensors")
        images_used = {"fit_images": len(rows[0]), "validation_images": len(rows[1])}
        facts["seeds"][str(seed)] = {"key": key, **outcome(done), "model_sha256": sha256, **images_used}
        for row in done.history:
            history.append({"strategy": name, "seed": seed, **row, "chosen": int(row["epoch"] == done.best_epoch)})
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


def describe(name: str, params: Params, images: Images, start_sha256: str, place: Place) -> dict[str, Any]:
    """The facts that stand beside a strategy's models, before any seed has run."""
    return {
        "strategy": name,
        "title": params.strategies[name].title,
        "learner": params.strategies[name].learner,
        "backbone": params.backbone.name,
        "classes": list(images.classes),
        "preprocessing": plain(params.backbone.preprocessing),
        "params": models.trained_with(params, name),
        "start_sha256": start_sha256,
        "trainable_parameters": 0,
        "device": device.describe(place.device),
        "threads": torch.get_num_threads(),
        "precision": place.precision,
        "memory_format": place.memory_format,
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("torch", "torchvision", "numpy", "pillow")},
        },
        "seeds": {},
    }


def starting_weights(root: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of `data/weights` but for their head."""
    tensors = models.read(root / "data/weights/start.safetensors", sha256)
    return {key: value for key, value in tensors.items() if not key.startswith("head.")}


def starting_model(
    weights: Mapping[str, Tensor], name: str, task: Task, model: nn.Sequential | None = None
) -> nn.Sequential:
    """The backbone as the strategy starts from it, with a new head for the classes of the images.

    Args:
        weights: Tensors of all parts but the head, or of those that an earlier seed changed; none where the strategy
            starts from random ones.
        name: Key of the strategy.
        task: What the seed works on.
        model: That of an earlier seed, to be written over: building one takes half as long as solving a probe.
    """
    strategy, classes = task.params.strategies[name], len(task.images.classes)
    if model is None or starts_random(strategy):
        drawn = int(named_generator(task.seed, "random weights").integers(2**63))
        model = backbones.move(backbones.build(task.params.backbone.name, classes, drawn), task.place)
    models.overlay(model, weights)
    head = int(named_generator(task.seed, f"head of {name}").integers(2**63))
    start = strategy.head_start if isinstance(strategy, GradientStrategy) else "zero"
    backbones.new_head(model, classes, start=start, seed=head, **models.head_shape(strategy))
    return model


def starts_random(strategy: Strategy) -> bool:
    """Whether the backbone starts from random weights instead of those of data/weights."""
    return isinstance(strategy, GradientStrategy) and strategy.start == "random"


def own_tensors(model: nn.Sequential, strategy: Strategy, done: train.Progress) -> dict[str, Tensor]:
    """What data/weights does not hold: the tensors that may have changed, the head, and all of a random start."""
    changed = {name.split(".")[0] for name in done.best_tensors}
    return models.tensors_of(model, PARTS if starts_random(strategy) else changed | {"head"})


def changed(weights: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The starting weights that a training changed: those that the next one in the same network must put back."""
    return {name: value for name, value in weights.items() if name in tensors}


def learn(
    model: nn.Sequential, name: str, task: Task, checkpoint: train.Checkpoint, log: Log
) -> tuple[train.Progress, int]:
    """Train one seed of one strategy; gives the result and the number of values that could change."""
    strategy = task.params.strategies[name]
    if isinstance(strategy, LogisticStrategy):
        return solve(model, strategy, task, log)
    settings = task.params.train
    plans = strategies.plan(model, strategy, settings.max_epochs)
    trainable = strategies.trainable_parameters(model, [phase.rates for phase in strategy.phases.values()])
    aside = 0.0 if strategy.probe is None else probe_head(model, strategy.probe, task)[1]
    start = models.tensors_of(model, train.trained_parts(model, plans))
    done = train.fit(
        model,
        plans,
        strategy,
        partial(task.source, model, strategy.views, strategy.resolution),
        labels=task.images.labels,
        rows=task.rows,
        settings=train.Settings(seed=task.seed, batch_size=settings.batch_size),
        checkpoint=checkpoint,
        log=log,
    )
    done.seconds += aside
    if strategy.interpolate is not None and done.status == "finished":
        begun, cut = time.perf_counter(), min(plan.cut for plan in plans)
        source, labels = task.source(model, None, 1, cut), torch.from_numpy(task.images.labels).to(task.place.device)
        measure = partial(train.validate, model[cut:], source, labels, task.rows[1])
        log(train.interpolate(model, start, done, strategy, measure))
        done.seconds += time.perf_counter() - begun - source.aside
    return done, trainable


def whole(model: nn.Sequential, task: Task) -> Source:
    """The features of all images in the test view, a table that every seed reads."""
    nothing, everything = task.rows[0][:0], np.arange(len(task.images))
    return replace(task, rows=(nothing, everything)).source(model, None, 1, HEAD)


def probe_head(model: nn.Sequential, regression: Regression, task: Task) -> tuple[probe.Solution, float]:
    """Put the solution of a logistic regression on the features into the head.

    Returns:
        The solution, and its seconds beside those of tables that are shared.
    """
    if task.seed not in task.heads:
        started, source = time.perf_counter(), whole(model, task)
        low, high = regression.log10_c
        grid = np.logspace(low, high, regression.c_values).tolist()
        features, labels = source.test(source.rows[1]), torch.from_numpy(task.images.labels)
        classes, seeds = len(task.images.classes), task.seeds or {task.seed: task.rows[0]}
        solutions = probe.solve(features, labels, classes, grid, folds=regression.folds, seeds=seeds)
        each = (time.perf_counter() - started - source.aside) / len(seeds)
        task.heads.update({seed: (solution, each) for seed, solution in solutions.items()})
    solution, seconds = task.heads[task.seed]
    head = model.get_submodule("head")
    assert isinstance(head, nn.Sequential)
    models.overlay(head[-1], {"weight": solution.weight, "bias": solution.bias})
    return solution, seconds


def solve(model: nn.Sequential, strategy: LogisticStrategy, task: Task, log: Log) -> tuple[train.Progress, int]:
    """A linear probe: its head is solved for, and no epoch is trained."""
    solution, seconds = probe_head(model, strategy, task)
    started, source = time.perf_counter(), whole(model, task)
    labels = torch.from_numpy(task.images.labels).to(task.place.device)
    fitted, validated = (train.validate(model[HEAD:], source, labels, rows) for rows in task.rows)
    row = {
        "phase": f"C = {solution.c:.3g}",
        "epoch": 0,
        "lr": None,
        "train_loss": fitted["validation_loss"],
        "train_accuracy": fitted["validation_accuracy"],
        **validated,
    }
    log(row)
    return train.Progress(
        status="finished",
        best_epoch=0,
        best_tensors=models.tensors_of(model, ["head"]),
        history=[row],
        seconds=seconds + time.perf_counter() - started - source.aside,
    ), solution.weight.numel() + solution.bias.numel()


def outcome(done: train.Progress) -> dict[str, Any]:
    """How one seed ended."""
    best = next((row for row in done.history if row["epoch"] == done.best_epoch), {})
    return {
        "status": done.status,
        "diverged_epoch": done.epoch if done.status == "diverged" else None,
        "best_epoch": done.best_epoch,
        "validation_accuracy": best.get("validation_accuracy"),
        "validation_loss": best.get("validation_loss"),
    }
