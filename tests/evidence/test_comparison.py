"""What is said about pairs of strategies holds in simulation and by hand."""

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from checkout import ROOT
from finished import costs_of, facts_of, parameters
from scipy.stats import binomtest, norm, t  # type: ignore[import-untyped]

from transferlab.evidence import comparison
from transferlab.evidence.crossed import Crossed, alone, among_all, being_best, crossed
from transferlab.evidence.mcnemar import holm, mcnemar
from transferlab.evidence.recommendation import front, fronts, recommend, require_one_device
from transferlab.evidence.records import Needed, Pair, between
from transferlab.evidence.seeds import over_seeds

sys.path.insert(0, str(ROOT / "benchmarks"))
import evidence as simulation

SEEDS, IMAGES = 5, 153
CLASSES = np.array(["ants", "bees", "wasps"])


def table(
    name: str, right: np.ndarray, *, seeds: list[int] | None = None, ids: str = "test"
) -> pd.DataFrame:
    """Predictions over three classes that are right where `right` [S, N] says so and else take the
    next class.
    """
    images = right.shape[1]
    labels = np.arange(images) % 3
    predicted = np.where(right, labels, (labels + 1) % 3).ravel()
    chances = np.full((right.size, 3), 0.2)
    chances[np.arange(right.size), predicted] = 0.6
    return pd.DataFrame(
        {
            "strategy": name,
            "seed": np.repeat(list(range(len(right))) if seeds is None else seeds, images),
            "id": [f"{ids}/{image}.jpg" for image in range(images)] * len(right),
            "label": np.tile(CLASSES[labels], len(right)),
            "predicted": CLASSES[predicted],
            **{f"p_{label}": chances[:, place] for place, label in enumerate(CLASSES)},
        }
    )


def compare(*tables: pd.DataFrame, resamples: int = 500, margin: float = 0.02) -> dict[str, Any]:
    named = {some["strategy"].iloc[0]: some for some in tables}
    return comparison.compare(named, confidence=0.95, resamples=resamples, margin=margin)


def only(found: dict[str, Any]) -> dict[str, Any]:
    (pair,) = found["pairs"]
    return dict(pair)


def answers(
    *, seed: float, image: float, rest: float, share: float = 0.93
) -> Callable[[np.random.Generator], Any]:
    """A drawer of correctness [S, N] of a strategy that recognises `share` of all images, as all
    that it draws do.

    Args:
        seed: Standard deviation of the seeds' skill; an answer is right where skill exceeds
            difficulty.
        image: Of the difficulty of images, drawn anew for every strategy.
        rest: Of what is a matter of seed and image together.
        share: Expected accuracy.
    """
    skill = norm.ppf(share) * (seed**2 + image**2 + rest**2) ** 0.5

    def draw(chance: np.random.Generator) -> Any:
        effects = seed * chance.normal(size=(SEEDS, 1)) + image * chance.normal(size=(1, IMAGES))
        return effects + rest * chance.normal(size=(SEEDS, IMAGES)) + skill > 0

    return draw


REGIMES = {
    "images": answers(seed=0.05, image=1, rest=0.1),
    "seeds": answers(seed=0.7, image=1, rest=0.1, share=0.9),
    "both at once": answers(seed=0.01, image=0.02, rest=1),
}


def drawn(right: dict[str, np.ndarray], resamples: int = 1000) -> Crossed:
    return crossed(np.stack(list(right.values())).astype(float), resamples)


@pytest.mark.slow
@pytest.mark.parametrize("regime", REGIMES)
def test_intervals_cover_and_equal_strategies_are_told_apart_at_the_level(regime: str) -> None:
    chance, times = np.random.default_rng(1), 600
    inside = 0
    for _ in range(times):
        given = drawn({name: REGIMES[regime](chance) for name in "ab"}, 400)
        single = alone(given, 0.95)
        covered = bool(abs(given.differences[0]) <= single.halves[0])
        assert covered == (single.p_values[0] > 0.05)
        inside += covered
    assert 0.93 <= inside / times <= 0.99


@pytest.mark.slow
def test_true_differences_are_found_twice_as_often_as_by_majority_votes() -> None:
    found = simulation.tried(simulation.WORLDS["three of ten worse by 10 points"], 30)
    assert found["one step: found"] >= 1.8 * found["votes: found"] > 0.6
    assert found["one step: wrong"] <= 0.1


