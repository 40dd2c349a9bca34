"""One seed of one strategy: what it works on, how it starts, how it learns and how it ended."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.chance import drawn_seed
from ..data.images import Images
from ..network import auxiliary, backbones, models
from ..network.activations import Activations, Shared
from ..network.augment import training_side
from ..network.neighbours import Neighbours
from ..network.setup import Setup
from ..network.views import Views
from ..params.learning.network import HEAD, PARTS
from ..params.learning.recipe import Recipe
from ..params.learning.strategies import (
    GradientStrategy,
    LogisticStrategy,
    NearestMean,
    Regression,
    Solved,
    Strategy,
    head_shape,
    starts_random,
)
from ..pipeline import heartbeat
from . import loop, means, probe, strategies
from .checkpoint import Checkpoint, Progress
from .records import Outcome

Log = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one seed works on.

    Args:
        recipe: The strategy, and what else its training depends on; settled.
        setup: How networks run and see images here.
        images: The training split.
        rows: Indices of the images to fit and of those to validate on.
        seed: Draws everything.
        shared: What the sources of all seeds have in common.
        auxiliary: Starting weights of an auxiliary classifier, as far as there are any.
    """

    recipe: Recipe
    setup: Setup
    images: Images
    rows: tuple[np.ndarray, np.ndarray]
    seed: int
    shared: Shared = field(default_factory=Shared)
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def labels(self) -> Tensor:
        """int64 [N] of all images of the split, on the device."""
        return torch.from_numpy(self.images.labels).to(self.setup.compute.device)

    @property
    def class_weights(self) -> Tensor | None:
        """Of the classes in the loss of training, float32 [K], by the images to fit; None: all
        alike.
        """
        if self.recipe.train.class_weights == "none":
            return None
        counts = np.bincount(self.images.labels[self.rows[0]], minlength=len(self.images.classes))
        balanced = counts.sum() / (len(counts) * np.maximum(counts, 1))
        return torch.from_numpy(balanced).float().to(self.setup.compute.device)

    def source(
        self, model: nn.Sequential, views: int | None, resolution: float, cut: int
    ) -> Activations:
        """What enters the layers from part `cut` on."""
        seen = Views(
            images=self.images,
            preprocessing=self.setup.preprocessing,
            ranges=self.setup.augment,
            seed=self.seed,
            side=training_side(self.setup.preprocessing, resolution),
        )
        return Activations(
            backbones.below(model, cut),
            seen,
            self.rows,
            count=views,
            compute=self.setup.compute,
            memory_mb=self.setup.memory_mb,
            shared=self.shared if cut else None,
        )


def starting_model(
    weights: Mapping[str, Tensor], task: Task, model: nn.Sequential | None = None
) -> nn.Sequential:
    """The backbone as the strategy starts from it, with a new head for the classes of the images.

    Args:
        weights: Tensors of all parts but the head, or of those that an earlier seed changed; none
            where the strategy starts from random ones.
        task: What the seed works on.
        model: That of an earlier seed, to be written over: building one takes half as long as
            solving a probe.
    """
    strategy, classes = task.recipe.strategy, len(task.images.classes)
    if model is None or starts_random(strategy):
        drawn = drawn_seed(task.seed, "random weights")
        model = backbones.build(task.recipe.backbone["name"], classes, drawn)
        backbones.move(model, task.setup.compute)
    models.overlay(model, weights)
    head = drawn_seed(task.seed, f"head of {task.recipe.name}")
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
    model: nn.Sequential, task: Task, checkpoint: Checkpoint, log: Log
) -> tuple[Progress, int]:
    """Train one seed of one strategy; gives the result and the number of values that could
    change.
    """
    if not isinstance(task.recipe.strategy, GradientStrategy):
        return solve(model, task.recipe.strategy, task, log)
    strategy = task.recipe.strategy.filled(task.recipe.train)
    trainable = strategies.trainable_parameters(model, strategy)
    probe_seconds = 0.0 if strategy.probe is None else probe_head(model, strategy.probe, task)[1]
    with auxiliary_classifier(model, strategy, task):
        done = by_gradient(model, strategy, task, checkpoint, log)
    done.seconds += probe_seconds
    return done, trainable


def auxiliary_classifier(
    model: nn.Sequential, strategy: GradientStrategy, task: Task
) -> AbstractContextManager[None]:
    """While it is entered, the classifier that trains beside the head; nothing where the backbone
    has none, or the part that it hangs on does not train.
    """
    tables = (phase.rates for phase in strategy.phases.values())
    trains = strategy.trains == "all" and any(
        strategies.rate_of(rates, auxiliary.PART) is not None for rates in tables
    )
    if not trains or task.recipe.backbone["name"] != auxiliary.NETWORK:
        return nullcontext()
    return auxiliary.attached(
        model,
        len(task.images.classes),
        task.auxiliary,
        start=strategy.head_start,
        seed=drawn_seed(task.seed, f"auxiliary classifier of {task.recipe.name}"),
        compute=task.setup.compute,
    )


