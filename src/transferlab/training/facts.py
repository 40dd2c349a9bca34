"""What a strategy's models were trained with, and whether that still holds."""

import platform
from importlib.metadata import version
from typing import Any

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


def what_names(facts: Described) -> list[Any]:
    """What names a training for ever, beside the images, the code, the seed and the rows.

    Nothing that leaves the result as it is: an edit of a title, of other seeds or of how often is
    saved must not cost a training.
    """
    machine = [
        facts["device"],
        facts["threads"],
        facts["precision"],
        facts["memory_format"],
    ]
    given = facts["params"]
    parameters = {
        **given,
        "seeds": None,
        "strategy": {**given["strategy"], "title": None},
        "engine": {**given["engine"], "checkpoint_seconds": None},
    }
    named = [facts["start_sha256"], facts["strategy"], facts["classes"]]
    return [parameters, *named, *machine, facts["versions"]]


def require_same(facts: Facts, recipe: Recipe) -> None:
    """Refuse models that were trained with other parameters than `params.yaml` says now."""
    for section, now in recipe.plain().items():
        if facts["params"].get(section) != now:
            raise ValueError(
                f"runs/{recipe.name}/facts.json: expected the {section} of params.yaml, got other "
                "values: the model was trained with those. "
                f"Run: dvc repro -f -s train@{recipe.name}"
            )