@pytest.mark.parametrize("seeds", [1, 2, SEEDS])
def test_a_p_value_and_its_interval_say_the_same(seeds: int) -> None:
    chance = np.random.default_rng(20)
    for share in (0.5, 0.9, 0.99):
        strengths = np.linspace(0, 1, 8)
        right = {
            str(each): answers(seed=0.1, image=1, rest=1, share=share - 0.3 * each)(chance)[:seeds]
            for each in strengths
        }
        given = drawn(right)
        single = alone(given, 0.95)
        for read in (single, among_all(given, single, 0.95)):
            excluded = np.abs(given.differences) > read.halves
            assert (excluded == (read.p_values <= 0.05)).all()
            assert seeds == 2 or 0 < excluded.sum() < len(excluded)


def test_all_pairs_at_once_are_less_certain_than_one_alone() -> None:
    chance = np.random.default_rng(21)
    given = drawn({name: REGIMES["images"](chance) for name in "abcde"})
    single = alone(given, 0.95)
    every = among_all(given, single, 0.95)
    assert (every.p_values >= single.p_values).all() and (every.halves > single.halves).all()


@pytest.mark.parametrize(("wins", "losses"), [(6, 0), (5, 0), (9, 1), (14, 4), (3, 3)])
def test_with_one_seed_the_test_is_mcnemars(wins: int, losses: int) -> None:
    right = np.ones((2, 1, IMAGES))
    right[1, 0, :wins] = 0
    right[0, 0, wins : wins + losses] = 0
    given = crossed(right, 20_000)
    tossed = float((np.abs(given.drawn) >= np.abs(given.statistics)).mean())
    assert tossed == pytest.approx(mcnemar(wins, losses), abs=0.008)


def test_where_seeds_are_all_there_is_the_interval_is_students() -> None:
    right = np.random.default_rng(3).normal(0, 0.1, size=(SEEDS, 1)) * np.ones((1, 2000))
    given = drawn({"a": right, "b": np.zeros_like(right)}, 20_000)
    low, high = t.interval(0.95, SEEDS - 1, scale=right[:, 0].std(ddof=1) / SEEDS**0.5)
    assert alone(given, 0.95).halves[0] == pytest.approx((high - low) / 2, rel=0.05)


def test_with_one_seed_the_interval_is_over_images_alone() -> None:
    chance = np.random.default_rng(4)
    right = {
        name: (chance.random((1, 1000)) < share).astype(float)
        for name, share in {"a": 0.9, "b": 0.8}.items()
    }
    given, each = drawn(right, 10_000), right["a"] - right["b"]
    assert given.differences[0] == pytest.approx(each.mean())
    assert alone(given, 0.95).halves[0] == pytest.approx(1.96 * each.std() / 1000**0.5, rel=0.05)
    assert given.over_seeds[0] == 0


def test_what_seeds_do_to_all_strategies_alike_is_no_difference() -> None:
    chance = np.random.default_rng(25)
    alike = chance.normal(0, 0.2, size=(1, SEEDS, 1)) + np.zeros((4, 1, 500))
    assert over_seeds(alike)[0] == pytest.approx(0, abs=1e-12)
    apart = alike + chance.normal(0, 0.1, size=(4, SEEDS, 1))
    variances, freedom = over_seeds(apart)
    assert freedom == 3 * (SEEDS - 1)
    effects = apart[:, :, 0]
    rest = effects - effects.mean(axis=0) - effects.mean(axis=1, keepdims=True) + effects.mean()
    assert variances.min() == pytest.approx((rest**2).sum() / freedom / SEEDS)


def test_a_strategy_whose_seeds_vary_more_than_the_pool_keeps_its_own_variance() -> None:
    chance = np.random.default_rng(26)
    right = chance.normal(0, 0.01, size=(4, SEEDS, 1)) + np.zeros((1, 1, 500))
    right[2] += chance.normal(0, 0.5, size=(SEEDS, 1))
    variances, _ = over_seeds(right)
    assert variances[2] == pytest.approx(right[2, :, 0].var(ddof=1) / SEEDS, rel=0.1)
    assert variances[0] == variances[1] == variances[3] < variances[2] / 2


@pytest.mark.parametrize("images", [1, 2, 3])
def test_so_few_images_exclude_nothing(images: int) -> None:
    given = crossed(np.stack([np.ones((2, images)), np.zeros((2, images))]), 500)
    single = alone(given, 0.95)
    assert single.p_values[0] > 0.05 and single.halves[0] > 1