def by_gradient(
    model: nn.Sequential,
    strategy: GradientStrategy,
    task: Task,
    checkpoint: Checkpoint,
    log: Log,
) -> Progress:
    """Train in the one loop, and average with the start where the strategy asks for it.

    Args:
        model: As the training starts; ends with the result.
        strategy: Of the task, filled.
        task: What the seed works on.
        checkpoint: Where the training saves itself, and goes on from.
        log: Receives each row of the history.
    """
    assert strategy.batch_size is not None
    plans = strategies.plan(model, strategy, task.recipe.train.max_epochs)
    start = models.tensors_of(model, loop.trained_parts(model, plans))
    done = loop.fit(
        model,
        plans,
        strategy,
        partial(task.source, model, strategy.counted_views, strategy.resolution),
        examples=loop.Examples(
            labels=task.labels,
            rows=task.rows,
            seed=task.seed,
            batch_size=strategy.batch_size,
            weights=task.class_weights,
        ),
        checkpoint=checkpoint,
        log=log,
    )
    if strategy.interpolate is not None and done.status == "finished":
        cut = min(plan.cut for plan in plans)
        average(model, start, done, strategy=strategy, task=task, cut=cut, log=log)
    return done


def average(
    model: nn.Sequential,
    start: Mapping[str, Tensor],
    done: Progress,
    *,
    strategy: GradientStrategy,
    task: Task,
    cut: int,
    log: Log,
) -> None:
    """Average the trained weights with those at the start; model and progress become the result.

    Args:
        model: As trained.
        start: The tensors that training could change, as they were before it.
        done: Of the training.
        strategy: The shares to try, and what selects among them.
        task: What the seed works on.
        cut: Number of leading parts that never trained.
        log: Receives the row of the history that stands for the average.
    """
    begun = time.perf_counter()
    source = task.source(model, None, 1, cut)
    measure = partial(loop.validate, model[cut:], source, task.labels, task.rows[1])
    log(loop.interpolate(model, start, done, strategy, measure))
    done.seconds += time.perf_counter() - begun - source.shared_seconds


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
    started, source, (rows, _) = time.perf_counter(), all_features(model, task), task.rows
    heartbeat.doing("features of the images")
    low, high = regression.log10_c
    solution = probe.solve(
        source.test(rows),
        torch.from_numpy(task.images.labels[rows]),
        len(task.images.classes),
        np.logspace(low, high, regression.c_values).tolist(),
        folds=regression.folds,
        seed=task.seed,
        memory_mb=task.setup.memory_mb,
        weights=task.class_weights,
    )
    seconds = time.perf_counter() - started - source.shared_seconds
    head = model.get_submodule("head")
    assert isinstance(head, nn.Sequential)
    models.overlay(head[-1], {"weight": solution.weight, "bias": solution.bias})
    return solution, seconds


def solve(model: nn.Sequential, strategy: Solved, task: Task, log: Log) -> tuple[Progress, int]:
    """A strategy without a training loop: its head is solved for, and no epoch is trained."""
    said, seconds, values = head_of(model, strategy, task)
    started, source = time.perf_counter(), all_features(model, task)
    fitted, validated = (
        loop.validate(model[HEAD:], source, task.labels, rows) for rows in task.rows
    )
    row = {
        "phase": said,
        "epoch": 0,
        "lr": None,
        "train_loss": fitted["validation_loss"],
        "train_accuracy": fitted["validation_accuracy"],
        "gradient_norm": None,
        **validated,
    }
    log(row)
    return Progress(
        status="finished",
        best_epoch=0,
        best_tensors=models.tensors_of(model, ["head"]),
        history=[row],
        seconds=seconds + time.perf_counter() - started - source.shared_seconds,
    ), values


def head_of(model: nn.Sequential, strategy: Solved, task: Task) -> tuple[str, float, int]:
    """Put the head of a strategy that is solved into the model.

    Returns:
        What was found, in words, the seconds it took beside those of tables that are shared, and
        the number of values that the head consists of.
    """
    if isinstance(strategy, LogisticStrategy):
        solution, seconds = probe_head(model, strategy, task)
        return f"C = {solution.c:.3g}", seconds, solution.weight.numel() + solution.bias.numel()
    started, source, rows = time.perf_counter(), all_features(model, task), task.rows[0]
    features, labels = source.test(rows), torch.from_numpy(task.images.labels[rows])
    head = model.get_submodule("head")
    assert isinstance(head, nn.Sequential)
    if isinstance(strategy, NearestMean):
        weight, bias = means.nearest_mean(features, labels, len(task.images.classes))
        models.overlay(head[-1], {"weight": weight, "bias": bias})
        said, values = "means of the classes", weight.numel() + bias.numel()
    else:
        votes = head[-1]
        assert isinstance(votes, Neighbours)
        votes.know(features, labels)
        said, values = f"{strategy.neighbours} neighbours", votes.features.numel()
    return said, time.perf_counter() - started - source.shared_seconds, values


def outcome(done: Progress) -> Outcome:
    """How one seed ended."""
    best = next((row for row in done.history if row["epoch"] == done.best_epoch), {})
    return {
        "status": "diverged" if done.status == "diverged" else "finished",
        "diverged_epoch": done.epoch if done.status == "diverged" else None,
        "best_epoch": done.best_epoch,
        "validation_accuracy": best.get("validation_accuracy"),
        "validation_loss": best.get("validation_loss"),
    }
