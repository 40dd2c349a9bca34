"""What a run will take, to an order of magnitude."""

from collections.abc import Mapping
from typing import NamedTuple

from ..params.backbone import Backbone
from ..params.dataset import Dataset
from ..params.learning.strategies import GradientStrategy, Strategy, views_of
from ..params.whole import Params
from ..pipeline.places import home


class Cost(NamedTuple):
    """What a backbone costs, roughly."""

    images_per_second: int  # forward, on two cores
    megabytes: int  # of one model


COST: Mapping[str, Cost] = {
    "tiny": Cost(3000, 1),
    "resnet18": Cost(35, 47),
    "resnet50": Cost(15, 102),
    "mobilenet_v2": Cost(75, 14),
    "mobilenet_v3_small": Cost(200, 10),
    "efficientnet_b0": Cost(40, 21),
    "efficientnet_b4": Cost(7, 78),
    "convnext_tiny": Cost(18, 114),
    "densenet121": Cost(16, 32),
    "vgg16": Cost(10, 553),
    "vgg16_bn": Cost(9, 553),
    "inception_v3": Cost(12, 87),
    "vit_b_16": Cost(8, 346),
}
"""It stands here and not among the parameters, because no result depends on it."""

LIKE = "resnet50"
"""What a network that is not in the table is taken for."""

MINUTES_TO_START = 0.25  # a stage; each strategy has one that trains and one that evaluates

COPIES = 3  # of every model: the file, DVC's and MLflow's


def expectation(values: Params, known: int | None = None) -> str:
    """What a run takes, to an order of magnitude: minutes on two cores, and space.

    Args:
        values: Of the run.
        known: Training images, where somebody counted them.
    """
    name, models = values.backbone.name, len(values.strategies) * len(values.seeds)
    images, max_epochs = known or training_images(values.dataset), values.train.max_epochs
    forward = sum(
        passes(strategy, max_epochs, images or 1000)
        * (values.tuning.trials if isinstance(strategy, GradientStrategy) else 1)
        for strategy in values.strategies.values()
    )
    work = forward * len(values.seeds) * (images or 1000) + _source_work(
        values.backbone, max_epochs
    )
    starts = 1 + 2 * MINUTES_TO_START * len(values.strategies)
    cost = COST.get(name, COST[LIKE])
    minutes = starts + work / cost.images_per_second / 60
    gigabytes = 0.3 + models * cost.megabytes * COPIES / 1000
    like = "" if name in COST else f", if it is like {LIKE}"
    return (
        f"{_counted(len(values.strategies), 'strategy', 'strategies')} x "
        f"{_counted(len(values.seeds), 'seed', 'seeds')} of {name} on "
        f"{values.dataset.name}: "
        f"about {minutes:.0f} minutes on 2 CPU cores{'' if images else ' per 1000 images'}, "
        f"less on a GPU and where results are cached; up to {gigabytes:.1f} GB in {home()}{like}"
    )


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _source_work(backbone: Backbone, max_epochs: int | None) -> float:
    """Images that pass through the network for weights that the pipeline trains itself."""
    if backbone.source is None or backbone.weights != "source":
        return 0.0
    images = training_images(backbone.source.dataset) or 1000
    return passes(backbone.source.strategy, max_epochs, images) * images


def passes(strategy: Strategy, max_epochs: int | None, images: int) -> float:
    """Forward passes of each of the training images through the whole network per seed; a backward
    pass costs two.
    """
    if not isinstance(strategy, GradientStrategy):
        return 1
    epochs = min(strategy.epochs, max_epochs or strategy.epochs)
    views = min(views_of(strategy, images) or epochs, epochs)
    phases = strategy.phases.values()
    trained = sum(phase.share for phase in phases if all(phase.rates.values()))
    trained /= sum(phase.share for phase in phases)
    # What is frozen is passed once per view.
    return strategy.resolution**2 * (3 * epochs * trained + views * (1 - trained))


def training_images(dataset: Dataset) -> int | None:
    """How many there are, where the parameters say so."""
    if dataset.textures is not None:
        return len(dataset.textures.classes) * dataset.textures.train_per_class
    return None
