"""Counted work: known for known networks, by hand for a recipe, and the same every time."""

from dataclasses import replace
from typing import Any

import pytest
import small
import torch

from transferlab.experiments.work import of_parts, operations
from transferlab.network import backbones
from transferlab.params.learning.recipe import recipe_of
from transferlab.params.learning.strategies import GradientStrategy
from transferlab.params.whole import Params
from transferlab.settings import passes

AT = {32: [1, 2, 4, 8, 16, 32], 16: [100, 200, 400, 800, 1600, 3200]}
"""Operations of each part at two sides, told apart by their digits."""


@pytest.fixture(scope="module")
def params() -> Params:
    return small.params_of("train.max_epochs=null")


def work(
    params: Params,
    name: str,
    *,
    fit: int = 1,
    validation: int = 0,
    cap: int | None = None,
    **of: Any,
) -> int:
    """Operations of a strategy with some of its values changed."""
    recipe = recipe_of(params, name)
    recipe = replace(
        recipe,
        strategy=replace(recipe.strategy, **of),
        train=replace(recipe.train, max_epochs=cap),
    )
    return operations(recipe, AT.__getitem__, fit, validation)


def test_a_probe_passes_every_image_once(params: Params) -> None:
    assert work(params, "probe", fit=10, validation=3) == 13 * 63


def test_what_is_frozen_passes_once_a_view_and_what_trains_three_times_an_epoch(
    params: Params,
) -> None:
    assert work(params, "frozen", epochs=5, views=2) == 2 * 31 + 3 * 5 * 32
    assert work(params, "frozen", epochs=5, views=2, fit=0, validation=1) == 31 + 5 * 32


def test_views_that_never_come_back_pass_what_is_frozen_in_every_epoch(params: Params) -> None:
    assert work(params, "frozen", epochs=5, views=None) == 5 * 31 + 3 * 5 * 32


def test_where_everything_trains_an_epoch_costs_three_passes(params: Params) -> None:
    assert work(params, "finetune", epochs=4) == 3 * 4 * 63
    assert work(params, "finetune", epochs=4, fit=0, validation=1) == 4 * 63


def test_a_cap_on_epochs_is_a_cap_on_work(params: Params) -> None:
    assert work(params, "finetune", epochs=4, cap=1) == 3 * 63


def test_training_on_smaller_views_costs_theirs_and_validation_the_whole(params: Params) -> None:
    assert work(params, "finetune", epochs=1, resolution=0.5) == 3 * 6300
    assert work(params, "finetune", epochs=1, resolution=0.5, fit=0, validation=1) == 63


def test_a_head_that_is_solved_before_the_training_is_one_pass_of_its_features(
    params: Params,
) -> None:
    assert work(params, "lp_ft", epochs=2) == 31 + 3 * 2 * 63


def test_every_average_that_is_tried_is_a_pass_of_the_validation_images(params: Params) -> None:
    some = work(params, "wise_ft", epochs=1, interpolate=(0.5, 1.0), fit=0, validation=1)
    assert some == work(params, "wise_ft", epochs=1, interpolate=None, fit=0, validation=1) + 126


def test_phases_pass_what_each_of_them_freezes(params: Params) -> None:
    """The first trains the head alone, the second everything."""
    strategy = params.strategies["two_phase"]
    (first, head), (second, rest) = strategy.phases.items()  # type: ignore[union-attr]
    phases = {first: replace(head, share=1), second: replace(rest, share=1)}
    found = work(params, "two_phase", epochs=4, views=None, phases=phases, resolution=1)
    assert found == (2 * 31 + 3 * 2 * 32) + 3 * 2 * 63


def test_what_is_expected_of_a_training_is_what_it_counts_when_it_is_done(params: Params) -> None:
    sides = {32: [400 * share for share in passes.SHARES]}
    sides[16] = [count / 4 for count in sides[32]]
    for key, strategy in params.strategies.items():
        small = strategy
        if isinstance(strategy, GradientStrategy):
            small = replace(strategy, resolution=0.5)
        recipe = replace(recipe_of(params, key), strategy=small).settled(10)
        counted = operations(recipe, sides.__getitem__, 8, 2)  # type: ignore[arg-type]
        training = passes.Training(
            name=(key,),
            strategy=small,
            seed=0,
            fit=8,
            validation=2,
            split=10,
            table=passes.Table("images", 10),
            shares=True,
            asked=0,
        )
        expected = dict(passes.learning(training, params.train.max_epochs))
        assert 400 * sum(expected.values()) == pytest.approx(counted), key


@pytest.mark.slow
@pytest.mark.parametrize(("name", "giga"), [("resnet18", 1.814), ("vit_b_16", 17.564)])
def test_a_pass_counts_twice_the_multiplications_that_its_authors_name(
    name: str, giga: float
) -> None:
    """The numbers are torchvision's; attention is among them."""
    net = backbones.build(name, 1000)
    assert sum(of_parts(net, 224)) / 2e9 == pytest.approx(giga, abs=0.001)


def test_counting_leaves_weights_chance_and_settings_alone() -> None:
    net = backbones.build("tiny", 2)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    chance, fast = torch.get_rng_state(), torch.backends.mha.get_fastpath_enabled()
    first = of_parts(net, 64)
    assert first == of_parts(net, 64) and all(first)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), chance)
    assert torch.backends.mha.get_fastpath_enabled() == fast


def test_a_convolution_by_hand() -> None:
    parts: list[Any] = [torch.nn.Conv2d(3, 5, 3, padding=1), torch.nn.Flatten()]
    found = of_parts(torch.nn.Sequential(*parts, torch.nn.Linear(5 * 16, 2)), 4)
    assert found == [2 * 16 * 5 * 3 * 9, 0, 2 * 80 * 2]
