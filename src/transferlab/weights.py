"""The backbone's starting weights as one file with a hash: official, the user's own, none, or trained here."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import archive, backbones, device, download, engine, models, published, runs, train
from .data import load_images, preprocess, stratified_split
from .files import cache_folder, content_hash, read_json, write_json
from .params import Params

logger = logging.getLogger(__name__)

IMAGENET_CLASSES = 1000
SEED = 0  # of the source task and of random weights: every seed of a strategy starts from the same ones


def prepare(root: Path, params: Params, code: str, log: Callable[[Mapping[str, Any]], None]) -> None:
    """Write `data/weights/start.safetensors` and the facts beside it.

    Args:
        root: Checkout that receives data/weights.
        params: All parameters.
        code: Digest of the code, which names the checkpoint of a source task.
        log: Receives each epoch of a source task.

    Raises:
        ValueError: The file is not there, has another hash than `params.yaml` says, or gives no weights of the
            backbone; or the source task diverged.
    """
    backbone = params.backbone
    facts: dict[str, Any] = {"backbone": backbone.name, "weights": backbone.weights, "file": None}
    if backbone.weights == "source":
        tensors, origin = train_on_source(params, code, log)
        facts |= {"origin": origin, "source_file_sha256": None}
    elif backbone.weights == "none":
        tensors = backbones.build(backbone.name, IMAGENET_CLASSES).state_dict()
        facts |= {"origin": "random", "source_file_sha256": None}
    else:
        file = official(params) if backbone.weights == "official" else own(params)
        tensors, about = from_file(file.path, params)
        facts |= {"origin": file.origin, "source_file_sha256": file.sha256, "file": about}
    sha256 = models.save(tensors, root / "data/weights/start.safetensors")
    write_json(root / "data/weights/start.json", {**facts, "sha256": sha256})


def official(params: Params) -> download.Verified:
    """The published file; the end of its name is the beginning of its sha256."""
    url = params.backbone.official_url
    assert url is not None  # params.py refuses official weights without an address
    prefix = Path(url).stem.rsplit("-", 1)[-1]
    return download.fetch(url, sha256_prefix=prefix, key="backbone", url_key="backbone.official_url")


def own(params: Params) -> download.Verified:
    """The file of the user's own or of the mirror, as it was when `params.yaml` was composed."""
    return download.own_file(params.backbone.weights, sha256=params.backbone.weights_sha256, key="backbone.weights")


def from_file(path: Path, params: Params) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """The tensors of a weights file under the names of the parts, and what was done to it."""
    backbone = params.backbone
    source = backbone.official_url if backbone.weights == "official" else backbone.weights
    name = Path(str(source)).name  # the cache calls it by its hash
    found = published.read(path, backbone.name, name)
    logger.info("%s: used %d of %d tensors%s", name, found.used, found.held, "".join(f"; {p}" for p in found.undone))
    net = backbones.build(backbone.name, found.outputs, weights=found.tensors)
    return net.state_dict(), {"name": name, **found.facts()}


def train_on_source(
    params: Params, code: str, log: Callable[[Mapping[str, Any]], None]
) -> tuple[Mapping[str, Any], str]:
    """Train the backbone on its source task; gives its tensors and what they are."""
    source = params.backbone.source
    assert source is not None  # params.py asks for it
    place = device.prepare(params.engine, engine.pinned(params.engine))
    task_params = replace(params, seeds=(SEED,), strategies={"source": source.strategy}, dataset=source.dataset)
    with TemporaryDirectory(dir=cache_folder("source")) as name:
        folder = Path(name)
        archive.bring(source.dataset, folder)
        preprocess(folder / "archive.zip", source.dataset, folder / "processed")
        classes = read_json(folder / "processed/classes.json")["classes"]
        images = load_images(folder / "processed/train", classes)
        rows = stratified_split(images.labels, params.train.validation_fraction, SEED, "validation")
        task = runs.Task(params=task_params, images=images, rows=rows, seed=SEED, place=place)
        model = runs.starting_model({}, "source", task)
        key = content_hash([runs.describe("source", task_params, images, "", place), images.digest, code])
        checkpoint = train.Checkpoint(cache_folder("resume") / f"{key}.pt", params.engine.checkpoint_seconds)
        done, _ = runs.learn(model, "source", task, checkpoint, log)
        checkpoint.remove()
    found = runs.outcome(done)
    if found["status"] == "diverged":
        raise ValueError(
            f"backbone.source.strategy: expected losses that are numbers, got one in epoch {found['diverged_epoch']} "
            f"that is none. Lower backbone.source.strategy.lr."
        )
    accuracy = f"validation accuracy {found['validation_accuracy']:.3f}"
    return model.state_dict(), f"trained on {source.dataset.name} ({', '.join(classes)}), {accuracy}"
