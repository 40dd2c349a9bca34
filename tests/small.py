"""A checkout small enough for a test: drawn textures of 32 px, the smallest network, one thread."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from checkout import ROOT

from transferlab.data.archive import textures
from transferlab.data.ingest.pixels import preprocess
from transferlab.experiments import runs
from transferlab.network import backbones, models
from transferlab.network.device import Compute
from transferlab.network.setup import Setup, setup_for
from transferlab.params.learning.engine import REFERENCE
from transferlab.params.learning.recipe import recipe_of
from transferlab.params.learning.training import Augment
from transferlab.params.reading import parse
from transferlab.params.whole import Params
from transferlab.pipeline.files import write_json
from transferlab.prediction import evaluate
from transferlab.settings import compose

SETTINGS = [
    "preset=demo",
    "strategy=all",
    "engine.device=cpu",
    "engine.threads=1",
    "engine.checkpoint_seconds=0.0",
    "train.batch_size=8",
    "backbone.weights=none",
    "backbone.preprocessing.resize_px=32",
    "backbone.preprocessing.crop_px=32",
    "dataset.textures.px=32",
    "dataset.textures.test_per_class=3",
    "dataset.store_px=32",
    "strategies.probe.folds=2",
]
RANGES = Augment(
    policy=None,
    oversize=1,
    crop_scale=(0.25, 1.0),
    crop_ratio=(0.75, 1.3333333),
    flip=0.5,
    rotation=0,
    brightness=0,
    contrast=0,
    saturation=0,
    hue=0,
)
"""As `conf/` gives them: crops and flips."""
CPU = Compute(device=torch.device("cpu"), precision="fp32", memory_format="channels_last")


@cache  # composing takes half a second, and records do not change
def params_of(*overrides: str, classes: str = "[stripes,dots]") -> Params:
    named = [f"dataset.textures.classes={classes}", f"dataset.classes={classes}"]
    return parse(yaml.safe_load(compose.compose([*SETTINGS, *named, *overrides])))


def prepare(root: Path, params: Params) -> Path:
    """Write data/ as the stages before the training leave it."""
    assert params.dataset.textures is not None
    textures.write_archive(params.dataset.textures, root / "archive.zip")
    preprocess(root / "archive.zip", params.dataset, root / "data/processed")
    pretrained = backbones.build(params.backbone.name, 7, seed=1).state_dict()
    sha256 = models.save(pretrained, root / "data/weights/start.safetensors")
    write_json(root / "data/weights/start.json", {"sha256": sha256})
    write_json(root / "data/precision.json", REFERENCE)
    split(root, params)
    return root


def stage(name: str) -> Callable[[Path, Params, str], None]:
    """The work of a stage's script."""
    spec = importlib.util.spec_from_file_location(f"stage_{name}", ROOT / f"stages/{name}.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    work: Callable[[Path, Params, str], None] = script.work
    return work


def split(root: Path, params: Params) -> None:
    """Divide the images anew, for other seeds or shares."""
    stage("split")(root, params, "")


def train(root: Path, name: str, params: Params, code: str = "code", heard: Any = None) -> None:
    """Train a strategy on the divisions of these parameters."""
    split(root, params)
    runs.run(root, recipe_of(params, name), params.tuning, code, heard or Deaf())


def evaluated(root: Path, name: str, params: Params) -> None:
    evaluate.evaluate(root, recipe_of(params, name), params.evaluate.tta_views)


def trained(root: Path, names: Sequence[str], params: Params, *stages: str) -> Path:
    """A new checkout with strategies trained and evaluated, and what these stages make of them."""
    prepare(root, params)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(root))
        for name in names:
            train(root, name, params)
            evaluated(root, name, params)
        for after in stages:
            stage(after)(root, params, "")
    return root


def setup_of(params: Params, compute: Compute = CPU) -> Setup:
    return setup_for(recipe_of(params, next(iter(params.strategies))), compute)


class Deaf:
    """A listener that does not listen."""

    def start(self, key: str, seed: int, facts: Mapping[str, Any]) -> None: ...
    def log(self, key: str, seed: int, row: Mapping[str, Any]) -> None: ...
    def end(self, key: str, seed: int, outcome: Mapping[str, Any]) -> None: ...
