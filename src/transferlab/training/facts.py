"""What a strategy's models were trained with, and whether that still holds."""

import platform
from importlib.metadata import version
from typing import Any

import torch

from ..data.images import Images
from ..network import device
from ..network.device import Compute
from ..params.record import plain
from ..params.whole import Params


def trained_with(params: Params, name: str) -> dict[str, Any]:
    """The parameters that a strategy's training depends on, as they stand in its facts."""
    return {
        "backbone": plain(params.backbone),
        "seeds": list(params.seeds),
        "train": plain(params.train),
        "engine": plain(params.engine),
        "strategy": plain(params.strategies[name]),
    }


def describe(
    name: str, params: Params, images: Images, start_sha256: str, place: Compute
) -> dict[str, Any]:
    """The facts that stand beside a strategy's models, before any seed has run."""
    return {
        "strategy": name,
        "title": params.strategies[name].title,
        "learner": params.strategies[name].learner,
        "backbone": params.backbone.name,
        "classes": list(images.classes),
        "preprocessing": plain(params.backbone.preprocessing),
        "params": trained_with(params, name),
        "start_sha256": start_sha256,
        "trainable_parameters": 0,
        "device": device.describe(place.device),
        "threads": torch.get_num_threads(),
        "precision": place.precision,
        "memory_format": place.memory_format,
        "versions": {
            "python": platform.python_version(),
            **{
                package: version(package) for package in ("torch", "torchvision", "numpy", "pillow")
            },
        },
        "seeds": {},
    }


def require_same(facts: dict[str, Any], name: str, params: Params) -> None:
    """Refuse models that were trained with other parameters than `params.yaml` says now."""
    for section, now in trained_with(params, name).items():
        if facts["params"][section] != now:
            raise ValueError(
                f"runs/{name}/facts.json: expected the {section} of params.yaml, got other "
                "values: the model was "
                f"trained with those. Run: dvc repro --force train@{name}"
            )
