"""What a run will take, to an order of magnitude."""

from ..params.dataset import Dataset
from ..params.strategies import LogisticStrategy, Strategy
from ..params.whole import Params
from ..pipeline.places import home

COST = {
    "tiny": (3000, 1),
    "resnet18": (35, 47),
    "resnet50": (15, 102),
    "mobilenet_v2": (75, 14),
    "mobilenet_v3_small": (200, 10),
    "efficientnet_b0": (40, 21),
    "efficientnet_b4": (7, 78),
    "convnext_tiny": (18, 114),
    "densenet121": (16, 32),
    "vgg16_bn": (9, 553),
    "vit_b_16": (8, 346),
}
"""Images per second forward on two cores, roughly, and megabytes of one model."""


def expectation(values: Params) -> str:
    """What a run takes, to an order of magnitude: minutes on two cores, and space."""
    strategies, seeds, source = (
        values.strategies.values(),
        len(values.seeds),
        values.backbone.source,
    )
    speed, megabytes = COST[values.backbone.name]
    images = training_images(values.dataset)
    work = (
        sum(passes(strategy, values.train.max_epochs) for strategy in strategies)
        * seeds
        * (images or 1000)
    )
    if source is not None and values.backbone.weights == "source":
        work += passes(source.strategy, values.train.max_epochs) * (
            training_images(source.dataset) or 1000
        )
    minutes = (
        1 + len(strategies) / 2 + work / speed / 60
    )  # a stage starts up and evaluates in a quarter of a minute
    gigabytes = (
        0.3 + len(strategies) * seeds * megabytes * 3 / 1000
    )  # the file, DVC's copy and MLflow's
    return (
        f"{len(strategies)} strategies x {seeds} seeds of {values.backbone.name} on "
        f"{values.dataset.name}: "
        f"about {minutes:.0f} minutes on 2 CPU cores{'' if images else ' per 1000 images'}, "
        f"less on a GPU and where results are cached; up to {gigabytes:.1f} GB in {home()}"
    )


def passes(strategy: Strategy, max_epochs: int | None) -> float:
    """Forward passes of each image through the whole network per seed; a backward pass costs
    two.
    """
    if isinstance(strategy, LogisticStrategy):
        return 1
    epochs = min(strategy.epochs, max_epochs or strategy.epochs)
    whole = sum(phase.share for phase in strategy.phases.values() if all(phase.rates.values()))
    whole /= sum(phase.share for phase in strategy.phases.values())
    # What is frozen is passed once per view.
    return strategy.resolution**2 * (
        3 * epochs * whole + min(strategy.views or epochs, epochs) * (1 - whole)
    )


def training_images(dataset: Dataset) -> int | None:
    """How many there are, where that is known without looking."""
    if dataset.textures is not None:
        return len(dataset.textures.classes) * dataset.textures.train_per_class
    return {"hymenoptera": 244}.get(dataset.name)
