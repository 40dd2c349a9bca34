"""Strategies that cost a file or a closed form go the whole way: trained, saved, evaluated."""

from pathlib import Path

import numpy as np
import pytest
from small import params_of, trained

from transferlab.params.whole import Params
from transferlab.pipeline.files import read_csv, read_json
from transferlab.prediction.table import columns

pytestmark = pytest.mark.slow
NAMES = ("nearest_mean", "nearest_neighbours", "norms", "surgical", "l2_sp")


@pytest.fixture(scope="module")
def params() -> Params:
    few = ("seeds=[0,1]", "train.max_epochs=2", "dataset.textures.train_per_class=8")
    return params_of(f"strategy=[probe,{','.join(NAMES)}]", "evaluate.tta_views=2", *few)


@pytest.fixture(scope="module")
def root(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("cheap"), NAMES, params)


@pytest.mark.parametrize("name", NAMES)
def test_every_one_answers_the_test_images_with_every_seed(name: str, root: Path) -> None:
    classes = ["stripes", "dots"]
    rows = read_csv(root / f"predictions/{name}.csv", columns(classes))
    assert len(rows) == 2 * 6
    assert {row["seed"] for row in rows} == {"0", "1"}
    chances = np.array([[float(row[f"p_{one}"]) for one in classes] for row in rows])
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-5)
    assert (read_csv(root / f"predictions/tta/{name}.csv", columns(classes))) != rows


def test_what_trains_nothing_has_no_epoch_and_no_rate(root: Path) -> None:
    for name, phase in (
        ("nearest_mean", "means of the classes"),
        ("nearest_neighbours", "5 "),
    ):
        facts = read_json(root / f"runs/{name}/facts.json")
        assert {seed["best_epoch"] for seed in facts["seeds"].values()} == {0}
        for row in read_csv(root / f"runs/{name}/history.csv", ["phase", "lr", "epoch"]):
            assert row["phase"].startswith(phase)
            assert (row["lr"], row["epoch"]) == ("", "0")


def test_values_that_may_change_are_counted(root: Path) -> None:
    counts = {
        name: read_json(root / f"runs/{name}/facts.json")["trainable_parameters"] for name in NAMES
    }
    assert counts["nearest_mean"] == 2 * 128 + 2
    assert counts["nearest_neighbours"] == 128 * 12, "the features of the images that it fits"
    assert counts["nearest_mean"] < counts["norms"] < counts["l2_sp"]
    assert counts["surgical"] < counts["l2_sp"]
