"""Several settings of a strategy, of which each seed keeps one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small import params_of, prepare, train

from transferlab.experiments.trials import variants
from transferlab.params.learning.recipe import recipe_of
from transferlab.params.learning.strategies import GradientStrategy
from transferlab.params.whole import Params
from transferlab.pipeline.files import read_csv, read_json

pytestmark = pytest.mark.slow

THREE = ("strategy=[frozen,probe]", "tuning.trials=3", "seeds=[0,1]", "strategies.frozen.epochs=2")


@pytest.fixture(scope="module")
def params() -> Params:
    return params_of(*THREE)


def settings(params: Params, name: str, seed: int) -> list[tuple[float, int]]:
    tried = [recipe.strategy for recipe in variants(recipe_of(params, name), params.tuning, seed)]
    return [(it.lr, it.epochs) for it in tried if isinstance(it, GradientStrategy)]


def test_its_own_setting_comes_first_and_the_others_are_drawn_by_the_seed(params: Params) -> None:
    strategy = params.strategies["frozen"]
    assert isinstance(strategy, GradientStrategy)
    first, second = settings(params, "frozen", 0), settings(params, "frozen", 1)
    assert first == settings(params, "frozen", 0)
    assert first[0] == second[0] == (strategy.lr, 2)
    assert first != second
    assert all(len(set(tried)) == 3 for tried in (first, second))
    possible = {(strategy.lr * rate, epochs) for rate in params.tuning.lr for epochs in (1, 2, 4)}
    assert {*first, *second} <= possible


def test_what_is_solved_has_nothing_to_try(params: Params) -> None:
    recipe = recipe_of(params, "probe")
    assert variants(recipe, params.tuning, 0) == [recipe]


def test_lengths_that_a_cap_makes_equal_are_tried_once(params: Params) -> None:
    capped = replace(
        params,
        train=replace(params.train, max_epochs=1),
        tuning=replace(params.tuning, trials=5, lr=(1, 2)),
    )
    strategy = params.strategies["frozen"]
    assert isinstance(strategy, GradientStrategy)
    tried = settings(capped, "frozen", 0)
    assert sorted(lr for lr, _ in tried) == [strategy.lr, 2 * strategy.lr]


def test_the_setting_that_validates_best_is_kept_and_all_are_counted(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "home"))
    root = prepare(tmp_path / "repository", params)
    train(root, "frozen", params)
    facts = read_json(root / "runs/frozen/facts.json")
    history = read_csv(root / "runs/frozen/history.csv")
    for seed, known in facts["seeds"].items():
        trials = known["trials"]
        assert [(it["lr"], it["epochs"]) for it in trials] == settings(params, "frozen", int(seed))
        assert len({it["key"] for it in trials}) == 3
        kept = max(trials, key=lambda it: (it["validation_accuracy"], -it["validation_loss"]))
        assert known["key"] == kept["key"]
        assert known["validation_loss"] == kept["validation_loss"]
        epochs = [row for row in history if row["seed"] == seed]
        assert len(epochs) == kept["epochs"]
    alone = replace(params, tuning=replace(params.tuning, trials=1))
    three = [known["operations"] for known in facts["seeds"].values()]
    train(root, "frozen", alone)
    own = read_json(root / "runs/frozen/facts.json")["seeds"]
    assert all("trials" not in known for known in own.values())
    once = [known["operations"] for known in own.values()]
    assert all(more > one for more, one in zip(three, once, strict=True))
    # its own setting is the same training, whatever else was tried: it came from the cache
    assert [known["key"] for known in own.values()] == [
        known["trials"][0]["key"] for known in facts["seeds"].values()
    ]


def test_a_setting_that_diverges_is_not_kept(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "home"))
    settings = (
        "strategy=[finetune,probe]",
        "strategies.finetune.lr=1e30",
        "strategies.finetune.epochs=2",
    )
    params = params_of(*settings, "seeds=[0]", "tuning.trials=2", "tuning.lr=[1e-32]")
    root = prepare(tmp_path / "repository", params)
    train(root, "finetune", params)
    (known,) = read_json(root / "runs/finetune/facts.json")["seeds"].values()
    own, other = known["trials"]
    assert own["validation_accuracy"] is None
    assert known["status"] == "finished"
    assert known["key"] == other["key"]
