"""How much work the settings ask for, counted in passes of an image through the network.

A training counts what `experiments.work` counts of it when it is done; what several of them keep
and share is counted once.
"""

from collections.abc import Hashable, Iterator
from itertools import product
from typing import NamedTuple

from ..params.learning.network import HEAD, PARTS
from ..params.learning.strategies import (
    GradientStrategy,
    LogisticStrategy,
    Phase,
    Strategy,
    first_match,
    starts_random,
    views_of,
)
from ..params.learning.training import Train
from ..params.whole import Params
from .amount import Amount, said, thousand

SHARES = (0.07, 0.2, 0.2, 0.3, 0.23, 0.0)
"""Of a pass, by part: what the networks of the table have in common, counted at 224 px."""

FIGURES, AUGMENTED = 500, 2000
"""Test images that are looked at more closely at most, as `prediction.sample` has them."""

LOOKS = 2  # passes of a heat map: the class that is predicted, and where it was seen

Work = tuple[Hashable, float]
"""What is passed, and how many forward passes of one image through the whole network it takes; what
has the same name is kept and passed once.
"""


class Table(NamedTuple):
    """Images whose features are made together and kept."""

    name: str
    images: int


class Training(NamedTuple):
    """One strategy on some of the images."""

    name: tuple[Hashable, ...]
    strategy: Strategy
    seed: int
    fit: float  # images to learn from
    validation: float
    split: int  # of all training images, which `views: auto` goes by
    table: Table  # whose features stand for those of its own images
    shares: bool  # whether random views are kept for other strategies of the seed
    asked: float  # images that the model is asked about by itself


def of_run(values: Params, images: Amount) -> float:
    """Forward passes of one image through the network that a run takes; learning counts three.

    The weights that a pipeline trains itself are not among them.
    """
    return sum(dict(_work(values, images)).values())


def of_source(values: Params) -> float:
    """Passes for weights that the pipeline trains itself."""
    source = values.backbone.source
    if source is None or values.backbone.weights != "source":
        return 0.0
    images = said(source.dataset) or thousand(source.dataset)
    fit, validation = _divided(images.train, values.train)
    training = Training(
        name=("weights",),
        strategy=source.strategy,
        seed=0,
        fit=fit,
        validation=validation,
        split=images.train,
        table=Table("source", images.train),
        shares=False,
        asked=0,
    )
    return sum(count for _, count in learning(training, values.train.max_epochs))


def regressions(values: Params, images: Amount) -> float:
    """Images to fit, times the outputs to be told apart, of all logistic regressions together."""
    outputs = 1 if images.classes == 2 else images.classes
    return outputs * sum(
        training.fit for training in trainings(values, images) if _solves(training.strategy)
    )


def trainings(values: Params, images: Amount) -> Iterator[Training]:
    """All that a run trains, other divisions of the images included."""
    yield from _of_seeds(values, images)
    yield from _of_parts(values, images)
    yield from _of_folds(values, images)


def _of_seeds(values: Params, images: Amount) -> Iterator[Training]:
    few = images.train
    if values.images_per_class is not None:
        few = min(few, values.images_per_class * images.classes)
    fit, validation = _divided(few, values.train)
    for key, strategy in values.strategies.items():
        trials = values.tuning.trials if isinstance(strategy, GradientStrategy) else 1
        for seed, trial in product(values.seeds, range(trials)):
            yield Training(
                name=("train", key, seed, trial),
                strategy=strategy,
                seed=seed,
                fit=fit,
                validation=validation,
                split=images.train,
                table=Table("train", images.train),
                shares=True,
                asked=0 if trial else images.test + validation,  # one of them is kept
            )


def _of_parts(values: Params, images: Amount) -> Iterator[Training]:
    curve = values.learning_curve
    for key, share, seed in product(curve.strategies, curve.fractions, values.seeds):
        name, count = ("learning_curve", key, share, seed), share * images.train
        yield _of_all(name, count, images.test, values, images)


def _of_folds(values: Params, images: Amount) -> Iterator[Training]:
    crossed, everything = values.cross_validation, images.train + images.test
    repeats, folds = range(crossed.repeats), range(crossed.folds)
    for key, repeat, fold in product(crossed.strategies, repeats, folds):
        name, asked = ("cross_validation", key, repeat, fold), everything / crossed.folds
        yield _of_all(name, everything - asked, asked, values, images)