# ---------------------------------------------------------------- the set that may be best


def test_the_best_is_in_the_set_and_the_clearly_worse_are_not() -> None:
    right = np.ones((3, SEEDS, IMAGES))
    right[1, :, :2] = 0
    right[2, :, :40] = 0
    given = crossed(right, 2000)
    best, close, poor = (being_best(given, place) for place in range(3))
    assert best > close > 0.05 and poor < 0.01


def test_of_the_same_strategies_each_may_be_best() -> None:
    right = np.repeat(REGIMES["images"](np.random.default_rng(22))[None], 4, axis=0)
    assert [being_best(crossed(right.astype(float), 500), place) for place in range(4)] == [1] * 4


def test_whoever_is_told_to_be_worse_among_all_is_not_in_the_set() -> None:
    found = compare(
        *(table(name, LADDER[name](np.random.default_rng(23))) for name in LADDER), resamples=1000
    )
    worse = {pair["second"] for pair in found["pairs"] if pair["verdict"] == "better"}
    assert worse and not worse & set(found["may_be_best"])
    assert found["may_be_best"] == [name for name, p in found["best"].items() if p > 0.05]


LADDER = {
    f"s{step}": answers(seed=0.05, image=1, rest=0.3, share=0.95 - 0.04 * step) for step in range(5)
}


# ---------------------------------------------------------------- how many would tell


def test_what_is_needed_is_the_variance_over_the_square_of_what_the_test_can_see() -> None:
    chance = np.random.default_rng(24)
    right = {name: chance.random((1, 5000)) < share for name, share in ALIKE.items()}
    found = compare(*(table(name, each) for name, each in right.items()), resamples=10_000)
    each = right["a"].astype(float) - right["b"]
    expected = each.var() * ((1.96 + 0.8416) / each.mean()) ** 2
    needed = found["needed"]
    assert needed["images"] == pytest.approx(expected, rel=0.06)
    assert needed["images_low"] < needed["images"] and needed["images_high"] is None
    assert (needed["first"], needed["second"], needed["seeds"]) == ("a", "b", None)


ALIKE = {"a": 0.9, "b": 0.898}


def test_where_seeds_are_the_whole_spread_no_number_of_images_is_enough() -> None:
    right = np.zeros((2, SEEDS, 2000), bool)
    for seed, share in enumerate((0.2, 0.9, 0.5, 0.7, 0.6)):
        right[0, seed, : int(2000 * share)] = True
    right[1, :, :1000] = True
    needed = compare(*(table(name, right[place]) for place, name in enumerate("ab")))["needed"]
    assert needed["images"] is None and needed["seeds"] > SEEDS


def test_nothing_is_needed_where_the_leading_pair_is_told_apart() -> None:
    right = {"first": 0, "last": 80, "second": 30}
    tables = []
    for name, missed in right.items():
        each = np.ones((SEEDS, IMAGES), bool)
        each[:, :missed] = False
        tables.append(table(name, each))
    assert compare(*tables)["needed"] is None
    alike = compare(tables[0], table("twin", np.ones((SEEDS, IMAGES), bool)), *tables[1:])["needed"]
    assert (alike["first"], alike["second"], alike["images"]) == ("first", "twin", None)


# ---------------------------------------------------------------- pairs


def test_a_strategy_compared_with_itself_is_indistinguishable() -> None:
    right = REGIMES["images"](np.random.default_rng(5))
    pair = only(compare(table("a", right), table("b", right)))
    assert (pair["verdict"], pair["difference"], pair["probability"]) == (
        "indistinguishable",
        0,
        0.5,
    )
    assert (pair["wins"], pair["losses"], pair["mcnemar_p"], pair["holm_p"]) == (0, 0, 1, 1)
    assert (pair["p_value"], pair["p_all"]) == (1, 1)
    assert pair["low"] == -pair["high"] < 0


