"""Train the backbone on its source task."""

import logging
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from torch import Tensor, nn

from ..data.archive import bring
from ..data.chance import stratified_split
from ..data.images import Images, load_images
from ..data.ingest.pixels import preprocess
from ..network import device
from ..network.setup import setup_for
from ..params.backbone import Backbone
from ..params.dataset import Dataset
from ..params.learning.engine import Engine
from ..params.learning.recipe import Recipe
from ..params.learning.training import Train
from ..params.record import plain
from ..pipeline.files import content_hash, read_json
from ..pipeline.places import cache_folder
from ..training.checkpoint import checkpoint_of
from ..training.facts import describe, what_names
from ..training.records import Outcome
from ..training.task import Log, Task, learn, outcome, starting_model

logger = logging.getLogger(__name__)

SEED = 0  # of the task and of its random start: all strategies start from the same weights


def train_on_source(
    backbone: Backbone, train: Train, engine: Engine, code: str, log: Log
) -> tuple[Mapping[str, Tensor], str, str]:
    """Train the backbone on its source task; gives its tensors, what they are, and the training's
    key.

    Raises:
        ValueError: The training diverged.
    """
    source = backbone.source
    assert source is not None  # params asks for it
    recipe = Recipe(
        name="source",
        strategy=source.strategy,
        backbone=plain(backbone),
        preprocessing=backbone.preprocessing,
        seeds=(SEED,),
        train=train,
        engine=engine,
    )
    logger.info("The source task, %s:", source.dataset.name)
    with TemporaryDirectory(dir=cache_folder("source")) as name:
        images = source_images(source.dataset, Path(name))
        model, done, key = train_once(recipe, images, code, log)
    if done["status"] == "diverged":
        raise ValueError(
            "backbone.source.strategy: expected losses that are numbers, got one in epoch "
            f"{done['diverged_epoch']} that is none. Lower backbone.source.strategy.lr."
        )
    origin = f"trained on {source.dataset.name} ({', '.join(images.classes)})"
    if (accuracy := done["validation_accuracy"]) is not None:
        origin += f", validation accuracy {accuracy:.3f}"
    return model.state_dict(), origin, key


def source_images(dataset: Dataset, folder: Path) -> Images:
    """The training images of the source task, brought and decoded under `folder`."""
    bring.bring(dataset, folder)
    preprocess(folder / "archive.zip", dataset, folder / "processed")
    classes = read_json(folder / "processed/classes.json")["classes"]
    return load_images(folder / "processed/train", classes)


def _rows(images: Images, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """What to fit and what to validate on."""
    if not fraction:
        return np.arange(len(images)), np.arange(0)
    return stratified_split(images.labels, fraction, SEED, "validation")


def train_once(
    recipe: Recipe, images: Images, code: str, log: Log
) -> tuple[nn.Sequential, Outcome, str]:
    """The trained model of one seed, how its training ended, and its key."""
    train, engine = recipe.train, recipe.engine
    compute = device.prepare(engine, engine.pinned())
    task = Task(
        recipe=recipe.settled(len(images)),
        setup=setup_for(recipe, compute),
        images=images,
        rows=_rows(images, train.validation_fraction),
        seed=SEED,
    )
    model = starting_model({}, task)
    facts = describe(recipe, images, "", compute)
    key = content_hash([*what_names(facts), images.digest, code])
    done, _ = learn(model, task, checkpoint_of(key, engine.checkpoint_seconds), log)
    return model, outcome(done), key
