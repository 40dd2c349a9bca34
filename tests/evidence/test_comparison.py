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
from scipy.stats import binomtest, norm, t  # type: ignore[import-untyped]

from transferlab.evidence import comparison, components, intervals
from transferlab.evidence.recommendation import front, fronts, recommend
from transferlab.evidence.records import between

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


@pytest.mark.slow
@pytest.mark.parametrize("regime", REGIMES)
def test_intervals_cover_whatever_dominates(regime: str) -> None:
    chance, times = np.random.default_rng(1), 1000
    inside = 0
    for _ in range(times):
        pair = {name: REGIMES[regime](chance).astype(float) for name in "ab"}
        low, high = intervals.percentiles(comparison.differences(pair, 400)["a", "b"], 0.95)
        inside += low <= 0 <= high
    assert 0.92 <= inside / times <= 0.98


@pytest.mark.slow
def test_equal_strategies_are_told_apart_no_more_often_than_the_level(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparison, "holm", list)  # of one pair, and many times faster
    chance, times = np.random.default_rng(2), 100
    verdicts = [
        only(compare(*(table(name, draw(chance)) for name in "ab"), resamples=200))["verdict"]
        for draw in REGIMES.values()
        for _ in range(times)
    ]
    told_apart = len(verdicts) - verdicts.count("indistinguishable")
    assert told_apart / len(verdicts) <= 0.05 + 2 * (0.05 * 0.95 / len(verdicts)) ** 0.5


def test_where_seeds_are_all_there_is_the_interval_is_students() -> None:
    right = np.random.default_rng(3).normal(0, 0.1, size=(SEEDS, 1)) * np.ones((1, 2000))
    found = comparison.differences({"a": right, "b": np.zeros_like(right)}, 20_000)["a", "b"]
    expected = t.interval(
        0.95, SEEDS - 1, loc=right.mean(), scale=right[:, 0].std(ddof=1) / SEEDS**0.5
    )
    assert intervals.percentiles(found, 0.95) == pytest.approx(expected, rel=0.05)


def test_with_one_seed_the_interval_is_over_images_alone() -> None:
    chance = np.random.default_rng(4)
    right = {
        name: (chance.random((1, 1000)) < share).astype(float)
        for name, share in {"a": 0.9, "b": 0.8}.items()
    }
    found = intervals.percentiles(comparison.differences(right, 10_000)["a", "b"], 0.95)
    each = right["a"] - right["b"]
    half = 1.96 * each.std() / 1000**0.5
    assert found == pytest.approx((each.mean() - half, each.mean() + half), abs=0.1 * half)


def test_a_strategy_compared_with_itself_is_indistinguishable() -> None:
    right = REGIMES["images"](np.random.default_rng(5))
    pair = only(compare(table("a", right), table("b", right)))
    assert (pair["verdict"], pair["difference"], pair["probability"]) == (
        "indistinguishable",
        0,
        0.5,
    )
    assert (pair["wins"], pair["losses"], pair["mcnemar_p"], pair["holm_p"]) == (0, 0, 1, 1)
    assert pair["low"] == -pair["high"] < 0


def test_never_differing_on_few_images_is_not_shown_to_be_equal() -> None:
    pairs = {
        images: only(compare(*(table(name, np.ones((5, images), bool)) for name in "ab")))
        for images in (12, 300)
    }
    assert not pairs[12]["first_as_good"] and not pairs[12]["second_as_good"]
    assert pairs[300]["first_as_good"] and pairs[300]["second_as_good"]


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


def test_other_strategies_change_nothing_but_holms_p_value() -> None:
    chance = np.random.default_rng(8)
    tables = [table(name, REGIMES["images"](chance)) for name in "abc"]
    alone, among = only(compare(*tables[:2])), between(compare(*tables), "a", "b")
    assert {**alone, "holm_p": None} == pytest.approx({**among, "holm_p": None}, abs=1e-12)


def test_a_clear_winner_is_better_and_the_other_one_worse() -> None:
    good, poor = np.ones((SEEDS, IMAGES), bool), np.ones((SEEDS, IMAGES), bool)
    poor[:, :20] = False
    pair = only(compare(table("good", good), table("poor", poor)))
    assert pair["verdict"] == "better"
    assert (pair["difference"], pair["probability"]) == (pytest.approx(20 / IMAGES), 1)
    assert (pair["wins"], pair["losses"]) == (20, 0)
    assert (pair["first_as_good"], pair["second_as_good"]) == (True, False)
    assert pair["detectable"] == pytest.approx((pair["high"] - pair["low"]) / 2)
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


