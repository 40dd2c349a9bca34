"""What a strategy's models were trained with, and whether that still holds."""

import platform
from importlib.metadata import version

import torch

from ..data.images import Images
from ..network import device
from ..network.device import Compute
from ..params.learning.recipe import Recipe
from ..params.record import plain
from .records import Described, Facts

PACKAGES = ("torch", "torchvision", "numpy", "pillow")  # whose versions may move a number


def describe(recipe: Recipe, images: Images, start_sha256: str, compute: Compute) -> Described:
    """The facts that stand beside a strategy's models, before any seed has run."""
    return {
        "strategy": recipe.name,
        "title": recipe.strategy.title,
        "learner": recipe.strategy.learner,
        "backbone": recipe.backbone["name"],
        "classes": list(images.classes),
        "preprocessing": plain(recipe.preprocessing),
        "params": recipe.plain(),
        "start_sha256": start_sha256,
        "trainable_parameters": 0,
        "device": device.describe(compute.device),
        "threads": torch.get_num_threads(),
        "precision": compute.precision,
        "memory_format": compute.memory_format,
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
        },
        "seeds": {},
    }


def require_same(facts: Facts, recipe: Recipe) -> None:
    """Refuse models that were trained with other parameters than `params.yaml` says now."""
    for section, now in recipe.plain().items():
        if facts["params"][section] != now:
            raise ValueError(
                f"runs/{recipe.name}/facts.json: expected the {section} of params.yaml, got other "
                "values: the model was trained with those. "
                f"Run: dvc repro -f -s train@{recipe.name}"
            )
