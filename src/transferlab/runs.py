"""One strategy, all its seeds: from processed images to models, history, facts and costs."""

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torchvision
from torch import nn

from . import backbones, device, models, probe, strategies, train
from .augment import training_side
from .data import Images, load_images, named_generator, stratified_split
from .features import Source, Views
from .files import cache_folder, content_hash, read_json, write_csv, write_json
from .params import PARTS, GradientStrategy, LogisticStrategy, Params, plain

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
        place: The device.
        shared: Seconds of the tables of features that seeds share.
    """

    params: Params
    images: Images
    rows: tuple[np.ndarray, np.ndarray]
    seed: int
    place: torch.device
    shared: dict[str, float] = field(default_factory=dict)

    def source(self, model: nn.Sequential, views: int | None, resolution: float, cut: int) -> Source:
        """What enters the layers from part `cut` on."""
        preprocessing, ranges = self.params.backbone.preprocessing, self.params.train.augment
        side = training_side(preprocessing, resolution)
        seen = Views(images=self.images, preprocessing=preprocessing, ranges=ranges, seed=self.seed, side=side)
        shared = self.shared if cut == HEAD else None
        return Source(model[:cut], seen, self.rows, views, self.place, self.params.engine.memory_mb, shared)


def used_params(params: Params, name: str) -> dict[str, Any]:
    """The parameters that a strategy's training depends on."""
    return {
        "backbone": plain(params.backbone),
        "seeds": list(params.seeds),
        "train": plain(params.train),
        "engine": plain(params.engine),
        "strategy": plain(params.strategies[name]),
    }


def run(root: Path, name: str, params: Params, code: str, listener: Listener) -> None:
    """Train a strategy for every seed and write `models/<name>` and `runs/<name>`.

    Args:
        root: Checkout that holds data/ and receives models/ and runs/.
        name: Key of the strategy.
        params: All parameters.
        code: Digest of the code that trains.
        listener: Hears of every epoch.
    """
    place = device.prepare(params.engine)
    images = load_images(root / "data/processed/train", read_json(root / "data/processed/classes.json")["classes"])
    start = read_json(root / "data/weights/start.json")
    facts = describe(name, params, images, start["sha256"], place)
    machine = [facts["device"], facts["threads"], facts["versions"]]
    identity = [{**facts["params"], "seeds": None}, images.digest, start["sha256"], code, name, machine]
    shared: dict[str, float] = {}
    history, seconds, checkpoints = [], {}, []
    for seed in params.seeds:
        key = content_hash([*identity, seed])
        rows = stratified_split(images.labels, params.train.validation_fraction, seed, "validation")
        task = Task(params=params, images=images, rows=rows, seed=seed, place=place, shared=shared)
        checkpoints.append(train.Checkpoint(cache_folder("resume") / f"{key}.pt", params.engine.checkpoint_seconds))
        listener.start(key, seed, facts)
        model = starting_model(root, name, task, start["sha256"])
        done, facts["trainable_parameters"] = learn(model, name, task, checkpoints[-1], partial(listener.log, key, seed))
        sha256 = models.save(done.best_tensors, root / f"models/{name}/seed-{seed}.safetensors")
        images_used = {"fit_images": len(rows[0]), "validation_images": len(rows[1])}
        facts["seeds"][str(seed)] = {"key": key, **outcome(done), "model_sha256": sha256, **images_used}
        for row in done.history:
            history.append({"strategy": name, "seed": seed, **row, "chosen": int(row["epoch"] == done.best_epoch)})
        seconds[str(seed)] = done.seconds
        listener.end(key, seed, outcome(done))
    write_csv(root / f"runs/{name}/history.csv", ("strategy", "seed", *MEASURES, "chosen"), history)
    write_json(root / f"runs/{name}/facts.json", facts)
    costs = {"train_seconds": sum(seconds.values()) + sum(shared.values()), "shared_seconds": sum(shared.values())}
    costs |= {"seconds_per_seed": seconds, "peak_memory_mb": device.peak_memory_mb(place), "device": facts["device"]}
    write_json(root / f"runs/{name}/costs.json", costs)
    for checkpoint in checkpoints:
        checkpoint.remove()


def describe(name: str, params: Params, images: Images, start_sha256: str, place: torch.device) -> dict[str, Any]:
    """The facts that stand beside a strategy's models, before any seed has run."""
    return {
        "strategy": name,
        "title": params.strategies[name].title,
        "learner": params.strategies[name].learner,
        "backbone": params.backbone.name,
        "classes": list(images.classes),
        "preprocessing": plain(params.backbone.preprocessing),
        "params": used_params(params, name),
        "start_sha256": start_sha256,
        "trainable_parameters": 0,
        "device": device.describe(place),
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "numpy": np.__version__,
        },
        "seeds": {},
    }


def starting_model(root: Path, name: str, task: Task, start_sha256: str) -> nn.Sequential:
    """The backbone as the strategy starts from it, with a new head for the classes of the images."""
    strategy, backbone = task.params.strategies[name], task.params.backbone
    drawn = int(named_generator(task.seed, "random weights").integers(2**63))
    model = backbones.build(backbone.name, len(task.images.classes), drawn)
    gradient = isinstance(strategy, GradientStrategy)
    if not gradient or strategy.start == "weights":
        tensors = models.read(root / "data/weights/start.safetensors", start_sha256)
        models.overlay(model, {name: value for name, value in tensors.items() if not name.startswith("head.")})
    head = int(named_generator(task.seed, f"head of {name}").integers(2**63))
    backbones.new_head(model, len(task.images.classes), strategy.head_start if gradient else "zero", head)
    return model.to(task.place, memory_format=torch.channels_last)


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
    source = partial(task.source, model, strategy.views, strategy.resolution)
    rest = (task.seed, settings.batch_size, settings.select_by, checkpoint, log)
    return train.fit(model, plans, strategy, source, task.images.labels, task.rows, *rest), trainable


def solve(model: nn.Sequential, strategy: LogisticStrategy, task: Task, log: Log) -> tuple[train.Progress, int]:
    """Put the solution of a logistic regression on the features into the head."""
    started, source = time.perf_counter(), task.source(model, None, 1, HEAD)
    labels = torch.from_numpy(task.images.labels)
    fit_rows, validation_rows = task.rows
    grid = np.logspace(*strategy.log10_c, strategy.c_values).tolist()
    features, targets = source.test(fit_rows), labels[fit_rows].to(task.place)
    solution = probe.solve(features, targets, len(task.images.classes), grid, strategy.folds, task.seed)
    head = model[HEAD][-1]
    tensors = {"weight": solution.weight, "bias": solution.bias}
    models.overlay(head, tensors)
    fitted = train.validate(model[HEAD:], source, labels.to(task.place), fit_rows, len(fit_rows))
    row = {
        "phase": f"C = {solution.c:.3g}",
        "epoch": 0,
        "lr": None,
        "train_loss": fitted["validation_loss"],
        "train_accuracy": fitted["validation_accuracy"],
        **train.validate(model[HEAD:], source, labels.to(task.place), validation_rows, len(validation_rows)),
    }
    log(row)
    return train.Progress(
        status="finished",
        best_epoch=0,
        best_tensors=models.tensors_of(model, ["head"]),
        history=[row],
        seconds=time.perf_counter() - started - source.aside,
    ), sum(value.numel() for value in tensors.values())


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
