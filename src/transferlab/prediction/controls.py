"""What no strategy had a part in: the majority class, and the unmodified ImageNet head."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..data.images import Images, load_images
from ..network import backbones, device, models
from ..network.backbones import IMAGENET_CLASSES
from ..network.device import Compute
from ..network.views import resident
from ..params.network import HEAD
from ..params.whole import Params
from ..pipeline.files import read_json, write_csv
from .observer import Observer
from .table import columns, table


def write(root: Path, params: Params) -> None:
    """Write `predictions/controls/majority.csv` and, where it is possible, `imagenet_head.csv`."""
    place = device.prepare(params.engine, read_json(root / "data/engine.json"))
    classes = read_json(root / "data/processed/classes.json")["classes"]
    splits = (load_images(root / f"data/processed/{split}", classes) for split in ("train", "test"))
    train, test = (resident(images, place.device) for images in splits)
    shares = np.bincount(train.labels, minlength=len(classes)) / len(train)
    found = {"majority": np.tile(shares, (len(test), 1))}
    if params.dataset.imagenet is not None and params.backbone.weights not in ("none", "source"):
        found |= imagenet_head(root, params.dataset.imagenet, test, params, place)
    for name, probabilities in found.items():
        lines = table(name, "0", test, np.arange(len(test)), probabilities)
        write_csv(root / f"predictions/controls/{name}.csv", columns(classes), lines)


def imagenet_head(
    root: Path, imagenet: Mapping[str, Sequence[int]], test: Images, params: Params, place: Compute
) -> dict[str, np.ndarray]:
    """Probabilities [N, K] of the starting weights with their own head; nothing where that head is
    not ImageNet's.

    Of the 1000 probabilities, those of the classes that mean the same as one of ours are added up
    and made to sum to 1.
    """
    start = models.read(
        root / "data/weights/start.safetensors",
        read_json(root / "data/weights/start.json")["sha256"],
    )
    net = backbones.build(params.backbone.name, IMAGENET_CLASSES)
    known = net.state_dict()
    if any(value.shape != known[name].shape for name, value in start.items()):
        return {}
    models.overlay(net, start)
    observer = Observer(net=backbones.move(net, place), cut=HEAD, params=params, place=place)
    thousand = observer.predict(test, np.arange(len(test))).astype(float)
    ours = np.stack([thousand[:, list(imagenet[label])].sum(1) for label in test.classes], axis=1)
    ours = np.maximum(ours, np.finfo(float).tiny)  # of an image that looks like nothing of the kind
    return {"imagenet_head": ours / ours.sum(1, keepdims=True)}
