"""One seed of one strategy: what it works on, how it starts, how it learns and how it ended."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.chance import named_generator
from ..data.images import Images
from ..network import backbones, models
from ..network.activations import Activations, Shared
from ..network.augment import training_side
from ..network.device import Compute
from ..network.views import Views
from ..params.network import HEAD, PARTS
from ..params.strategies import (
    GradientStrategy,
    LogisticStrategy,
    Regression,
    Strategy,
    head_shape,
    starts_random,
)
from ..params.whole import Params
from . import loop, probe, strategies
from .checkpoint import Checkpoint, Progress

Log = Callable[[Mapping[str, Any]], None]


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
        seeds: Rows to fit of every seed that starts from the same weights: their regressions are
            solved at once.
        heads: Their solutions, with the seconds that each took.
    """

    params: Params
    images: Images
    rows: tuple[np.ndarray, np.ndarray]
    seed: int
    place: Compute
    shared: Shared = field(default_factory=Shared)
    seeds: Mapping[int, np.ndarray] = field(default_factory=dict)
    heads: dict[int, tuple[probe.Solution, float]] = field(default_factory=dict)

    def source(
        self, model: nn.Sequential, views: int | None, resolution: float, cut: int
    ) -> Activations:
        """What enters the layers from part `cut` on."""
        preprocessing, ranges = self.params.backbone.preprocessing, self.params.train.augment
        side = training_side(preprocessing, resolution)
        seen = Views(
            images=self.images,
            preprocessing=preprocessing,
            ranges=ranges,
            seed=self.seed,
            side=side,
        )
        shared = self.shared if cut else None
        return Activations(
            backbones.below(model, cut),
            seen,
            self.rows,
            count=views,
            place=self.place,
            memory_mb=self.params.engine.memory_mb,
            shared=shared,
        )


def starting_model(
    weights: Mapping[str, Tensor], name: str, task: Task, model: nn.Sequential | None = None
) -> nn.Sequential:
    """The backbone as the strategy starts from it, with a new head for the classes of the images.

    Args:
        weights: Tensors of all parts but the head, or of those that an earlier seed changed; none
            where the strategy starts from random ones.
        name: Key of the strategy.
        task: What the seed works on.
        model: That of an earlier seed, to be written over: building one takes half as long as
            solving a probe.
    """
    strategy, classes = task.params.strategies[name], len(task.images.classes)
    if model is None or starts_random(strategy):
        drawn = int(named_generator(task.seed, "random weights").integers(2**63))
        model = backbones.move(
            backbones.build(task.params.backbone.name, classes, drawn), task.place
        )
    models.overlay(model, weights)
    head = int(named_generator(task.seed, f"head of {name}").integers(2**63))
    start = strategy.head_start if isinstance(strategy, GradientStrategy) else "zero"
    backbones.new_head(model, classes, start=start, seed=head, **head_shape(strategy))
    return model


def own_tensors(model: nn.Sequential, strategy: Strategy, done: Progress) -> dict[str, Tensor]:
    """What data/weights does not hold: the tensors that may have changed, the head, and all of a
    random start.
    """
    changed = {name.split(".")[0] for name in done.best_tensors}
    return models.tensors_of(model, PARTS if starts_random(strategy) else changed | {"head"})