def test_never_differing_on_few_images_is_not_shown_to_be_equal() -> None:
    pairs = {
        images: only(compare(*(table(name, np.ones((5, images), bool)) for name in "ab")))
        for images in (12, 300)
    }
    assert not pairs[12]["first_as_good"] and not pairs[12]["second_as_good"]
    assert pairs[300]["first_as_good"] and pairs[300]["second_as_good"]


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, SEEDS])
def test_swapping_the_strategies_changes_the_sign_and_nothing_else(seeds: int) -> None:
    chance = np.random.default_rng(6)
    tables = [
        table(name, answers(seed=0.3, image=1, rest=1, share=share)(chance)[:seeds])
        for name, share in NAMED
    ]
    there, back = compare(*tables), compare(*reversed(tables))
    assert [(pair["first"], pair["second"]) for pair in there["pairs"]] == list(
        combinations("abc", 2)
    )
    for pair in there["pairs"]:
        swapped = between(back, pair["first"], pair["second"])
        for key, value in pair.items():
            assert swapped[key] == (
                pytest.approx(value, abs=1e-12) if isinstance(value, float) else value
            ), key


NAMED = (("a", 0.95), ("b", 0.9), ("c", 0.6))


def test_the_same_tables_give_the_same_numbers() -> None:
    chance = np.random.default_rng(7)
    tables = [table(name, REGIMES["seeds"](chance)) for name in "abc"]
    assert compare(*tables) == compare(*tables)


def test_with_one_seed_others_change_nothing_but_what_is_said_of_all_pairs() -> None:
    chance = np.random.default_rng(8)
    tables = [table(name, REGIMES["images"](chance)[:1]) for name in "abc"]
    single, among = only(compare(*tables[:2])), dict(between(compare(*tables), "a", "b"))
    for key in ("holm_p", "p_all", "low_all", "high_all", "detectable", "images_half"):
        del single[key], among[key]
    assert single == pytest.approx(among, abs=1e-12)


def test_a_clear_winner_is_better_and_the_other_one_worse() -> None:
    good, poor = np.ones((SEEDS, IMAGES), bool), np.ones((SEEDS, IMAGES), bool)
    poor[:, :20] = False
    pair = only(compare(table("good", good), table("poor", poor)))
    assert pair["verdict"] == "better"
    assert (pair["difference"], pair["probability"]) == (pytest.approx(20 / IMAGES), 1)
    assert (pair["wins"], pair["losses"]) == (20, 0)
    assert (pair["first_as_good"], pair["second_as_good"]) == (True, False)
    assert pair["detectable"] == pytest.approx((pair["high_all"] - pair["low_all"]) / 2)
    assert only(compare(table("poor", poor), table("good", good)))["verdict"] == "worse"


def test_a_lead_that_rests_on_one_seed_is_no_verdict() -> None:
    lucky, other = np.zeros((SEEDS, IMAGES), bool), np.zeros((SEEDS, IMAGES), bool)
    lucky[0, :60] = True
    pair = only(compare(table("lucky", lucky), table("other", other)))
    assert pair["low"] < 0 < pair["difference"]
    assert pair["verdict"] == "indistinguishable"
    assert pair["short"] == "seeds"


def noisy(wrong: int) -> np.ndarray:
    """Two seeds that get the same images wrong."""
    right = np.ones((2, IMAGES), bool)
    right[:, :wrong] = False
    return right


def test_a_difference_on_few_images_that_all_seeds_show_lacks_images() -> None:
    pair = only(compare(table("good", noisy(0)), table("poor", noisy(5))))
    assert (pair["verdict"], pair["short"]) == ("indistinguishable", "images")
    assert pair["seeds_half"] == 0 < pair["images_half"]


@pytest.mark.parametrize("others", ["", "abcdefg"])
def test_two_seeds_that_differ_lack_seeds(others: str) -> None:
    """18 images, 100 against 44 %: with two seeds Student leaves nearly everything open."""
    good, poor = np.ones((2, 18), bool), np.zeros((2, 18), bool)
    poor[0, :12] = poor[1, :4] = True
    rest = (table(name, good) for name in others)
    found = compare(table("good", good), table("poor", poor), *rest)
    pair = found["pairs"][0]
    assert pair["difference"] == pytest.approx(10 / 18)
    assert (pair["verdict"], pair["short"]) == ("indistinguishable", "seeds")
    assert pair["images_half"] < pair["difference"] < pair["seeds_half"]


def test_nothing_is_short_of_what_is_close_or_told_apart() -> None:
    close = only(compare(table("a", noisy(0)), table("b", noisy(3)), margin=0.02))
    assert (close["verdict"], close["short"]) == ("indistinguishable", None)
    apart = only(compare(table("a", noisy(0)), table("b", noisy(40))))
    assert (apart["verdict"], apart["short"]) == ("better", None)


