"""The backbone's starting weights as one file with a hash: official, the user's own, none, or
trained here.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from ..data.archive import fetch, local
from ..data.archive.request import Verified, suffix_of
from ..network import backbones, models
from ..network.auxiliary import PREFIX
from ..network.backbones import IMAGENET_CLASSES
from ..params.backbone import PUBLISHED, Backbone, is_address
from ..params.learning.engine import Engine
from ..params.learning.training import Train
from ..params.record import plain
from ..pipeline.awaited import await_record
from ..pipeline.files import write_json
from ..training.task import Log
from . import published
from .source_task import train_on_source

OFFICIAL_SHA256 = (
    "983f1562536e84ff750a1576fb08e54de751dbf2e17c0d8a4a13704341fdcd3d",  # convnext_tiny
    "a639ec97d7c33b07ae66f0b5fb7d0192f95a3b11b7576c66c0126c2a727c4395",  # densenet121
    "7f5810bc96def8f7552d5b7e68d53c4786f81167d28291b21c0d90e1fca14934",  # efficientnet_b0
    "23ab8bcd5bdbef61a7a43b91adcad81f622fd7f36fb4935a569828d77888c44e",  # efficientnet_b4
    "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",  # mobilenet_v2
    "047dcff4addef86ea5bc2eff13c9614dc11f47ab1160d0a71a25e7db994f4e1f",  # mobilenet_v3_small
    "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",  # resnet18
    "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",  # resnet50, first version
    "11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca",  # resnet50, second
    "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",  # vgg16
    "c867db91d3e12c6cbadabb610d73c24a546bf82d8c03a9fea34f43a712ddb0e9",  # vit_b_16
)
"""Of published files, as several independent places give it. Every other one is recognised by the
eight digits in its name, which keep an accident out and no attacker; a line of the stage says so.
"""

SOURCE = "source_dataset"
"""What names the images of a source task in the header of the file it gave, as JSON."""

logger = logging.getLogger(__name__)


def write_start(
    root: Path, backbone: Backbone, *, train: Train, engine: Engine, code: str, log: Log
) -> None:
    """Write `data/weights/start.safetensors` and the facts beside it.

    Args:
        root: Checkout that receives data/weights.
        backbone: Says which.
        train: What all trainings share, for a source task.
        engine: Where and how a source task is computed.
        code: Digest of the code, which names the checkpoint of a source task.
        log: Receives each epoch of a source task.

    Raises:
        ValueError: The file is not there, has another hash than `params.yaml` says, or gives no
            weights of the backbone; or the source task diverged.
    """
    facts: dict[str, Any] = {"backbone": backbone.name, "weights": backbone.weights}
    about, header, keys = None, None, []
    if backbone.weights == "source":
        assert backbone.source is not None  # params asks for it
        tensors, origin, key = train_on_source(backbone, train, engine, code, log)
        keys = [key]
        header = {SOURCE: json.dumps(plain(backbone.source.dataset), sort_keys=True)}
        facts |= {"origin": origin, "source_file_sha256": None}
    elif backbone.weights == "none":
        tensors = backbones.build(backbone.name, IMAGENET_CLASSES).state_dict()
        facts |= {"origin": "random", "source_file_sha256": None}
    elif backbone.weights in PUBLISHED and backbone.official_url is None:
        file = shipped(backbone)
        tensors, about = whole(file.path)
        facts |= {"origin": file.origin, "source_file_sha256": file.sha256}
    else:
        file = file_of(backbone)
        tensors, about = from_file(file.path, backbone)
        facts |= {"origin": file.origin, "source_file_sha256": file.sha256}
    path = root / "data/weights/start.safetensors"
    sha256 = models.save(tensors, path, header)
    await_record(keys, path)
    write_json(root / "data/weights/start.json", {**facts, "sha256": sha256})
    write_json(root / "data/weights/file.json", about)  # apart: no training depends on its words


def file_of(backbone: Backbone) -> Verified:
    """The file that `backbone.weights` names."""
    if backbone.weights in PUBLISHED:
        return official(backbone)
    return from_address(backbone) if is_address(backbone.weights) else own(backbone)


def shipped(backbone: Backbone) -> Verified:
    """The official weights that come with this package, recognised by the digits in their name."""
    (path,) = Path(__file__).parent.glob(f"{backbone.name}-*.safetensors")
    found = local.own_file(str(path), sha256=None, key="backbone.weights")
    return replace(found, origin=path.name)


def official(backbone: Backbone) -> Verified:
    """The published file by its sha256, or where that is not known by the end of its name, which is
    the beginning of it.
    """
    url = backbone.official_url
    assert url is not None  # params refuses official weights without an address
    prefix = Path(url).stem.rsplit("-", 1)[-1]
    found = fetch.fetch(
        url,
        sha256=next((known for known in OFFICIAL_SHA256 if known[:8] == prefix), None),
        sha256_prefix=prefix,
        key="backbone",
        url_key="backbone.official_url",
    )
    logger.info("%s: recognised by its %s", Path(url).name, found.verified_by)
    return found


def from_address(backbone: Backbone) -> Verified:
    """The file at an address, by the sha256 that was given or the digits in its name."""
    return fetch.fetch(
        backbone.weights,
        sha256=backbone.weights_sha256,
        sha256_prefix=suffix_of(Path(backbone.weights).name),
        key="backbone",
        url_key="backbone.weights",
    )


def own(backbone: Backbone) -> Verified:
    """The file of the user's own or of the mirror, as it was when `params.yaml` was composed."""
    return local.own_file(backbone.weights, sha256=backbone.weights_sha256, key="backbone.weights")


def from_file(path: Path, backbone: Backbone) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """The tensors of a weights file under the names of the parts, and what was done to it."""
    source = backbone.official_url if backbone.weights in PUBLISHED else backbone.weights
    name = Path(str(source)).name  # the cache calls it by its hash
    found = published.read(path, backbone.name, name)
    logger.info(
        "%s: used %d of %d tensors%s",
        name,
        found.used,
        found.held,
        "".join(f"; {p}" for p in found.undone),
    )
    net = backbones.build(backbone.name, found.outputs, weights=found.tensors)
    beside = {f"{PREFIX}{key}": value for key, value in found.auxiliary.items()}
    return {**net.state_dict(), **beside}, {"name": name, **found.facts()}


def whole(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors that a source task gave, and what it learned."""
    logger.info("%s comes with this package", path.name)
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        learned = json.loads(file.metadata()[SOURCE])
    used = {"tensors_used": len(tensors), "tensors_held": len(tensors), "undone": []}
    return tensors, {"name": path.name, **used, SOURCE: learned}
