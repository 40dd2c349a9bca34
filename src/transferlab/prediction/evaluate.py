"""A strategy's models and images -> predictions tables, and what figures show of the models."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from ..data.divisions import division_of
from ..data.images import Images, read_classes
from ..network import backbones, models
from ..network.activations import Shared
from ..network.setup import (
    Setup,
    images_of,
    settled_compute,
    setup_for,
    start_sha256,
    starting_weights,
    without_head,
)
from ..params.learning.network import HEAD
from ..params.learning.recipe import Recipe
from ..params.learning.strategies import head_shape
from ..pipeline import heartbeat
from ..pipeline.files import atomic, read_json, write_csv
from ..training.facts import require_same
from ..training.records import Facts
from .observer import Observer, first_part
from .sample import in_figures, in_random_views
from .shown import pictures
from .table import columns, table

Said = tuple[str, Images, np.ndarray, np.ndarray]
"""Seed, images, their rows, and probabilities float32 [n, K]."""


def evaluate(root: Path, recipe: Recipe, tta_views: int) -> None:
    """Write what a strategy's models say about images that did not train them.

    `predictions/<name>.csv` is about the test images, `predictions/validation/<name>.csv` about
    those that each seed set aside, `predictions/tta/<name>.csv` about a sample of the test images
    in random views, and `predictions/pictures/<name>.npz` holds what figures show of the first
    seed, and the features `before` training, of a sample as well.

    Args:
        root: Checkout that holds data/, models/ and runs/.
        recipe: The strategy, and what its training depends on.
        tta_views: Random views of test-time augmentation; 0: none.

    Raises:
        ValueError: The models were trained with other parameters or on other classes.
    """
    name, classes = recipe.name, read_classes(root)
    setup = setup_for(recipe, settled_compute(root, recipe.engine))
    train, test = (images_of(root, split, setup.compute) for split in ("train", "test"))
    shared, net = Shared(), starting_network(root, recipe, setup, classes)
    everything, augmented = np.arange(len(test)), in_random_views(len(test))
    observer = Observer(net=net, cut=HEAD, setup=setup, shared=shared)
    before = observer.features(test, in_figures(len(test)))
    said: dict[str, list[Said]] = {"": [], "validation/": [], "tta/": []}
    shown: dict[str, np.ndarray] = {}
    seeds = trained(root, name, net, setup, shared)
    for seed, observer in heartbeat.each(seeds, "seeds", len(recipe.seeds)):
        division = division_of(root / "data/splits/validation.csv", train.ids, int(seed))
        fit, validation = division.training
        shown = shown or pictures(observer, recipe, int(seed), test=test, train=train, fit=fit)
        said[""].append((seed, test, everything, observer.predict(test, everything)))
        if len(validation):
            held = observer.predict(train, validation)
            said["validation/"].append((seed, train, validation, held))
        if tta_views:
            averaged = observer.predict(test, augmented, tta_views)
            said["tta/"].append((seed, test, augmented, averaged))
    for kind, of_seeds in said.items():
        lines = (line for of_seed in of_seeds for line in table(name, *of_seed))
        write_csv(root / f"predictions/{kind}{name}.csv", columns(classes), lines)
    with atomic(root / f"predictions/pictures/{name}.npz", "wb") as file:
        np.savez_compressed(file, allow_pickle=False, before=before.astype(np.float16), **shown)


def starting_network(
    root: Path, recipe: Recipe, setup: Setup, classes: Sequence[str]
) -> nn.Sequential:
    """The starting weights with a head of the strategy's shape, on the device.

    Raises:
        ValueError: The models of the strategy were trained with other parameters, from other
            weights or on other classes, or the weights were damaged.
    """
    facts = read_json(root / f"runs/{recipe.name}/facts.json", Facts)
    require_same(facts, recipe)
    if facts["classes"] != list(classes) or facts["start_sha256"] != start_sha256(root):
        raise ValueError(
            f"runs/{recipe.name}: expected the classes and weights of data/, got others. "
            "Run: dvc repro"
        )
    net = backbones.build(recipe.backbone["name"], len(classes))
    backbones.new_head(net, len(classes), start="zero", seed=0, **head_shape(recipe.strategy))
    backbones.move(net, setup.compute)
    models.overlay(net, without_head(starting_weights(root)))
    return net


def trained(
    root: Path, name: str, net: nn.Sequential, setup: Setup, shared: Shared
) -> Iterator[tuple[str, Observer]]:
    """The models of a strategy by seed, one after the other in the same network.

    An observer therefore is that of its seed only until the next one is asked for.

    Raises:
        ValueError: A file was damaged.
    """
    facts = read_json(root / f"runs/{name}/facts.json", Facts)
    for seed, fact in sorted(facts["seeds"].items(), key=lambda item: int(item[0])):
        tensors = models.read(root / f"models/{name}/seed-{seed}.safetensors", fact["model_sha256"])
        models.overlay(net, tensors)  # of the same parts for every seed
        yield seed, Observer(net=net, cut=first_part(tensors), setup=setup, shared=shared)