def test_probabilities_are_averaged_over_seeds_before_the_test() -> None:
    often, seldom = np.ones((3, 6), bool), np.ones((3, 6), bool)
    often[0], seldom[:2] = False, False  # two of three seeds carry the mean, one of three does not
    pair = only(compare(table("often", often), table("seldom", seldom)))
    assert (pair["wins"], pair["losses"], pair["mcnemar_p"]) == (6, 0, 0.03125)


@pytest.mark.parametrize(
    ("wins", "losses", "expected"),
    [(6, 0, 0.03125), (5, 0, 0.0625), (0, 6, 0.03125), (0, 0, 1), (3, 3, 1), (5, 1, 14 / 64)],
)
def test_mcnemar_by_hand(wins: int, losses: int, expected: float) -> None:
    assert mcnemar(wins, losses) == pytest.approx(expected)


@pytest.mark.parametrize(("wins", "losses"), [(10, 3), (4, 17), (1, 0)])
def test_mcnemar_is_the_binomial_test(wins: int, losses: int) -> None:
    assert mcnemar(wins, losses) == pytest.approx(binomtest(wins, wins + losses).pvalue)


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([0.3]) == [0.3]
    assert holm([]) == []


def test_a_comparison_has_its_settings_and_a_record_for_every_pair_in_order() -> None:
    chance = np.random.default_rng(9)
    found = compare(
        *(table(name, REGIMES["images"](chance)) for name in "dbca"), resamples=150, margin=0.1
    )
    pairs, best, needed = (found.pop(key) for key in ("pairs", "best", "needed"))
    assert found.pop("may_be_best") == list(best) == list("dbca")
    assert needed.keys() == Needed.__annotations__.keys()
    assert found == {
        "images": IMAGES,
        "seeds": SEEDS,
        "confidence": 0.95,
        "resamples": 150,
        "margin": 0.1,
    }
    assert [(pair["first"], pair["second"]) for pair in pairs] == list(combinations("dbca", 2))
    assert all(pair.keys() == Pair.__annotations__.keys() for pair in pairs)
    json.dumps(pairs, allow_nan=False)


def test_one_strategy_has_no_pairs_and_none_has_no_numbers() -> None:
    alone = compare(table("a", np.ones((2, 4), bool)))
    assert (alone["pairs"], alone["images"], alone["seeds"]) == ([], 4, 2)
    assert (alone["best"], alone["may_be_best"], alone["needed"]) == ({"a": 1}, ["a"], None)
    assert compare() == {**alone, "images": 0, "seeds": 0, "best": {}, "may_be_best": []}


def test_one_image_is_enough_to_compare() -> None:
    pair = only(
        compare(table("a", np.array([[True], [True]])), table("b", np.array([[True], [False]])))
    )
    assert pair["difference"] == 0.5
    assert pair["verdict"] == "indistinguishable"


def test_tables_of_different_images_are_refused() -> None:
    right = np.ones((2, 4), bool)
    with pytest.raises(
        ValueError, match=r"of b: expected the images of a in their order, got 'other/0.jpg' in one"
    ):
        compare(table("a", right), table("b", right, ids="other"))


def test_strategies_are_compared_on_the_seeds_that_all_have() -> None:
    right = REGIMES["seeds"](np.random.default_rng(10))
    found = compare(table("a", right[:3], seeds=[4, 0, 7]), table("b", right[1:4], seeds=[0, 7, 9]))
    assert found["seeds"] == 2
    assert (only(found)["difference"], only(found)["wins"], only(found)["losses"]) == (0, 0, 0)


def test_strategies_without_a_common_seed_are_refused() -> None:
    right = np.ones((2, 4), bool)
    with pytest.raises(
        ValueError,
        match=r"expected a seed that all strategies have, got a \[0, 1\]; b \[2, 3\]\. Run:",
    ):
        compare(table("a", right), table("b", right, seeds=[2, 3]))


def test_many_images_are_drawn_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    right = np.random.default_rng(11).random((2, 2, 300)) < 0.9
    whole = crossed(right.astype(float), 200)
    monkeypatch.setattr(sys.modules[crossed.__module__], "CELLS", 300 * 64)
    chunked = crossed(right.astype(float), 200)
    assert chunked.drawn.shape == (200, 1)
    assert chunked.drawn == pytest.approx(whole.drawn, abs=1e-12)


# ---------------------------------------------------------------- recommendation


def scores(**accuracies: float) -> dict[str, dict[str, float]]:
    return {name: {"accuracy": accuracy, "loss": 0.5} for name, accuracy in accuracies.items()}


