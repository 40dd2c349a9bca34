"""Train the backbone on its source task."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..data.archive import bring
from ..data.chance import stratified_split
from ..data.images import load_images
from ..data.ingest.pixels import preprocess
from ..network import device
from ..params.whole import Params
from ..pipeline.files import content_hash, read_json
from ..pipeline.places import cache_folder
from ..training.checkpoint import Checkpoint
from ..training.facts import describe
from ..training.task import Task, learn, outcome, starting_model

# of the source task and of random weights: every seed of a strategy starts from the same ones
SEED = 0


def train_on_source(
    params: Params, code: str, log: Callable[[Mapping[str, Any]], None]
) -> tuple[Mapping[str, Any], str]:
    """Train the backbone on its source task; gives its tensors and what they are."""
    source = params.backbone.source
    assert source is not None  # params asks for it
    place = device.prepare(params.engine, device.reference_for(params.engine))
    task_params = replace(
        params, seeds=(SEED,), strategies={"source": source.strategy}, dataset=source.dataset
    )
    with TemporaryDirectory(dir=cache_folder("source")) as name:
        folder = Path(name)
        bring.bring(source.dataset, folder)
        preprocess(folder / "archive.zip", source.dataset, folder / "processed")
        classes = read_json(folder / "processed/classes.json")["classes"]
        images = load_images(folder / "processed/train", classes)
        rows = stratified_split(images.labels, params.train.validation_fraction, SEED, "validation")
        task = Task(params=task_params, images=images, rows=rows, seed=SEED, place=place)
        model = starting_model({}, "source", task)
        key = content_hash(
            [describe("source", task_params, images, "", place), images.digest, code]
        )
        checkpoint = Checkpoint(
            cache_folder("resume") / f"{key}.pt", params.engine.checkpoint_seconds
        )
        done, _ = learn(model, "source", task, checkpoint, log)
        checkpoint.remove()
    found = outcome(done)
    if found["status"] == "diverged":
        raise ValueError(
            "backbone.source.strategy: expected losses that are numbers, got one in epoch "
            f"{found['diverged_epoch']} "
            f"that is none. Lower backbone.source.strategy.lr."
        )
    accuracy = f"validation accuracy {found['validation_accuracy']:.3f}"
    return (
        model.state_dict(),
        f"trained on {source.dataset.name} ({', '.join(classes)}), {accuracy}",
    )
