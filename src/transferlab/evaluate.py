"""Models and test images -> the predictions table, where torch ends and statistics begin."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from . import backbones, device, models
from .data import Images, load_images
from .device import Place
from .features import CHUNK, Source, Views
from .files import read_json, write_csv, write_json
from .params import PARTS, Params, Preprocessing


def evaluate(root: Path, name: str, params: Params) -> None:
    """Write `predictions/<name>.csv` and `metrics/<name>.json` from a strategy's models.

    Raises:
        ValueError: The models were trained with other parameters or on other classes.
    """
    place = device.prepare(params.engine, read_json(root / "data/engine.json"))
    facts, start = read_json(root / f"runs/{name}/facts.json"), read_json(root / "data/weights/start.json")
    require_same(facts, name, params)
    classes = read_json(root / "data/processed/classes.json")["classes"]
    if facts["classes"] != classes or facts["start_sha256"] != start["sha256"]:
        raise ValueError(f"runs/{name}: expected the classes and weights of data/, got others. Run: dvc repro")
    images = load_images(root / "data/processed/test", classes)
    untrained = models.read(root / "data/weights/start.safetensors", start["sha256"])
    untrained = {key: value for key, value in untrained.items() if not key.startswith("head.")}
    model = backbones.move(backbones.build(params.backbone.name, len(classes)), place)
    rows, seeds = [], {}
    for seed, fact in sorted(facts["seeds"].items(), key=lambda item: int(item[0])):
        trained = models.read(root / f"models/{name}/seed-{seed}.safetensors", fact["model_sha256"])
        models.overlay(model, {**untrained, **trained})
        probabilities = predict(
            model,
            first_part(trained),
            images,
            preprocessing=params.backbone.preprocessing,
            memory_mb=params.engine.memory_mb,
            place=place,
        )
        rows += table(name, seed, images, probabilities)
        seeds[seed] = scores(probabilities, images.labels)
    columns = ["strategy", "seed", "id", "label", "predicted", *(f"p_{label}" for label in classes)]
    write_csv(root / f"predictions/{name}.csv", columns, rows)
    means = {key: float(np.mean([values[key] for values in seeds.values()])) for key in ("accuracy", "loss")}
    write_json(root / f"metrics/{name}.json", {"strategy": name, "images": len(images), **means, "seeds": seeds})


def require_same(facts: dict[str, Any], name: str, params: Params) -> None:
    """Refuse models that were trained with other parameters than `params.yaml` says now."""
    for section, now in models.trained_with(params, name).items():
        if facts["params"][section] != now:
            raise ValueError(
                f"runs/{name}/facts.json: expected the {section} of params.yaml, got other values: the model was "
                f"trained with those. Run: dvc repro --force train@{name}"
            )


def first_part(trained: dict[str, torch.Tensor]) -> int:
    """Number of leading parts that a training left as they were."""
    return min(PARTS.index(key.split(".")[0]) for key in trained)


@torch.no_grad()
def predict(
    model: nn.Sequential, cut: int, images: Images, *, preprocessing: Preprocessing, memory_mb: int, place: Place
) -> np.ndarray:
    """Probabilities float32 [N, K] of the test view of every image.

    Args:
        model: In eval mode afterwards.
        cut: Number of leading parts that still hold the starting weights; what the penultimate layer makes of the
            images is then kept for the other strategies and seeds.
        images: The test split.
        preprocessing: Of the weights.
        memory_mb: What kept features may occupy.
        place: Where the arithmetic runs, and how.
    """
    model.eval()
    seen = Views(images=images, preprocessing=preprocessing, ranges=None, seed=0, side=preprocessing.crop_px)
    everything = np.arange(len(images))
    kept = cut if cut == len(PARTS) - 1 else 0
    source = Source(
        backbones.below(model, kept),
        seen,
        (everything[:0], everything),
        count=None,
        place=place,
        memory_mb=memory_mb if kept else 0,  # every image is used once: only features that others use are kept
        shared={} if kept else None,
    )
    upper = model[kept:]
    batches: Sequence[np.ndarray] = np.split(everything, range(CHUNK, len(everything), CHUNK))
    with place.autocast():
        logits = torch.cat([upper(source.test(batch)) for batch in batches])
    found: np.ndarray = logits.float().softmax(1).cpu().numpy()
    return found


def table(name: str, seed: str, images: Images, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """Rows of the predictions table, in the order of the manifest."""
    predicted = probabilities.argmax(1)
    return [
        {
            "strategy": name,
            "seed": seed,
            "id": images.ids[i],
            "label": images.classes[images.labels[i]],
            "predicted": images.classes[predicted[i]],
            **{f"p_{label}": f"{p:.9g}" for label, p in zip(images.classes, probabilities[i], strict=True)},
        }
        for i in range(len(images))
    ]


def scores(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy and mean negative log-likelihood (nats) of one seed."""
    truth = np.clip(probabilities[np.arange(len(labels)), labels].astype(float), 1e-12, None)
    return {"accuracy": float((probabilities.argmax(1) == labels).mean()), "loss": float(-np.log(truth).mean())}