def test_the_cheapest_that_may_be_best_is_recommended_whoever_validates_best() -> None:
    found = recommend(
        ["dear", "twin"],
        scores(cheap=0.7, twin=0.8, best=0.9, dear=0.85),
        {"cheap": 1, "twin": 2, "best": 3, "dear": 4},
    )
    assert found == {"strategy": "twin", "best_validation": "best"}


def test_of_equal_costs_the_one_that_validates_better_is_taken() -> None:
    found = recommend(["twin", "best"], scores(twin=0.8, best=0.9), {"twin": 2, "best": 2})
    assert found is not None and found["strategy"] == "best"


def test_equal_validation_accuracies_are_decided_by_the_loss() -> None:
    validation = {
        "twin": {"accuracy": 0.9 + 1e-12, "loss": 0.4},
        "best": {"accuracy": 0.9, "loss": 0.3},
    }
    found = recommend(["best", "twin"], validation, {"twin": 1, "best": 2})
    assert found == {"strategy": "twin", "best_validation": "best"}


def test_a_strategy_alone_is_recommended_and_of_none_none() -> None:
    found = recommend(["best"], scores(best=0.9), {"best": 1})
    assert found == {"strategy": "best", "best_validation": "best"}
    assert recommend([], {}, {}) is None


def test_the_recommendation_does_not_depend_on_who_came_first_in_the_comparison() -> None:
    chance = np.random.default_rng(12)
    tables = [
        table(name, answers(seed=0.1, image=1, rest=0.3, share=share)(chance))
        for name, share in CLOSE
    ]
    there, back = compare(*tables), compare(*reversed(tables))
    assert there["may_be_best"] == ["a", "b"] and back["may_be_best"] == ["b", "a"]
    assert there["best"] == pytest.approx(back["best"])
    operations, validation = {"a": 3, "b": 2, "c": 1}, scores(a=0.9, b=0.8, c=0.7)
    for found in (there, back):
        recommended = recommend(found["may_be_best"], validation, operations)
        assert recommended == {"strategy": "b", "best_validation": "a"}


CLOSE = (("a", 0.92), ("b", 0.92), ("c", 0.6))


@pytest.mark.slow
def test_comparing_needs_no_torch() -> None:
    check = (
        "import sys; import transferlab.evidence.recommendation; assert 'torch' not in sys.modules"
    )
    source = Path(comparison.__file__).parents[2]
    subprocess.run([sys.executable, "-c", check], env={"PYTHONPATH": str(source)}, check=True)


@pytest.mark.parametrize(
    ("costs", "gains", "best"),
    [
        ([], [], []),
        ([5], [1], [0]),
        ([1, 2, 3], [1, 2, 3], [0, 1, 2]),
        ([3, 2, 1], [1, 2, 3], [2]),
        ([1, 1, 2], [5, 6, 6], [1]),  # as cheap and better; as good and cheaper
        ([1, 1], [5, 5], [0, 1]),  # the same: neither beats the other
        ([30, 10, 20, 40], [0.95, 0.9, 0.85, 0.96], [1, 0, 3]),
    ],
)
def test_the_front_holds_what_nothing_beats(
    costs: list[float], gains: list[float], best: list[int]
) -> None:
    names = [f"strategy_{i}" for i in range(len(costs))]
    found = front(dict(zip(names, costs, strict=True)), dict(zip(names, gains, strict=True)))
    assert found == [names[i] for i in best]


def test_each_cost_has_its_own_front_and_the_diverged_are_in_none() -> None:
    lines: Any = {
        name: {"accuracy": accuracy, "operations": operations, "trainable_parameters": parameters}
        for name, accuracy, operations, parameters in (
            ("light", 0.9, 10, 1000),
            ("small", 0.8, 20, 10),
            ("gone", None, 5, 1),
        )
    }
    assert fronts(lines) == {"operations": ["light"], "trainable_parameters": ["small", "light"]}


def test_files_of_one_strategy_from_two_kinds_of_device_are_refused() -> None:
    facts: Any = facts_of("probe", parameters())
    costs: Any = costs_of("probe")
    require_one_device({"probe": facts}, {"probe": costs})
    with pytest.raises(ValueError, match=r"got CPU and GPU X\. .* dvc repro -f -s train@probe$"):
        require_one_device({"probe": facts}, {"probe": {**costs, "device": "GPU X"}})
