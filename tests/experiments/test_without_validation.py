"""Every training image is fitted, or a few of each class: what is chosen without validation."""

from pathlib import Path

import numpy as np
import pytest
from small import params_of, trained

from transferlab.data.divisions import read_divisions
from transferlab.data.images import load_images
from transferlab.params.whole import Params
from transferlab.pipeline.files import read_csv, read_json

pytestmark = pytest.mark.slow
STRATEGIES = ("probe", "finetune")


@pytest.fixture(scope="module")
def params() -> Params:
    few = ("seeds=[3,0]", "train.max_epochs=2", "dataset.textures.train_per_class=6")
    none = ("train.validation_fraction=0", "train.select_by=last", "images_per_class=4")
    named = f"strategy=[{','.join(STRATEGIES)}]"
    return params_of(*few, *none, named, "compare.resamples=100", "evaluate.tta_views=0")


@pytest.fixture(scope="module")
def root(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the stages up to `champion` leave it."""
    made = tmp_path_factory.mktemp("unvalidated")
    return trained(made, STRATEGIES, params, "compare", "champion")


def test_each_seed_fits_its_own_few_images_of_every_class_and_sets_none_aside(root: Path) -> None:
    images = load_images(root / "data/processed/train", ["stripes", "dots"])
    first, second = read_divisions(root / "data/splits/validation.csv", images.ids).values()
    for division in (first, second):
        assert np.bincount(images.labels[division.fit]).tolist() == [4, 4]
        assert not len(division.validation)
    assert first.fit.tolist() != second.fit.tolist()


def test_test_images_are_all_asked_about(root: Path) -> None:
    for name in STRATEGIES:
        seeds = [row["seed"] for row in read_csv(root / f"predictions/{name}.csv")]
        assert seeds == ["0"] * 6 + ["3"] * 6
        assert read_csv(root / f"predictions/validation/{name}.csv") == []


def test_last_epoch_is_kept_and_no_validation_is_invented(root: Path) -> None:
    for name, last in (("probe", 0), ("finetune", 2)):
        for seed in read_json(root / f"runs/{name}/facts.json")["seeds"].values():
            assert (seed["status"], seed["best_epoch"]) == ("finished", last)
            assert (seed["fit_images"], seed["validation_images"]) == (8, 0)
            assert seed["validation_accuracy"] is None and seed["validation_loss"] is None
    rows = read_csv(root / "runs/finetune/history.csv")
    assert {row["validation_loss"] for row in rows} == {""}
    assert all(float(row["train_accuracy"]) <= 1 for row in rows)


def test_comparison_recommends_by_work_alone_and_calibrates_nothing(root: Path) -> None:
    recommended = read_json(root / "metrics/comparison.json")["recommended"]
    assert recommended["best_validation"] is None
    assert recommended["strategy"] in STRATEGIES
    for numbers in read_json(root / "metrics/numbers.json").values():
        assert numbers["temperature"] == 1
    assert read_json(root / "metrics/headline.json")["use"]["lead"] is None


def test_champion_is_the_first_seed_and_all_its_answers_are_unsure(root: Path) -> None:
    facts = read_json(root / "champion/facts.json")
    assert facts["seed"] == 0
    assert facts["unsure"]["threshold"] is None
    assert facts["known"]["validation_accuracy"] is None
