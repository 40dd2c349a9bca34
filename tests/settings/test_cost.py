"""What a run is expected to take: all that its settings ask for, and nothing twice."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout import ROOT

from transferlab.params.learning.strategies import GradientStrategy
from transferlab.params.reading import parse
from transferlab.params.whole import Params
from transferlab.prediction import sample
from transferlab.settings import amount, compose, cost, passes
from transferlab.settings.amount import Amount

ANTS_AND_BEES = Amount(244, 153, 2)
FIGURES = 2 * 153  # two passes of a heat map
HEAD_ONLY = 244 + 153 + 5 * 153 + 153
"""Features of both splits, five random views and ImageNet's head: kept for all seeds."""


@pytest.fixture(scope="module")
def params() -> Params:
    values = parse(yaml.safe_load((ROOT / "params.yaml").read_text()))
    return replace(values, backbone=replace(values.backbone, name="mobilenet_v2"))


def only(params: Params, *names: str, **of: Any) -> Params:
    """The same with some of the strategies."""
    return replace(params, strategies={name: params.strategies[name] for name in names}, **of)


def count(params: Params) -> float:
    return round(passes.of_run(params, ANTS_AND_BEES), 3)


def test_measured_runs_are_met_within_a_factor_of_two(params: Params) -> None:
    """64 and 86 minutes on two cores, the second with a learning curve of three strategies."""
    curve = replace(params.learning_curve, strategies=("probe", "partial", "finetune"))
    for settings, measured in ((params, 64), (replace(params, learning_curve=curve), 86)):
        minutes = cost.expected_minutes(settings, ANTS_AND_BEES)
        assert measured / 2 < minutes < 2 * measured


def test_what_a_probe_is_fitted_to_and_asked_is_passed_once_for_all_seeds(params: Params) -> None:
    assert count(only(params, "probe")) == HEAD_ONLY + FIGURES
    assert count(only(params, "probe", seeds=(0,))) == HEAD_ONLY + FIGURES


def test_heads_on_the_same_views_share_them_seed_by_seed(params: Params) -> None:
    views = 5 * 244 * (8 * 0.8 + 0.2)
    assert count(only(params, "probe", "frozen")) == HEAD_ONLY + 2 * FIGURES + views
    both = count(only(params, "probe", "frozen", "mlp_head"))
    assert both == HEAD_ONLY + 3 * FIGURES + views


def test_every_seed_that_trains_everything_is_trained_and_asked(params: Params) -> None:
    a_seed = 244 * 12 * (3 * 0.8 + 0.2) + 153 + 244 * 0.2 + 5 * 153
    once = 153 + 153 + FIGURES + 153  # features before and after, heat maps, ImageNet's head
    assert count(only(params, "finetune", seeds=(0,))) == pytest.approx(once + a_seed)
    assert count(only(params, "finetune")) == pytest.approx(once + 5 * a_seed)


def test_a_learning_curve_counts_every_part_of_every_seed(params: Params) -> None:
    part, plain = 12 * (3 * 0.8 + 0.2) * 244, only(params, "probe", "finetune")
    for names, more in (("probe",), 397), (("finetune",), 5 * (0.85 * part + 3 * 153)):
        curve = replace(params.learning_curve, strategies=names)
        found = count(replace(plain, learning_curve=curve)) - count(plain)
        assert found == pytest.approx(more)


def test_cross_validation_counts_every_fold_of_every_repeat(params: Params) -> None:
    fold, plain = 12 * (3 * 0.8 + 0.2) * 397 * 0.8 + 397 / 5, only(params, "probe", "finetune")
    for names, more in (("probe",), 397), (("finetune",), 25 * fold):
        crossed = replace(params.cross_validation, strategies=names)
        found = count(replace(plain, cross_validation=crossed)) - count(plain)
        assert found == pytest.approx(more)


def test_settings_that_are_tried_are_trained_and_one_of_them_is_asked(params: Params) -> None:
    one = only(params, "finetune", seeds=(0,))
    four = replace(one, tuning=replace(params.tuning, trials=4))
    more = 3 * 244 * 12 * (3 * 0.8 + 0.2)
    assert count(four) - count(one) == pytest.approx(more)


