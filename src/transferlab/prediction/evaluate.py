"""A strategy's models and images -> predictions tables, and what figures show of the models."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.chance import stratified_split
from ..data.images import load_images
from ..network import backbones, device, models
from ..network.activations import Shared
from ..network.device import Compute
from ..network.views import resident
from ..params.network import HEAD
from ..params.strategies import head_shape
from ..params.whole import Params
from ..pipeline.files import atomic, read_json, write_csv, write_json
from ..training.facts import require_same
from .observer import Observer, first_part
from .shown import pictures
from .table import columns, table


def evaluate(root: Path, name: str, params: Params) -> None:
    """Write what a strategy's models say about images that did not train them.

    `predictions/<name>.csv` and `metrics/<name>.json` are about the test images,
    `predictions/validation/<name>.csv` about those that each seed set aside,
    `predictions/tta/<name>.csv` about the test images in random views, and
    `predictions/pictures/<name>.npz` holds what figures show of the first seed, and the features
    `before` training.

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
        aside = stratified_split(
            train.labels, params.train.validation_fraction, int(seed), "validation"
        )[1]
        rows["validation/"] += table(name, seed, train, aside, observer.predict(train, aside))
        if views:
            rows["tta/"] += table(
                name, seed, test, everything, observer.predict(test, everything, views)
            )
    for kind, lines in rows.items():
        write_csv(root / f"predictions/{kind}{name}.csv", columns(classes), lines)
    with atomic(root / f"predictions/pictures/{name}.npz", "wb") as file:
        np.savez_compressed(file, allow_pickle=False, before=before.astype(np.float16), **shown)
    means = {
        key: float(np.mean([values[key] for values in seeds.values()]))
        for key in ("accuracy", "loss")
    }
    write_json(
        root / f"metrics/{name}.json",
        {"strategy": name, "images": len(test), **means, "seeds": seeds},
    )


def trained(
    root: Path, name: str, params: Params, classes: Sequence[str], place: Compute
) -> Iterator[tuple[str | None, Observer]]:
    """The models of a strategy, one after the other in the same network: first the starting
    weights, as seed None.

    Raises:
        ValueError: They were trained with other parameters or on other classes, or a file was
            damaged.
    """
    facts, start = (
        read_json(root / f"runs/{name}/facts.json"),
        read_json(root / "data/weights/start.json"),
    )
    require_same(facts, name, params)
    if facts["classes"] != classes or facts["start_sha256"] != start["sha256"]:
        raise ValueError(
            f"runs/{name}: expected the classes and weights of data/, got others. Run: dvc repro"
        )
    weights = models.read(root / "data/weights/start.safetensors", start["sha256"])
    weights = {key: value for key, value in weights.items() if not key.startswith("head.")}
    net = backbones.build(params.backbone.name, len(classes))
    backbones.new_head(
        net, len(classes), start="zero", seed=0, **head_shape(params.strategies[name])
    )
    backbones.move(net, place)
    models.overlay(net, weights)
    shared = Shared()
    yield None, Observer(net=net, cut=HEAD, params=params, place=place, shared=shared)
    for seed, fact in sorted(facts["seeds"].items(), key=lambda item: int(item[0])):
        tensors = models.read(root / f"models/{name}/seed-{seed}.safetensors", fact["model_sha256"])
        models.overlay(net, tensors)  # of the same parts for every seed
        yield (
            seed,
            Observer(net=net, cut=first_part(tensors), params=params, place=place, shared=shared),
        )


def scores(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy and mean negative log-likelihood (nats) of one seed."""
    truth = np.clip(probabilities[np.arange(len(labels)), labels].astype(float), 1e-12, None)
    return {
        "accuracy": float((probabilities.argmax(1) == labels).mean()),
        "loss": float(-np.log(truth).mean()),
    }
