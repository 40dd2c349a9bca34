"""How many images a run is about, known before it reads them."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import yaml
from checkout import ROOT

from transferlab.params.dataset import Dataset, Textures
from transferlab.params.record import plain
from transferlab.pipeline import files
from transferlab.settings import amount
from transferlab.settings.amount import Amount


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in which nothing has run."""
    monkeypatch.setattr(amount, "checkout", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def ants_and_bees() -> Dataset:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())["dataset"]
    return Dataset(**{**values, "classes": tuple(values["classes"])})


def folder(dataset: Dataset, path: Path) -> Dataset:
    """The settings of a folder whose parts are told by their names."""
    parts = dict.fromkeys(("train_folder", "validation_folder", "test_folder"), "auto")
    own = {"path": str(path), "path_sha256": "0" * 64, "url": None, "classes": None}
    return replace(dataset, **own, **parts, test_fraction=0.3)


def test_published_images_are_counted(ants_and_bees: Dataset) -> None:
    assert amount.known(ants_and_bees) == Amount(244, 153, 2)
    assert amount.known(replace(ants_and_bees, url="https://example.org/a.zip")) is None


def test_some_of_the_published_classes_are_their_share(ants_and_bees: Dataset) -> None:
    cifar = yaml.safe_load((ROOT / "conf/dataset/cifar10.yaml").read_text())
    some = replace(ants_and_bees, url=cifar["url"], classes=("cat", "dog"))
    assert amount.known(some) == Amount(10_000, 2_000, 2)
    assert amount.known(replace(some, classes=tuple(cifar["classes"]))) == Amount(
        50_000, 10_000, 10
    )


def test_drawn_images_are_counted(ants_and_bees: Dataset) -> None:
    drawn = Textures(
        classes=("dots", "grid"),
        train_per_class=30,
        test_per_class=60,
        px=64,
        noise=0,
        plain=False,
        seed=0,
    )
    assert amount.known(replace(ants_and_bees, url=None, textures=drawn)) == Amount(60, 120, 2)


def test_files_of_a_folder_are_counted_with_the_test_that_is_held_out(
    ants_and_bees: Dataset, tmp_path: Path
) -> None:
    own = folder(ants_and_bees, tmp_path / "birds")
    for name in (f"birds/{label}/{number}.jpg" for label in "ab" for number in range(10)):
        files.write_text(tmp_path / name, "an image")
    assert amount.known(own) == Amount(14, 6, 2)
    for part, label in product(("train", "val", "test"), "ab"):
        files.write_text(tmp_path / f"parts/{part}/{label}/1.jpg", "an image")
    assert amount.known(replace(own, path=str(tmp_path / "parts"))) == Amount(4, 2, 2)


def test_images_that_a_run_has_counted_are_believed_where_they_were_these(
    ants_and_bees: Dataset, root: Path
) -> None:
    counts = [{"class": name, "train": 7, "test": 3} for name in "ab"]
    files.write_csv(root / "data/processed/class_counts.csv", counts[0], counts)
    assert amount.known(ants_and_bees) == Amount(244, 153, 2)
    recorded = {"params": {"params.yaml": {"dataset": plain(ants_and_bees)}}}
    files.write_text(root / "dvc.lock", yaml.safe_dump({"stages": {"preprocess": recorded}}))
    assert amount.known(ants_and_bees) == Amount(14, 6, 2)
    assert amount.known(replace(ants_and_bees, test_fraction=0.3)) == Amount(244, 153, 2)