def test_few_images_of_a_class_are_few_to_train_on(params: Params) -> None:
    one = only(params, "finetune", seeds=(0,))
    less = (244 - 20) * (12 * (3 * 0.8 + 0.2) + 0.2)
    assert count(one) - count(replace(one, images_per_class=10)) == pytest.approx(less)


def test_fewer_epochs_and_smaller_views_cost_less(params: Params) -> None:
    one, finetune = only(params, "finetune"), params.strategies["finetune"]
    assert isinstance(finetune, GradientStrategy)
    small = replace(one, strategies={"finetune": replace(finetune, resolution=0.5)})
    capped = replace(one, train=replace(params.train, max_epochs=4))
    assert count(one) - count(small) == pytest.approx(5 * 244 * 12 * 3 * 0.8 * 0.75)
    assert count(one) - count(capped) == pytest.approx(5 * 244 * 8 * (3 * 0.8 + 0.2))


def test_a_regression_counts_its_images_and_classes(params: Params) -> None:
    probe = only(params, "probe", "frozen")
    assert passes.regressions(probe, ANTS_AND_BEES) == pytest.approx(5 * 0.8 * 244)
    assert passes.regressions(probe, Amount(1000, 0, 200)) == pytest.approx(5 * 800 * 200)
    assert passes.regressions(only(params, "frozen"), ANTS_AND_BEES) == 0


def test_larger_images_cost_by_their_area(params: Params) -> None:
    sides = replace(params.backbone.preprocessing, crop_px=448, resize_px=448)
    large = replace(params, backbone=replace(params.backbone, preprocessing=sides))
    network = passes.of_run(params, ANTS_AND_BEES) / cost.COST["mobilenet_v2"].images_per_second
    minutes = [cost.expected_minutes(it, ANTS_AND_BEES) for it in (large, params)]
    assert minutes[0] - minutes[1] == pytest.approx(3 * network / 60)


def test_the_table_has_the_side_that_every_backbone_sees() -> None:
    for name, known in cost.COST.items():
        own = yaml.safe_load((ROOT / f"conf/backbone/{name}.yaml").read_text())
        assert known.side == own.get("preprocessing", {}).get("crop_px", 224)


def test_samples_are_as_large_as_those_that_are_taken() -> None:
    assert (passes.FIGURES, passes.AUGMENTED) == (sample.FIGURES, sample.AUGMENTED)


def test_a_run_says_for_how_many_images_it_speaks(params: Params) -> None:
    text = cost.expectation(only(params, "probe"), ANTS_AND_BEES)
    assert text.startswith("1 strategy x 5 seeds of mobilenet_v2 on hymenoptera: about ")
    assert " minutes on 2 CPU cores for 244 training and 153 test images, " in text


def test_images_that_nobody_counted_are_expected_by_the_thousand(
    params: Params, own_home: Path
) -> None:
    (own_home / "birds/ants").mkdir(parents=True)  # one class, and nothing in it
    values = replace(params, dataset=replace(params.dataset, url=None, path="birds"))
    text = cost.expectation(values, amount.known(values.dataset))
    assert " minutes on 2 CPU cores per 1000 images, " in text
    assert text.endswith(f" GB in {own_home}")


def test_the_demo_is_expected_to_take_the_minutes_that_it_took() -> None:
    """Two minutes; once 3 min 19 s, its weights trained on a source task."""
    values = parse(yaml.safe_load(compose.compose(["preset=demo"])))
    assert passes.of_source(values) == 0
    assert 1 < cost.expected_minutes(values, Amount(120, 240, 4)) < 4
    values = parse(yaml.safe_load(compose.compose(["preset=demo", "backbone=tiny_source"])))
    assert passes.of_source(values) == pytest.approx(2400 * 25 * (3 * 0.8 + 0.2))
    assert 1.7 < cost.expected_minutes(values, Amount(120, 240, 4)) < 6.6