@pytest.mark.parametrize(("others", "lacks"), [("", "seeds"), ("abcdefg", "both")])
def test_two_seeds_that_differ_lack_seeds_and_of_many_pairs_images_too(
    others: str, lacks: str
) -> None:
    """18 images, 100 against 44 %: with two seeds Student leaves nearly everything open."""
    good, poor = np.ones((2, 18), bool), np.zeros((2, 18), bool)
    poor[0, :12] = poor[1, :4] = True
    rest = (table(name, good) for name in others)
    found = compare(table("good", good), table("poor", poor), *rest)
    pair = found["pairs"][0]
    assert pair["difference"] == pytest.approx(10 / 18)
    assert (pair["verdict"], pair["short"]) == ("indistinguishable", lacks)
    assert pair["images_half"] < pair["difference"] < pair["seeds_half"]


def test_nothing_is_short_of_what_is_close_or_told_apart() -> None:
    close = only(compare(table("a", noisy(0)), table("b", noisy(3)), margin=0.02))
    assert (close["verdict"], close["short"]) == ("indistinguishable", None)
    apart = only(compare(table("a", noisy(0)), table("b", noisy(40))))
    assert (apart["verdict"], apart["short"]) == ("better", None)


def test_the_halves_are_students_over_seeds_and_a_normal_one_over_images() -> None:
    chance = np.random.default_rng(4)
    right = (chance.random((SEEDS, 2000)) < np.linspace(0.2, 0.8, SEEDS)[:, None]).astype(float)
    means = right.mean(axis=1)
    student = t.ppf(0.975, SEEDS - 1) * means.std(ddof=1) / SEEDS**0.5
    assert components.seeds_half(right, 0.95) == pytest.approx(student, rel=0.01)
    normal = norm.ppf(0.975) * right.mean(axis=0).std(ddof=1) / 2000**0.5
    assert components.images_half(right, 0.95) == pytest.approx(normal, rel=0.01)
    assert components.seeds_half(right[:1], 0.95) is None


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
    assert comparison.mcnemar(wins, losses) == pytest.approx(expected)


@pytest.mark.parametrize(("wins", "losses"), [(10, 3), (4, 17), (1, 0)])
def test_mcnemar_is_the_binomial_test(wins: int, losses: int) -> None:
    assert comparison.mcnemar(wins, losses) == pytest.approx(binomtest(wins, wins + losses).pvalue)


def test_holm_by_hand() -> None:
    assert comparison.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert comparison.holm([0.9, 0.8]) == [1, 1]
    assert comparison.holm([0.3]) == [0.3]
    assert comparison.holm([]) == []


@pytest.mark.parametrize(
    ("level", "images"), [(0.05, 6), (1 - 0.95, 6), (0.0625, 5), (0.05 / 45, 11)]
)
def test_the_least_split_is_the_first_that_mcnemar_rejects(level: float, images: int) -> None:
    assert comparison.least_split(IMAGES, level) == {
        "images": images,
        "difference": images / IMAGES,
    }
    assert comparison.mcnemar(images, 0) <= level < comparison.mcnemar(images - 1, 0)


def test_a_test_set_smaller_than_the_least_split_can_show_no_difference() -> None:
    assert comparison.least_split(5, 0.05) == {"images": 6, "difference": None}


def test_a_comparison_has_its_settings_and_a_record_for_every_pair_in_order() -> None:
    chance = np.random.default_rng(9)
    found = compare(
        *(table(name, REGIMES["images"](chance)) for name in "dbca"), resamples=150, margin=0.1
    )
    pairs = found.pop("pairs")
    assert found == {
        "images": IMAGES,
        "seeds": SEEDS,
        "confidence": 0.95,
        "resamples": 150,
        "margin": 0.1,
        "least_split": {"images": 6, "difference": 6 / IMAGES},
        "least_split_holm": {"images": 8, "difference": 8 / IMAGES},
    }
    assert [(pair["first"], pair["second"]) for pair in pairs] == list(combinations("dbca", 2))
    assert {tuple(pair) for pair in pairs} == {
        (
            *(
                "first",
                "second",
                "difference",
                "low",
                "high",
                "images_half",
                "seeds_half",
                "probability",
                "wins",
                "losses",
                "mcnemar_p",
                "holm_p",
            ),
            *("verdict", "short", "first_as_good", "second_as_good", "detectable"),
        )
    }
    json.dumps(pairs, allow_nan=False)


