"""The recipes of the sources compose with their settings, and each of them trains."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout import ROOT
from small import params_of, prepare, train

from transferlab.params.learning.strategies import GradientStrategy, Strategy
from transferlab.params.reading import parse
from transferlab.params.record import plain
from transferlab.params.whole import Params
from transferlab.pipeline.files import read_json
from transferlab.settings import compose

pytestmark = pytest.mark.slow
RECIPES = {path.stem for path in (ROOT / "conf/preset/source").glob("*.yaml")}
SGD = {"optimizer": "sgd", "momentum": 0.9, "nesterov": False, "weight_decay": 0}
STEPS = SGD | {"lr": 0.001, "schedule": "step", "step_epochs": 7, "select_by": "accuracy"}
ADAM = {"optimizer": "adam", "weight_decay": 0, "schedule": "constant"}
FIVE = ADAM | {"epochs": 5, "batch_size": 64, "select_by": "last"}
SAYS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "colab_scratch": ("resnet18", "scratch", STEPS | {"epochs": 10, "batch_size": 8}),
    "colab_frozen": ("resnet18", "frozen", STEPS | {"epochs": 10, "batch_size": 8}),
    "book_frozen": ("resnet18", "frozen", STEPS | {"epochs": 25, "batch_size": 4}),
    "book_finetune": ("resnet18", "finetune", STEPS | {"epochs": 25, "batch_size": 4}),
    "notes_mlp_head": (
        "resnet50",
        "mlp_head",
        SGD
        | {"lr": 0.01, "head_hidden": 256, "head_dropout": 0.4, "loss": "nll", "select_by": "loss"},
    ),
    "notes_progressive": ("resnet18", "progressive", ADAM | {"lr": 0.001}),
    "cifar_partial": ("resnet18", "partial", FIVE | {"lr": 0.0001}),
    "cifar_frozen": ("resnet18", "frozen", FIVE | {"lr": 0.001}),
    "textures_probe": ("resnet18", "probe", {"log10_c": [0, 0], "c_values": 1}),
    "textures_two_phase": (
        "resnet18",
        "two_phase",
        ADAM
        | {"lr": 0.001, "epochs": 20, "head_hidden": 128, "head_dropout": 0.3, "select_by": "last"},
    ),
}
"""Recipe -> backbone, strategy, and what its document says."""
UNVALIDATED = {"cifar_partial", "cifar_frozen", "textures_probe", "textures_two_phase"}
"""Recipes that set nothing aside: the document reports what the last epoch gives on its test."""


@cache
def composed(name: str) -> Params:
    return parse(yaml.safe_load(compose.compose([f"preset=source/{name}"])))


def filled(params: Params, name: str) -> Strategy:
    """The strategy with what it takes from `train`."""
    strategy = params.strategies[name]
    return strategy.filled(params.train) if isinstance(strategy, GradientStrategy) else strategy


def test_every_recipe_is_expected_to_say_something() -> None:
    assert SAYS.keys() == RECIPES


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_has_the_settings_of_its_document(name: str) -> None:
    backbone, strategy, says = SAYS[name]
    params = composed(name)
    assert params.backbone.name == backbone
    assert list(params.strategies) == [strategy]
    found = plain(filled(params, strategy))
    assert {key: found[key] for key in says} == says


def test_recipes_of_several_phases_have_the_rates_of_their_documents() -> None:
    def rates(name: str) -> list[dict[str, float]]:
        (strategy,) = composed(name).strategies.values()
        assert isinstance(strategy, GradientStrategy)
        return [
            {part: rate * strategy.lr for part, rate in phase.rates.items() if rate is not None}
            for phase in strategy.phases.values()
        ]

    first, second = rates("textures_two_phase")
    assert first == {"head": 0.001}
    assert second == pytest.approx({"head": 0.0001, "*": 0.00001})
    head, top, everything = rates("notes_progressive")
    assert head == {"head": 0.001}
    assert top == pytest.approx({"head": 0.0001, "stage4": 0.0001, "stage3": 0.0001})
    assert list(everything.values()) == pytest.approx([0.00001] * 6)


@pytest.fixture(scope="module")
def small() -> Params:
    few = ("seeds=[0]", "train.max_epochs=1", "dataset.textures.train_per_class=8")
    return params_of(*few)


@pytest.fixture(scope="module")
def root(small: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("recipes"), small)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_trains_for_an_epoch_on_small_images(
    name: str, root: Path, small: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(root))
    found = composed(name)
    shared = replace(found.train, max_epochs=1)
    params = replace(small, strategies=found.strategies, train=shared)
    (strategy,) = found.strategies
    train(root, strategy, params, code=name)
    (seed,) = read_json(root / f"runs/{strategy}/facts.json")["seeds"].values()
    assert seed["status"] == "finished"
    assert (seed["validation_accuracy"] is None) == (name in UNVALIDATED)
    assert seed["validation_images"] == (0 if name in UNVALIDATED else 4)
    assert seed["fit_images"] + seed["validation_images"] == 16
