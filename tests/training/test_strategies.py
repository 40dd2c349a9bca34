"""A strategy's table of rates becomes optimiser groups: every parameter in exactly one of them, or
frozen.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from itertools import product
from types import SimpleNamespace

import pytest
import torch
import yaml
from checkout import ROOT
from torch import nn

from transferlab.network import backbones, torchvision_parts
from transferlab.network.augment import training_side
from transferlab.params.learning.network import FAMILIES, PARTS
from transferlab.params.learning.strategies import GradientStrategy
from transferlab.params.reading import parse
from transferlab.settings import compose
from transferlab.training import strategies

FILES = {path.stem for path in (ROOT / "conf/strategy").glob("*.yaml")}
GRADIENT = sorted(FILES - {"all", "probe", "nearest_mean", "nearest_neighbours"})
"""Those that train by gradient descent; `test_compose.py` asserts which files there are."""


@cache
def composed(*overrides: str) -> GradientStrategy:
    """The one strategy that conf/ composes to."""
    params = parse(yaml.safe_load(compose.compose(["preset=demo", *overrides])))
    (strategy,) = params.strategies.values()
    assert isinstance(strategy, GradientStrategy)
    return strategy


@cache
def all_composed() -> Mapping[str, GradientStrategy]:
    """The same of all that train by gradient descent, composed at once."""
    params = parse(
        yaml.safe_load(compose.compose(["preset=demo", f"strategy=[{','.join(GRADIENT)}]"]))
    )
    found = {
        name: strategy
        for name, strategy in params.strategies.items()
        if isinstance(strategy, GradientStrategy)
    }
    assert sorted(found) == GRADIENT
    return found


def tiny() -> nn.Sequential:
    return backbones.build("tiny", 4)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", sorted(FAMILIES))
def test_every_strategy_plans_on_every_table_of_parts(backbone: str) -> None:
    backbones.builder(backbone)  # imports torchvision, which must not happen on the meta device
    with torch.device("meta"):
        model = backbones.build(backbone, 2)
    for name in GRADIENT:
        strategy = all_composed()[name]
        plans = strategies.plan(model, strategy, None)
        assert [plan.name for plan in plans] == list(strategy.phases)
        assert sum(plan.epochs for plan in plans) == strategy.epochs
        assert all(plan.groups for plan in plans)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["tiny", "vit_b_16"])
def test_backbone_takes_the_sides_of_crops_that_strategies_ask_for(backbone: str) -> None:
    params = parse(
        yaml.safe_load(
            compose.compose(["strategy=all", "dataset.store_px=512", f"backbone={backbone}"])
        )
    )
    backbones.builder(backbone)
    for strategy in params.strategies.values():
        if isinstance(strategy, GradientStrategy):
            side = training_side(params.backbone.preprocessing, strategy.resolution)
            with torch.device("meta"):
                assert backbones.build(backbone, 2)(torch.zeros(1, 3, side, side)).shape == (1, 2)


def test_positions_of_a_transformer_are_resampled_to_the_grid_of_the_images() -> None:
    chance = torch.Generator().manual_seed(0)
    position = nn.Parameter(torch.randn(1, 1 + 14 * 14, 8, generator=chance))
    encoder = SimpleNamespace(dropout=nn.Identity(), pos_embedding=position)
    tokens = torchvision_parts.Tokens(
        SimpleNamespace(
            conv_proj=nn.Conv2d(3, 8, 16, 16), class_token=torch.zeros(1, 1, 8), encoder=encoder
        )
    )
    assert tokens.positions(14) is position
    found = tokens.positions(10)
    grid = position[:, 1:].transpose(1, 2).unflatten(2, (14, 14))  # type: ignore[no-untyped-call]
    expected = nn.functional.interpolate(grid, (10, 10), mode="bilinear").flatten(2).transpose(1, 2)
    torch.testing.assert_close(found[:, 1:], expected)
    assert torch.equal(found[:, :1], position[:, :1])
    assert tokens(torch.zeros(2, 3, 160, 160)).shape == (2, 101, 8)


@pytest.mark.parametrize("name", GRADIENT)
def test_every_parameter_is_in_exactly_one_group_or_frozen(name: str) -> None:
    model, strategy = tiny(), all_composed()[name]
    for plan, phase in zip(
        strategies.plan(model, strategy, None), strategy.phases.values(), strict=True
    ):
        grouped = [id(parameter) for group in plan.groups for parameter in group["params"]]
        assert len(grouped) == len(set(grouped))
        trained = {part for part in PARTS if strategies.rate_of(phase.rates, part) is not None}
        expected = {
            id(p)
            for part in trained
            for p in model.get_submodule(part).parameters()
            if strategy.trains == "all" or part == "head" or p.dim() < 2
        }
        assert set(grouped) == expected
        below = PARTS[: plan.cut]
        assert not trained & set(below)
        assert PARTS[plan.cut] in trained


@pytest.mark.slow
def test_weight_decay_spares_biases_and_norm_layers() -> None:
    model, strategy = tiny(), composed("strategy=finetune")
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    spared = {id(p) for m in norms for p in m.parameters()} | {
        id(p) for name, p in model.named_parameters() if name.endswith("bias")
    }
    (plan,) = strategies.plan(model, strategy, None)
    for group in plan.groups:
        decays = {id(p) not in spared for p in group["params"]}
        assert len(decays) == 1
        assert group["weight_decay"] == (strategy.weight_decay if decays.pop() else 0)
    assert strategy.weight_decay > 0
    assert {
        id(p) for group in plan.groups if not group["weight_decay"] for p in group["params"]
    } == spared


def test_rate_of_a_part_is_lr_times_its_multiplier() -> None:
    model, strategy = tiny(), composed("strategy=finetune", "strategies.finetune.lr=0.5")
    (plan,) = strategies.plan(model, strategy, None)
    rates = {id(p): group["lr"] for group in plan.groups for p in group["params"]}
    for part, multiplier in strategy.phases["all"].rates.items():
        assert multiplier is not None
        assert {rates[id(p)] for p in model.get_submodule(part).parameters()} == {0.5 * multiplier}


def test_first_match_wins() -> None:
    rates = {"stage4": 0.5, "stage*": None, "*": 1.0}
    assert [strategies.rate_of(rates, part) for part in PARTS] == [1.0, None, None, None, 0.5, 1.0]


@pytest.mark.parametrize(
    "rates, cut",
    [
        ({"head": 1.0, "*": None}, 5),
        ({"head": 1.0, "stage4": 0.1, "*": None}, 4),
        ({"stage2": 1.0, "*": None}, 2),
        ({"stem": 1.0, "head": 1.0, "*": None}, 0),
        ({"*": 1.0}, 0),
    ],
)
def test_cut_is_the_number_of_leading_parts_that_never_train(
    rates: dict[str, float | None], cut: int
) -> None:
    assert strategies.cut(rates) == cut


def test_part_that_no_pattern_covers_is_named() -> None:
    strategy = composed("strategy=frozen")
    phase = replace(strategy.phases["head"], rates={"head": 1.0, "stage*": None})
    with pytest.raises(
        ValueError, match=r"rates: part 'stem' is not covered by \['head', 'stage\*'\]\. Add it"
    ):
        strategies.plan(tiny(), replace(strategy, phases={"head": phase}), None)


def test_phases_divide_all_epochs_by_their_shares_to_within_one() -> None:
    tables: list[list[float]] = [[1], [1, 1], [1, 1, 1], [3, 1], [1e-9, 1], [0.1, 0.2, 0.7]]
    tables += [[0.3, 0.3, 0.3, 0.1]]
    for epochs, shares in product([1, 2, 3, 5, 7, 12, 100], tables):
        lengths = strategies.phase_lengths(epochs, shares)
        assert sum(lengths) == epochs
        assert min(lengths) >= 0
        for length, share in zip(lengths, shares, strict=True):
            assert abs(length - epochs * share / sum(shares)) <= 1


def test_max_epochs_caps_and_never_lengthens() -> None:
    model, strategy = tiny(), composed("strategy=progressive")
    assert [plan.epochs for plan in strategies.plan(model, strategy, None)] == [4, 4, 4]
    assert [plan.epochs for plan in strategies.plan(model, strategy, 6)] == [2, 2, 2]
    assert [plan.epochs for plan in strategies.plan(model, strategy, 1000)] == [4, 4, 4]
    assert sum(plan.epochs for plan in strategies.plan(model, strategy, 1)) == 1


def test_trainable_parameters_are_those_of_any_phase() -> None:
    model = tiny()
    sizes = {part: sum(p.numel() for p in model.get_submodule(part).parameters()) for part in PARTS}

    def count(*settings: str) -> int:
        return strategies.trainable_parameters(model, composed(*settings))

    assert count("strategy=frozen") == sizes["head"]
    assert count("strategy=partial") == sizes["head"] + sizes["stage4"]
    assert count("strategy=progressive") == count("strategy=finetune") == sum(sizes.values())
    vectors = sum(p.numel() for p in model.parameters() if p.dim() < 2)
    assert count("strategy=norms") == vectors + model.get_parameter("head.0.weight").numel()
