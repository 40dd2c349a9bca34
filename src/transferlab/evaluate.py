"""A strategy's models and images -> predictions tables, and what figures show of the models."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from . import attribution, backbones, device, models
from .augment import training_side
from .data import Images, load_images, stratified_split
from .device import Place
from .features import Shared, Views, resident
from .files import atomic, read_json, write_csv, write_json
from .params import GradientStrategy, Params
from .predict import HEAD, Observer, columns, first_part, table

VIEWED_IMAGES, VIEWED_EPOCHS = 3, 7


def evaluate(root: Path, name: str, params: Params) -> None:
    """Write what a strategy's models say about images that did not train them.

    `predictions/<name>.csv` and `metrics/<name>.json` are about the test images, `predictions/validation/<name>.csv`
    about those that each seed set aside, `predictions/tta/<name>.csv` about the test images in random views, and
    `predictions/pictures/<name>.npz` holds what figures show of the first seed, and the features `before` training.

    Raises:
        ValueError: The models were trained with other parameters or on other classes.
    """
    place = device.prepare(params.engine, read_json(root / "data/engine.json"))
    classes = read_json(root / "data/processed/classes.json")["classes"]
    splits = (load_images(root / f"data/processed/{split}", classes) for split in ("train", "test"))
    train, test = (resident(images, place.device) for images in splits)
    everything, views = np.arange(len(test)), params.evaluate.tta_views
    rows: dict[str, list[dict[str, Any]]] = {"": [], "validation/": [], "tta/": []}
    seeds: dict[str, dict[str, float]] = {}
    shown: dict[str, np.ndarray] = {}
    for seed, observer in trained(root, name, params, classes, place):
        if seed is None:
            before = observer.features(test)
            continue
        shown = shown or pictures(observer, name, int(seed), (train, test))
        probabilities = observer.predict(test, everything)
        seeds[seed] = scores(probabilities, test.labels)
        rows[""] += table(name, seed, test, everything, probabilities)
        aside = stratified_split(train.labels, params.train.validation_fraction, int(seed), "validation")[1]
        rows["validation/"] += table(name, seed, train, aside, observer.predict(train, aside))
        if views:
            rows["tta/"] += table(name, seed, test, everything, observer.predict(test, everything, views))
    for kind, lines in rows.items():
        write_csv(root / f"predictions/{kind}{name}.csv", columns(classes), lines)
    with atomic(root / f"predictions/pictures/{name}.npz", "wb") as file:
        np.savez_compressed(file, allow_pickle=False, before=before.astype(np.float16), **shown)
    means = {key: float(np.mean([values[key] for values in seeds.values()])) for key in ("accuracy", "loss")}
    write_json(root / f"metrics/{name}.json", {"strategy": name, "images": len(test), **means, "seeds": seeds})


def trained(
    root: Path, name: str, params: Params, classes: Sequence[str], place: Place
) -> Iterator[tuple[str | None, Observer]]:
    """The models of a strategy, one after the other in the same network: first the starting weights, as seed None.

    Raises:
        ValueError: They were trained with other parameters or on other classes, or a file was damaged.
    """
    facts, start = read_json(root / f"runs/{name}/facts.json"), read_json(root / "data/weights/start.json")
    require_same(facts, name, params)
    if facts["classes"] != classes or facts["start_sha256"] != start["sha256"]:
        raise ValueError(f"runs/{name}: expected the classes and weights of data/, got others. Run: dvc repro")
    weights = models.read(root / "data/weights/start.safetensors", start["sha256"])
    weights = {key: value for key, value in weights.items() if not key.startswith("head.")}
    net = backbones.build(params.backbone.name, len(classes))
    backbones.new_head(net, len(classes), start="zero", seed=0, **models.head_shape(params.strategies[name]))
    backbones.move(net, place)
    models.overlay(net, weights)
    shared = Shared()
    yield None, Observer(net=net, cut=HEAD, params=params, place=place, shared=shared)
    for seed, fact in sorted(facts["seeds"].items(), key=lambda item: int(item[0])):
        tensors = models.read(root / f"models/{name}/seed-{seed}.safetensors", fact["model_sha256"])
        models.overlay(net, tensors)  # of the same parts for every seed
        yield seed, Observer(net=net, cut=first_part(tensors), params=params, place=place, shared=shared)


def pictures(observer: Observer, name: str, seed: int, images: tuple[Images, Images]) -> dict[str, np.ndarray]:
    """What figures show of one model.

    Args:
        observer: The model.
        name: Key of its strategy.
        seed: Of its training.
        images: The training and the test split.

    Returns:
        `after`: features float16 [N, F] of the test images in the order of their manifest, `maps`: where the predicted
        class was seen in them, float16 [N, h, w], and `views`: what training saw, uint8 [I, V, S, S, 3].
    """
    train, test = images
    seen = Views(images=test, preprocessing=observer.params.backbone.preprocessing, ranges=None, seed=0, side=0)
    return {
        "after": observer.features(test).astype(np.float16),
        "maps": attribution.maps(observer.net, seen, observer.place).astype(np.float16),
        "views": training_views(train, name, seed, observer.params),
    }


def training_views(train: Images, name: str, seed: int, params: Params) -> np.ndarray:
    """The test view and the random views of the first epochs of some images, uint8 [I, 1 + V, S, S, 3]; S is 112.

    V is 0 for a strategy that trains on test views.
    """
    preprocessing, strategy = params.backbone.preprocessing, params.strategies[name]
    fit = stratified_split(train.labels, params.train.validation_fraction, seed, "validation")[0]
    rows = fit[np.linspace(0, len(fit) - 1, VIEWED_IMAGES).astype(int)].tolist()
    resolution, count = 1.0, 0
    if isinstance(strategy, GradientStrategy):
        resolution, count = strategy.resolution, min(strategy.views or VIEWED_EPOCHS, VIEWED_EPOCHS)
    side = training_side(preprocessing, resolution)
    seen = Views(images=train, preprocessing=preprocessing, ranges=params.train.augment, seed=seed, side=side)
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    shown = []
    for view in (None, *range(count)):
        pixels = seen.finish(seen.crops(rows, view), rows, view, torch.device("cpu")).numpy() * std + mean
        shown.append([_thumbnail((255 * image).round().clip(0, 255).astype(np.uint8)) for image in pixels])
    return np.array(shown).swapaxes(0, 1)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """uint8 [3, S, S] -> [112, 112, 3]."""
    return np.asarray(Image.fromarray(image.transpose(1, 2, 0)).resize((112, 112), Image.Resampling.BILINEAR))


def require_same(facts: dict[str, Any], name: str, params: Params) -> None:
    """Refuse models that were trained with other parameters than `params.yaml` says now."""
    for section, now in models.trained_with(params, name).items():
        if facts["params"][section] != now:
            raise ValueError(
                f"runs/{name}/facts.json: expected the {section} of params.yaml, got other values: the model was "
                f"trained with those. Run: dvc repro --force train@{name}"
            )


def scores(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy and mean negative log-likelihood (nats) of one seed."""
    truth = np.clip(probabilities[np.arange(len(labels)), labels].astype(float), 1e-12, None)
    return {"accuracy": float((probabilities.argmax(1) == labels).mean()), "loss": float(-np.log(truth).mean())}
