"""The majority class and the unmodified ImageNet head are predictions like any other, and by hand
the same.
"""

import io
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small import CPU, params_of, prepare, stage

from transferlab.data.archive import pack, textures
from transferlab.data.chance import named_generator
from transferlab.data.images import load_images
from transferlab.data.ingest.pixels import preprocess
from transferlab.network import augment, backbones, models
from transferlab.params.whole import Params
from transferlab.pipeline.files import read_csv, write_json
from transferlab.prediction.reading import read_predictions
from transferlab.weights import head

CLASSES = ["stripes", "dots", "noise"]
# of CLASSES; what most training images are, fewest test images are
COUNTS = {"train": (2, 5, 3), "test": (4, 1, 2)}
IMAGENET = {"stripes": (0, 999, 17), "dots": (340,), "noise": (5, 6)}


@cache
def small_params() -> Params:
    """With starting weights from a file of a person's own."""
    few = ["dataset.textures.train_per_class=3", "dataset.textures.test_per_class=1"]
    params = params_of(*few, classes="[stripes,dots,noise]")
    backbone, dataset = (
        replace(params.backbone, weights="own.pth"),
        replace(params.dataset, imagenet=IMAGENET),
    )
    return replace(params, backbone=backbone, dataset=dataset)


def uneven_archive() -> dict[str, Path | bytes]:
    members: dict[str, Path | bytes] = {}
    for split, counts in COUNTS.items():
        for name, count in zip(CLASSES, counts, strict=True):
            for index in range(count):
                content = io.BytesIO()
                chance = named_generator(1, f"{split}/{name}/{index}")
                Image.fromarray(textures.draw(name, 32, 0.1, chance)).save(content, "PNG")
                members[f"{split}/{name}/{index}.png"] = content.getvalue()
    return members


def start_from(root: Path, outputs: int) -> None:
    """Starting weights with a head of so many classes."""
    tensors = backbones.build("tiny", outputs, seed=1).state_dict()
    sha256 = models.save(tensors, root / "data/weights/start.safetensors")
    write_json(root / "data/weights/start.json", {"sha256": sha256})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose classes are of different sizes, and whose weights know 1000 classes."""
    root = prepare(tmp_path_factory.mktemp("prepared"), small_params())
    pack.write_zip(root / "archive.zip", uneven_archive())
    preprocess(root / "archive.zip", small_params().dataset, root / "data/processed")
    start_from(root, 1000)
    return root


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared / "data", tmp_path / "data")
    return tmp_path


def changed(section: str, **changes: Any) -> Params:
    params = small_params()
    return replace(params, **{section: replace(getattr(params, section), **changes)})


def written(root: Path) -> set[str]:
    return {path.name for path in (root / "predictions").rglob("*") if path.is_file()}


def probabilities(rows: list[dict[str, str]]) -> np.ndarray:
    return np.array([[float(row[f"p_{label}"]) for label in CLASSES] for row in rows])


def by_hand(root: Path, imagenet: Mapping[str, tuple[int, ...]]) -> np.ndarray:
    images = load_images(root / "data/processed/test", CLASSES)
    net = backbones.build("tiny", 1000, seed=1)
    preprocessing = small_params().backbone.preprocessing
    views = augment.test_view(images, range(len(images)), preprocessing)
    with torch.no_grad():
        logits = net(augment.normalise(augment.scaled(views, CPU.device), preprocessing)).double()
    powers = np.exp(logits.numpy())
    thousand = powers / powers.sum(1, keepdims=True)
    ours = np.zeros((len(images), len(CLASSES)))
    for place, label in enumerate(CLASSES):
        for index in imagenet[label]:
            ours[:, place] += thousand[:, index]
    return np.asarray(ours / ours.sum(1, keepdims=True))


@pytest.mark.slow
def test_majority_gives_every_image_the_shares_of_the_training_images(root: Path) -> None:
    stage("controls")(root, small_params(), "")
    rows = read_csv(root / "predictions/controls/majority.csv")
    np.testing.assert_allclose(probabilities(rows), [[0.2, 0.5, 0.3]] * 7, rtol=1e-8)
    assert [row["predicted"] for row in rows] == ["dots"] * 7


def test_imagenet_head_adds_up_the_classes_that_mean_the_same(root: Path) -> None:
    stage("controls")(root, small_params(), "")
    found = probabilities(read_csv(root / "predictions/controls/imagenet_head.csv"))
    np.testing.assert_allclose(found, by_hand(root, IMAGENET), rtol=1e-4)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-8)
    assert (found.argmax(1) == 0).all(), (
        "an untrained head gives three classes more than two or one"
    )
    assert np.ptp(found, axis=0).min() > 1e-4, "images differ"


def test_imagenet_head_follows_the_names_and_not_the_order_of_the_table(root: Path) -> None:
    turned = {label: IMAGENET[label] for label in reversed(CLASSES)}
    stage("controls")(root, changed("dataset", imagenet=turned), "")
    found = probabilities(read_csv(root / "predictions/controls/imagenet_head.csv"))
    np.testing.assert_allclose(found, by_hand(root, IMAGENET), rtol=1e-4)


@pytest.mark.parametrize("name", ["majority", "imagenet_head"])
def test_tables_are_predictions_of_every_test_image_in_order(name: str, root: Path) -> None:
    stage("controls")(root, small_params(), "")
    table = read_predictions(root / f"predictions/controls/{name}.csv", CLASSES)
    manifest = read_csv(root / "data/processed/test/manifest.csv")
    assert table["id"].tolist() == [row["id"] for row in manifest]
    assert table["label"].tolist() == [row["label"] for row in manifest]
    assert set(table["seed"]) == {0}


@pytest.mark.parametrize(
    "section, changes",
    [
        ("backbone", {"weights": "none"}),
        ("backbone", {"weights": "source"}),
        ("dataset", {"imagenet": None}),
    ],
    ids=["random weights", "weights of a source task", "classes that ImageNet does not know"],
)
def test_imagenet_head_is_absent_where_there_is_none(
    section: str, changes: dict[str, Any], root: Path
) -> None:
    stage("controls")(root, changed(section, **changes), "")
    assert written(root) == {"majority.csv"}


@pytest.mark.parametrize("outputs", [3, head.DRAWN, 1001])
def test_imagenet_head_is_absent_where_the_head_has_another_size(outputs: int, root: Path) -> None:
    start_from(root, outputs)
    stage("controls")(root, small_params(), "")
    assert written(root) == {"majority.csv"}


def test_damaged_starting_weights_are_refused(root: Path) -> None:
    path = root / "data/weights/start.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ValueError, match=r"start\.safetensors: expected sha256 .*damaged"):
        stage("controls")(root, small_params(), "")
    assert not (root / "predictions").exists()


def test_writing_twice_gives_the_same_bytes(root: Path) -> None:
    files = [root / f"predictions/controls/{name}.csv" for name in ("majority", "imagenet_head")]
    stage("controls")(root, small_params(), "")
    before = [path.read_bytes() for path in files]
    stage("controls")(root, small_params(), "")
    assert [path.read_bytes() for path in files] == before