def _of_all(
    name: tuple[str, str, Hashable, int], count: float, asked: float, values: Params, images: Amount
) -> Training:
    """One whose images lie among those of both splits."""
    fit, validation = _divided(count, values.train)
    return Training(
        name=name,
        strategy=values.strategies[name[1]],
        seed=name[-1],
        fit=fit,
        validation=validation,
        split=images.train,
        table=Table("train and test", images.train + images.test),
        shares=False,
        asked=asked,
    )


def _divided(count: float, train: Train) -> tuple[float, float]:
    """Images to fit and to validate on."""
    return count * (1 - train.validation_fraction), count * train.validation_fraction


def _work(values: Params, images: Amount) -> Iterator[Work]:
    for training in trainings(values, images):
        yield from learning(training, values.train.max_epochs)
        if _lowest(training.strategy) == HEAD:
            yield training.table
        else:
            yield (training.name, "asked"), training.asked
    for key, strategy in values.strategies.items():
        yield from _looks(key, strategy, values, images)
    if values.dataset.imagenet is not None:
        yield "controls", images.test


def learning(training: Training, most: int | None) -> Iterator[Work]:
    """What one training passes.

    Args:
        training: Which one.
        most: Epochs at most; None: as many as the strategy says.
    """
    strategy = training.strategy
    if _solves(strategy) or not isinstance(strategy, GradientStrategy):
        yield training.table
    if isinstance(strategy, GradientStrategy):
        yield from _descent(training, strategy, min(strategy.epochs, most or strategy.epochs))


def _descent(training: Training, strategy: GradientStrategy, epochs: int) -> Iterator[Work]:
    """What is frozen once a view, and what lies above in every epoch: learning counts three."""
    views, resolution = views_of(strategy, training.split), strategy.resolution
    fit, validation = training.fit * resolution**2, training.validation
    shares = sum(phase.share for phase in strategy.phases.values())
    for name, phase in strategy.phases.items():
        length, first = epochs * phase.share / shares, _first_trained(strategy, phase)
        below, above = sum(SHARES[:first]), sum(SHARES[first:])
        own: Hashable = (training.name, name, "frozen")
        if views and training.shares:
            own = ("views", first, views, resolution, strategy.augment, training.seed)
        yield own, below * (fit * min(views or length, length) + validation)
        yield (training.name, name), above * length * (3 * fit + validation)
    if strategy.interpolate is not None:
        below, above = sum(SHARES[: _lowest(strategy)]), sum(SHARES[_lowest(strategy) :])
        tried = below + len(strategy.interpolate) * above
        yield (training.name, "averages"), validation * tried


def _looks(key: str, strategy: Strategy, values: Params, images: Amount) -> Iterator[Work]:
    """What is asked of test images beside the answer: random views of every model, features before
    and after and heat maps of one. A model that differs in its head alone goes by kept features.
    """
    looked_at = min(images.test, FIGURES)
    augmented = min(images.test, AUGMENTED) * values.evaluate.tta_views
    yield Table("test", images.test)
    yield (key, "maps"), LOOKS * looked_at
    if _lowest(strategy) == HEAD:
        yield "augmented", augmented
    else:
        yield (key, "augmented"), augmented * len(values.seeds)
        yield (key, "features"), looked_at


def _solves(strategy: Strategy) -> bool:
    """Whether a logistic regression is solved for its head."""
    if isinstance(strategy, GradientStrategy):
        return strategy.probe is not None
    return isinstance(strategy, LogisticStrategy)


def _first_trained(strategy: GradientStrategy, phase: Phase) -> int:
    """Number of leading parts that a phase leaves as they are."""
    if strategy.norm_statistics == "everywhere":
        return 0
    patterns = (first_match(phase.rates, part) for part in PARTS)
    return next(i for i, it in enumerate(patterns) if it and phase.rates[it] is not None)


def _lowest(strategy: Strategy) -> int:
    """Number of leading parts that hold the starting weights after all phases."""
    if not isinstance(strategy, GradientStrategy):
        return HEAD
    if starts_random(strategy):
        return 0
    return min(_first_trained(strategy, phase) for phase in strategy.phases.values())
