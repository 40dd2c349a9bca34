"""What a run will take, to an order of magnitude."""

from collections.abc import Mapping
from typing import NamedTuple

from ..params.whole import Params
from ..pipeline.places import home
from . import amount
from .amount import Amount
from .passes import of_run, of_source, regressions


class Cost(NamedTuple):
    """What a backbone costs, roughly."""

    images_per_second: int  # forward, on two cores
    megabytes: int  # of one model
    features: int  # that enter the head
    side: int = 224  # pixels of the images of that speed


COST: Mapping[str, Cost] = {
    "tiny": Cost(3000, 1, 128, 64),
    "resnet18": Cost(35, 47, 512),
    "resnet50": Cost(15, 102, 2048),
    "mobilenet_v2": Cost(75, 14, 1280),
    "mobilenet_v3_small": Cost(200, 10, 1024),
    "efficientnet_b0": Cost(40, 21, 1280),
    "efficientnet_b4": Cost(7, 78, 1792, 380),
    "convnext_tiny": Cost(18, 114, 768),
    "densenet121": Cost(16, 32, 1024),
    "vgg16": Cost(10, 553, 4096),
    "vgg16_bn": Cost(9, 553, 4096),
    "inception_v3": Cost(12, 87, 2048, 299),
    "vit_b_16": Cost(8, 346, 768),
}
"""It stands here and not among the parameters, because no result depends on it."""

LIKE = "resnet50"
"""What a network that is not in the table is taken for."""

SOLVED = 1e7
"""What a regression is solved for in a second, all folds and values of C together: images to fit
times their features times outputs. Measured: 0.5e7 with 10 classes, 1.4e7 with 1000.
"""

DECODED = 100  # photographs a second

STARTS = 1.0  # minutes: of download, comparison, report and whatever else there is once
START = 0.15  # of a stage that works on one strategy: begins, reads, writes, and DVC around it

COPIES = 3  # of every model: the file, DVC's and MLflow's


def expectation(values: Params, images: Amount | None) -> str:
    """What a run takes, to an order of magnitude: minutes on two cores, and space.

    Args:
        values: Of the run.
        images: How many there are; None where nobody knows.
    """
    name, models = values.backbone.name, len(values.strategies) * len(values.seeds)
    per = " per 1000 images"
    if images is not None:
        per = f" for {images.train} training and {images.test} test images"
    minutes = expected_minutes(values, images or amount.thousand(values.dataset))
    gigabytes = 0.3 + models * _cost(values).megabytes * COPIES / 1000
    like = "" if name in COST else f", if it is like {LIKE}"
    return (
        f"{_counted(len(values.strategies), 'strategy', 'strategies')} x "
        f"{_counted(len(values.seeds), 'seed', 'seeds')} of {name} on "
        f"{values.dataset.name}: about {minutes:.0f} minutes on 2 CPU cores{per}, "
        f"less on a GPU and where results are cached; up to {gigabytes:.1f} GB in {home()}{like}"
    )


def expected_minutes(values: Params, images: Amount) -> float:
    """What a run takes on two cores: stages, decoding, passes and regressions."""
    cost, protocols = _cost(values), (values.learning_curve, values.cross_validation)
    stages = 2 * len(values.strategies) + sum(len(it.strategies) for it in protocols)
    pixels = (values.backbone.preprocessing.crop_px / cost.side) ** 2
    passed = of_run(values, images) + of_source(values)
    seconds = (
        (images.train + images.test) / DECODED
        + passed * pixels / cost.images_per_second
        + regressions(values, images) * cost.features / SOLVED
    )
    return STARTS + START * stages + seconds / 60


def _cost(values: Params) -> Cost:
    return COST.get(values.backbone.name, COST[LIKE])


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
