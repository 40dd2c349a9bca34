"""The backbone's starting weights as one file with a hash: official, a file of the user's own, none, or trained here."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import backbones, device, download, models, runs, textures, train
from .data import load_images, preprocess, stratified_split
from .files import cache_folder, content_hash, write_json
from .params import Params, plain

IMAGENET_CLASSES = 1000


def prepare(root: Path, params: Params, code: str, log: Callable[[Mapping[str, Any]], None]) -> None:
    """Write `data/weights/start.safetensors` and the facts beside it.

    Args:
        root: Checkout that receives data/weights.
        params: All parameters.
        code: Digest of the code, which names the kept result of a source task.
        log: Receives each epoch of a source task.

    Raises:
        ValueError: The file is not there, has another hash than `params.yaml` says, or is another network's.
    """
    backbone, facts = params.backbone, {"backbone": params.backbone.name, "weights": params.backbone.weights}
    if backbone.weights == "source":
        tensors, origin = train_on_source(params, code, log)
        facts |= {"origin": origin, "source_file_sha256": None}
    elif backbone.weights == "none":
        tensors = backbones.build(backbone.name, IMAGENET_CLASSES).state_dict()
        facts |= {"origin": "random", "source_file_sha256": None}
    else:
        file = official(params) if backbone.weights == "official" else download.own_file(
            backbone.weights, sha256=backbone.weights_sha256, key="backbone.weights"
        )
        tensors = backbones.read_weights(file.path, backbone.name).state_dict()
        facts |= {"origin": file.origin, "source_file_sha256": file.sha256}
    sha256 = models.save(tensors, root / "data/weights/start.safetensors")
    write_json(root / "data/weights/start.json", {**facts, "sha256": sha256})


def official(params: Params) -> download.Verified:
    """torchvision's published file; the end of its name is the beginning of its sha256."""
    url = params.backbone.official_url
    assert url is not None  # params.py refuses official weights without an address
    prefix = Path(url).stem.rsplit("-", 1)[-1]
    return download.fetch(url, sha256_prefix=prefix, key="backbone", url_key="backbone.official_url")


def train_on_source(
    params: Params, code: str, log: Callable[[Mapping[str, Any]], None]
) -> tuple[Mapping[str, Any], str]:
    """Train the backbone on textures of other classes; gives its tensors and what they are."""
    source = params.backbone.source
    assert source is not None  # params.py asks for it
    place = device.prepare(params.engine)
    dataset = replace(params.dataset, textures=source.textures, classes=source.textures.classes, url=None, path=None,
                      train_folder="train", test_folder="test", test_fraction=None)
    task_params = replace(params, strategies={"source": source.strategy}, dataset=dataset)
    with TemporaryDirectory(dir=cache_folder("source")) as folder:
        archive, processed = Path(folder) / "archive.zip", Path(folder) / "processed"
        textures.write_archive(source.textures, archive)
        preprocess(archive, dataset, processed)
        images = load_images(processed / "train", source.textures.classes)
        rows = stratified_split(images.labels, params.train.validation_fraction, source.textures.seed, "validation")
        task = runs.Task(params=task_params, images=images, rows=rows, seed=source.textures.seed, place=place)
        model = runs.starting_model(Path(folder), "source", task, "")
        key = content_hash([plain(params.backbone), plain(params.train), plain(params.engine), code])
        checkpoint = train.Checkpoint(cache_folder("resume") / f"{key}.pt", params.engine.checkpoint_seconds)
        done, _ = runs.learn(model, "source", task, checkpoint, log)
        checkpoint.remove()
    best = next(row for row in done.history if row["epoch"] == done.best_epoch)
    classes = ", ".join(source.textures.classes)
    return model.state_dict(), f"trained on textures ({classes}), validation accuracy {best['validation_accuracy']:.3f}"