def test_one_strategy_has_no_pairs_and_none_has_no_numbers() -> None:
    alone = compare(table("a", np.ones((2, 4), bool)))
    assert (alone["pairs"], alone["images"], alone["seeds"]) == ([], 4, 2)
    assert compare() == {
        **alone,
        "images": 0,
        "seeds": 0,
        "least_split": SMALL,
        "least_split_holm": SMALL,
    }


SMALL = {"images": 6, "difference": None}


def test_one_image_is_enough_to_compare() -> None:
    pair = only(
        compare(table("a", np.array([[True], [True]])), table("b", np.array([[True], [False]])))
    )
    assert pair["difference"] == 0.5
    assert pair["verdict"] == "indistinguishable"


def test_tables_of_different_images_are_refused() -> None:
    right = np.ones((2, 4), bool)
    with pytest.raises(
        ValueError, match=r"the two tables have different ids: a and b do not share 'other/0.jpg'"
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
    sizes, original = [], intervals.resampled

    def watched(images: int, resamples: int) -> Any:
        for chunk in original(images, resamples):
            sizes.append(chunk.size)
            yield chunk

    monkeypatch.setattr(intervals, "resampled", watched)
    right = {
        name: (np.random.default_rng(11).random((2, 20_000)) < 0.9).astype(float) for name in "ab"
    }
    assert comparison.differences(right, 200)["a", "b"].shape == (400,)
    assert len(sizes) > 1 and max(sizes) <= intervals.CELLS


# ---------------------------------------------------------------- recommendation


def verdicts(**of: str) -> dict[str, Any]:
    """A comparison of strategies with `best`; those that are better or worse are named, the rest is
    not told apart.
    """
    pairs = [
        {
            "first": name,
            "second": "best",
            "verdict": verdict,
            **dict.fromkeys(("difference", "low", "high", "probability"), 0.0),
            **dict.fromkeys(("wins", "losses"), 0),
            "first_as_good": name == "twin",
            "second_as_good": False,
        }
        for name, verdict in of.items()
    ]
    return {"pairs": pairs}


def scores(**accuracies: float) -> dict[str, dict[str, float]]:
    return {name: {"accuracy": accuracy, "loss": 0.5} for name, accuracy in accuracies.items()}


def test_the_cheapest_that_is_not_shown_to_be_worse_is_recommended() -> None:
    found = recommend(
        verdicts(cheap="worse", twin="indistinguishable", dear="better"),
        scores(cheap=0.7, twin=0.8, best=0.9, dear=0.85),
        {"cheap": 1, "twin": 2, "best": 3, "dear": 4},
    )
    assert found == {
        "strategy": "twin",
        "best_validation": "best",
        "told_apart_from_best": ["cheap", "dear"],
        "indistinguishable": ["twin"],
        "as_good": ["twin"],
    }


def test_equal_costs_leave_the_one_that_validates_best() -> None:
    found = recommend(
        verdicts(twin="indistinguishable"), scores(twin=0.8, best=0.9), {"twin": 2, "best": 2}
    )
    assert found is not None and found["strategy"] == "best"


def test_equal_validation_accuracies_are_decided_by_the_loss() -> None:
    validation = {
        "twin": {"accuracy": 0.9 + 1e-12, "loss": 0.4},
        "best": {"accuracy": 0.9, "loss": 0.3},
    }
    found = recommend(verdicts(twin="worse"), validation, {"twin": 1, "best": 2})
    assert found is not None and found["best_validation"] == "best"


def test_a_strategy_alone_is_recommended_and_of_none_none() -> None:
    empty: dict[str, Any] = {"pairs": []}
    found = recommend(empty, scores(best=0.9), {"best": 1})
    assert found == {
        "strategy": "best",
        "best_validation": "best",
        "told_apart_from_best": [],
        "indistinguishable": [],
        "as_good": [],
    }
    assert recommend(empty, {}, {}) is None


def test_the_recommendation_does_not_depend_on_who_came_first_in_the_comparison() -> None:
    chance = np.random.default_rng(12)
    tables = [
        table(name, answers(seed=0.1, image=1, rest=0.3, share=share)(chance))
        for name, share in CLOSE
    ]
    operations, validation = {"a": 3, "b": 2, "c": 1}, scores(a=0.9, b=0.8, c=0.7)
    found = recommend(compare(*tables), validation, operations)
    assert found == recommend(compare(*reversed(tables)), validation, operations)
    assert found is not None and found["told_apart_from_best"] == ["c"]


CLOSE = (("a", 0.92), ("b", 0.92), ("c", 0.6))


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
