"""`views: auto`: as many random views as a budget of passes allows, one number for a whole run."""

from pathlib import Path

import pytest
from small import params_of, prepare, train

from transferlab.experiments.trainings import Trainings
from transferlab.params.learning import strategies
from transferlab.params.learning.recipe import Recipe, recipe_of
from transferlab.params.learning.strategies import GradientStrategy, views_of
from transferlab.pipeline.files import read_json

pytestmark = pytest.mark.slow

FEW = ("strategy=[frozen,probe]", "seeds=[0]", "strategies.frozen.epochs=9")


def recipe(views: str) -> Recipe:
    return recipe_of(params_of(*FEW, f"strategies.frozen.views={views}"), "frozen")


def test_views_are_eight_until_the_budget_is_spent_and_one_at_least() -> None:
    strategy = recipe("auto").strategy
    assert isinstance(strategy, GradientStrategy)
    found = {images: views_of(strategy, images) for images in (1, 244, 1250, 1251, 3000, 10**6)}
    assert found == {1: 8, 244: 8, 1250: 8, 1251: 7, 3000: 3, 10**6: 1}


def test_views_that_are_said_stay_as_they_are() -> None:
    for said, views in (("3", 3), ("null", None)):
        strategy = recipe(said).settled(10**6).strategy
        assert isinstance(strategy, GradientStrategy)
        assert strategy.views == views


def test_a_training_with_auto_is_that_with_the_number_and_its_facts_say_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, model = prepare(tmp_path, params_of(*FEW)), tmp_path / "models/frozen/seed-0.safetensors"
    images = Trainings(root, recipe("auto"), "code", lambda _: None).images
    for views, budget in ((8, strategies.VIEW_PASSES), (2, 2 * len(images.first))):
        monkeypatch.setattr(strategies, "VIEW_PASSES", budget)
        bytes_of = []
        for said in (str(views), "auto"):
            train(root, "frozen", params_of(*FEW, f"strategies.frozen.views={said}"))
            bytes_of.append(model.read_bytes())
        assert bytes_of[0] == bytes_of[1]
        assert read_json(root / "runs/frozen/facts.json")["views"] == views


def test_folds_and_parts_have_the_number_of_the_whole_training_split(tmp_path: Path) -> None:
    root = prepare(tmp_path, params_of(*FEW))
    trainings = Trainings(root, recipe("auto"), "code", lambda _: None)
    assert trainings.trainer.split == len(trainings.images.first) < len(trainings.images)
