"""The recipes of the sources compose with their settings, and each of them trains."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout import ROOT
from small import params_of, prepare, train

from transferlab.params.learning.strategies import GradientStrategy
from transferlab.params.reading import parse
from transferlab.params.whole import Params
from transferlab.pipeline.files import read_json
from transferlab.settings import compose

pytestmark = pytest.mark.slow
RECIPES = {path.stem for path in (ROOT / "conf/preset/source").glob("*.yaml")}
SGD = {"optimizer": "sgd", "momentum": 0.9, "nesterov": False, "weight_decay": 0}
STEPS = SGD | {"lr": 0.001, "schedule": "step", "step_epochs": 7, "select_by": "accuracy"}
ADAM = {"optimizer": "adam", "weight_decay": 0, "schedule": "constant"}
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
    "cifar_partial": ("resnet18", "partial", ADAM | {"lr": 0.0001, "epochs": 5, "batch_size": 64}),
    "cifar_frozen": ("resnet18", "frozen", ADAM | {"lr": 0.001, "epochs": 5, "batch_size": 64}),
    "textures_probe": ("resnet18", "probe", {"log10_c": [0, 0], "c_values": 1}),
    "textures_two_phase": (
        "resnet18",
        "two_phase",
        ADAM | {"lr": 0.001, "epochs": 20, "head_hidden": 128, "head_dropout": 0.3},
    ),
}
"""Recipe -> backbone, strategy, and what its document says."""


@cache
def composed(name: str) -> tuple[dict[str, Any], Params]:
    data = yaml.safe_load(compose.compose([f"preset=source/{name}"]))
    return data, parse(data)


def test_every_recipe_is_expected_to_say_something() -> None:
    assert SAYS.keys() == RECIPES


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_has_the_settings_of_its_document(name: str) -> None:
    backbone, strategy, says = SAYS[name]
    data, _ = composed(name)
    assert data["backbone"]["name"] == backbone
    assert list(data["strategies"]) == [strategy]
    found = data["strategies"][strategy]
    assert {key: found[key] for key in says} == says


def test_recipes_of_several_phases_have_the_rates_of_their_documents() -> None:
    def rates(name: str) -> list[dict[str, float]]:
        (strategy,) = composed(name)[1].strategies.values()
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
    _, found = composed(name)
    shared = replace(found.train, max_epochs=1, validation_fraction=0.2)
    params = replace(small, strategies=found.strategies, train=shared)
    (strategy,) = found.strategies
    train(root, strategy, params, code=name)
    (seed,) = read_json(root / f"runs/{strategy}/facts.json")["seeds"].values()
    assert seed["status"] == "finished"
    assert seed["validation_accuracy"] is not None