def changed_tensors(
    weights: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The starting weights that a training changed: those that the next one in the same network
    must put back.
    """
    return {name: value for name, value in weights.items() if name in tensors}


def learn(
    model: nn.Sequential, name: str, task: Task, checkpoint: Checkpoint, log: Log
) -> tuple[Progress, int]:
    """Train one seed of one strategy; gives the result and the number of values that could
    change.
    """
    strategy = task.params.strategies[name]
    if isinstance(strategy, LogisticStrategy):
        return solve(model, strategy, task, log)
    settings = task.params.train
    plans = strategies.plan(model, strategy, settings.max_epochs)
    trainable = strategies.trainable_parameters(
        model, [phase.rates for phase in strategy.phases.values()]
    )
    aside = 0.0 if strategy.probe is None else probe_head(model, strategy.probe, task)[1]
    start = models.tensors_of(model, loop.trained_parts(model, plans))
    done = loop.fit(
        model,
        plans,
        strategy,
        partial(task.source, model, strategy.views, strategy.resolution),
        labels=task.images.labels,
        rows=task.rows,
        settings=loop.Settings(seed=task.seed, batch_size=settings.batch_size),
        checkpoint=checkpoint,
        log=log,
    )
    done.seconds += aside
    if strategy.interpolate is not None and done.status == "finished":
        begun, cut = time.perf_counter(), min(plan.cut for plan in plans)
        source, labels = (
            task.source(model, None, 1, cut),
            torch.from_numpy(task.images.labels).to(task.place.device),
        )
        measure = partial(loop.validate, model[cut:], source, labels, task.rows[1])
        log(loop.interpolate(model, start, done, strategy, measure))
        done.seconds += time.perf_counter() - begun - source.aside
    return done, trainable


def all_features(model: nn.Sequential, task: Task) -> Activations:
    """The features of all images in the test view, a table that every seed reads."""
    nothing, everything = task.rows[0][:0], np.arange(len(task.images))
    return replace(task, rows=(nothing, everything)).source(model, None, 1, HEAD)


def probe_head(
    model: nn.Sequential, regression: Regression, task: Task
) -> tuple[probe.Solution, float]:
    """Put the solution of a logistic regression on the features into the head.

    Returns:
        The solution, and its seconds beside those of tables that are shared.
    """
    if task.seed not in task.heads:
        started, source = time.perf_counter(), all_features(model, task)
        low, high = regression.log10_c
        grid = np.logspace(low, high, regression.c_values).tolist()
        features, labels = source.test(source.rows[1]), torch.from_numpy(task.images.labels)
        classes, seeds = len(task.images.classes), task.seeds or {task.seed: task.rows[0]}
        solutions = probe.solve(
            features, labels, classes, grid, folds=regression.folds, seeds=seeds
        )
        each = (time.perf_counter() - started - source.aside) / len(seeds)
        task.heads.update({seed: (solution, each) for seed, solution in solutions.items()})
    solution, seconds = task.heads[task.seed]
    head = model.get_submodule("head")
    assert isinstance(head, nn.Sequential)
    models.overlay(head[-1], {"weight": solution.weight, "bias": solution.bias})
    return solution, seconds


def solve(
    model: nn.Sequential, strategy: LogisticStrategy, task: Task, log: Log
) -> tuple[Progress, int]:
    """A linear probe: its head is solved for, and no epoch is trained."""
    solution, seconds = probe_head(model, strategy, task)
    started, source = time.perf_counter(), all_features(model, task)
    labels = torch.from_numpy(task.images.labels).to(task.place.device)
    fitted, validated = (loop.validate(model[HEAD:], source, labels, rows) for rows in task.rows)
    row = {
        "phase": f"C = {solution.c:.3g}",
        "epoch": 0,
        "lr": None,
        "train_loss": fitted["validation_loss"],
        "train_accuracy": fitted["validation_accuracy"],
        **validated,
    }
    log(row)
    return Progress(
        status="finished",
        best_epoch=0,
        best_tensors=models.tensors_of(model, ["head"]),
        history=[row],
        seconds=seconds + time.perf_counter() - started - source.aside,
    ), solution.weight.numel() + solution.bias.numel()


def outcome(done: Progress) -> dict[str, Any]:
    """How one seed ended."""
    best = next((row for row in done.history if row["epoch"] == done.best_epoch), {})
    return {
        "status": done.status,
        "diverged_epoch": done.epoch if done.status == "diverged" else None,
        "best_epoch": done.best_epoch,
        "validation_accuracy": best.get("validation_accuracy"),
        "validation_loss": best.get("validation_loss"),
    }
