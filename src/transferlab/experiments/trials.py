"""Several settings of one strategy, of which a seed keeps the one that validates best."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from ..data.chance import named_generator
from ..params.learning.recipe import Recipe
from ..params.learning.strategies import GradientStrategy
from ..params.tuning import Tuning
from ..training.checkpoint import rank
from ..training.records import Described, Trial
from ..training.task import Log, outcome
from .trainer import Begins, Trained, Trainer
from .work import of_parts, operations


def variants(recipe: Recipe, tuning: Tuning, seed: int) -> list[Recipe]:
    """The settings that one seed tries: the strategy's own first, then others, all different.

    Random search (Bergstra and Bengio, "Random search for hyper-parameter optimization", Journal of
    Machine Learning Research 13 (2012), 281-305) over rates and epochs; what is solved has neither.

    Args:
        recipe: The strategy as it stands.
        tuning: How many, and the factors to draw from.
        seed: Draws them.
    """
    strategy = recipe.strategy
    if tuning.trials == 1 or not isinstance(strategy, GradientStrategy):
        return [recipe]
    others = [replace(strategy, **setting) for setting in _settings(recipe, strategy, tuning)]
    order = named_generator(seed, f"trials of {recipe.name}").permutation(len(others))
    drawn = [others[place] for place in order[: tuning.trials - 1]]
    return [recipe, *(replace(recipe, strategy=other) for other in drawn)]


def _settings(recipe: Recipe, strategy: GradientStrategy, tuning: Tuning) -> list[dict[str, Any]]:
    """All that may be drawn; lengths that are cut to the same one are one."""
    most = recipe.train.max_epochs
    lengths = {}
    for factor in tuning.epochs:
        epochs = max(round(strategy.epochs * factor), len(strategy.phases))
        lengths[min(epochs, most or epochs)] = epochs
    own = min(strategy.epochs, most or strategy.epochs)
    lengths[own] = strategy.epochs
    pairs = product(tuning.lr, lengths)
    return [
        {"lr": strategy.lr * rate, "epochs": lengths[length]}
        for rate, length in pairs
        if (rate, length) != (1, own)
    ]


@dataclass(kw_only=True)
class Search:
    """The settings that one seed tried.

    Args:
        trials: What is recorded of each, in the order of trying.
        kept: The training that is kept.
        seconds: Of all of them, beside those of tables that are shared.
        operations: Of all of them, see `work.operations`.
        shared: Seconds of the shared tables, by their names.
    """

    trials: list[Trial] = field(default_factory=list)
    kept: Trained = field(init=False)
    seconds: float = 0.0
    operations: int = 0
    shared: dict[str, float] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        """Of all trainings."""
        return [trial["key"] for trial in self.trials]

    def add(self, one: Trained, operations: int) -> None:
        """Enter a training, and keep it where its epoch that is kept validates best; the first of
        equals, and one that diverged only where all did.
        """
        if not self.trials or _score(one) > _score(self.kept):
            self.kept = one
        self.trials.append(_trial(one))
        self.seconds += one.done.seconds
        self.operations += operations
        self.shared |= one.done.shared


def search(
    trainer: Trainer,
    settings: Sequence[Recipe],
    seed: int,
    rows: tuple[np.ndarray, np.ndarray],
    begins: Begins,
) -> Search:
    """Train every setting and keep the one that validates best.

    Args:
        trainer: Trains.
        settings: What is tried, see `variants`.
        seed: Draws the trainings.
        rows: Indices of the images to fit and of those to validate on.
        begins: Hears of the training that is kept: while it runs where nothing else is tried, else
            at the end.
    """
    found, alone = Search(), len(settings) == 1
    for setting in settings:
        one = trainer.train(setting, seed, rows, begins if alone else _unheard)
        found.add(one, _counted(trainer, one))
    if not alone:
        log = begins(found.kept.key, found.kept.facts)
        for row in found.kept.done.history:
            log(row)
    return found


def _unheard(key: str, facts: Described) -> Log:
    return lambda row: None


def _counted(trainer: Trainer, one: Trained) -> int:
    assert trainer.net is not None
    fit, validation = one.task.rows
    return operations(one.task.recipe, partial(of_parts, trainer.net), len(fit), len(validation))


def _trial(one: Trained) -> Trial:
    strategy, ended = one.task.recipe.strategy, outcome(one.done)
    gradient = strategy if isinstance(strategy, GradientStrategy) else None
    return {
        "key": one.key,
        "lr": gradient.lr if gradient else None,
        "epochs": gradient.epochs if gradient else None,
        "validation_accuracy": ended["validation_accuracy"],
        "validation_loss": ended["validation_loss"],
    }


def _score(one: Trained) -> tuple[bool, tuple[float, float]]:
    """How well the kept epoch validates, larger is better."""
    ended, strategy = outcome(one.done), one.task.recipe.strategy
    measure = one.task.recipe.train.select_by
    if isinstance(strategy, GradientStrategy):
        measure = strategy.select_by or measure
    if ended["status"] != "finished" or ended["validation_accuracy"] is None:
        return False, (0.0, 0.0)
    return True, rank(ended, "loss" if measure == "loss" else "accuracy")
