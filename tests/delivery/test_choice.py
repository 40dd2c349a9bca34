"""Which model is taken home, and what it calls unsure."""

import numpy as np
import pytest

from transferlab.delivery.choice import best_seed, strategy_of, unsure_below


@pytest.mark.parametrize(
    ("wanted", "recommended", "expected"),
    [
        (None, "probe", ("probe", "")),
        ("frozen", "probe", ("frozen", "")),
        (None, None, (None, "no strategy finished with every seed")),
        ("scratch", "probe", (None, "scratch did not finish with every seed")),
    ],
)
def test_the_named_strategy_is_taken_else_the_recommended_one(
    wanted: str | None, recommended: str | None, expected: tuple[str | None, str]
) -> None:
    assert strategy_of(wanted, recommended, {"probe": {}, "frozen": {}}) == expected


@pytest.mark.parametrize(
    ("seeds", "best"),
    [
        ({"0": (0.9, 0.1), "1": (0.95, 0.4)}, "1"),
        ({"0": (0.9, 0.2), "1": (0.9, 0.1)}, "1"),
        ({"10": (0.9, 0.1), "9": (0.9, 0.1)}, "9"),
    ],
)
def test_the_seed_that_validates_best_is_taken(
    seeds: dict[str, tuple[float, float]], best: str
) -> None:
    facts = {
        seed: {"validation_accuracy": accuracy, "validation_loss": loss}
        for seed, (accuracy, loss) in seeds.items()
    }
    assert best_seed(facts) == best


SURE = np.array([0.99, 0.6, 0.9, 0.7, 0.8])
RIGHT = np.array([True, False, True, True, False])  # by falling probability: r r w r w


@pytest.mark.parametrize(
    ("error", "threshold", "answered", "wrong"),
    [(0.4, 0.6, 5, 2), (0.34, 0.7, 4, 1), (0.3, 0.7, 4, 1), (0.2, 0.9, 2, 0)],
)
def test_the_threshold_is_the_lowest_at_which_few_enough_answers_are_wrong(
    error: float, threshold: float, answered: int, wrong: int
) -> None:
    found = unsure_below(SURE, RIGHT, error)
    assert (found.threshold, found.answered, found.wrong) == (threshold, answered, wrong)
    assert (found.error, found.predictions) == (error, 5)


def test_no_threshold_lies_below_the_least_sure_prediction_that_was_seen() -> None:
    assert unsure_below(SURE, np.ones(5, bool), 0.01).threshold == 0.6


def test_without_a_threshold_every_answer_is_unsure() -> None:
    found = unsure_below(SURE, np.zeros(5, bool), 0.01)
    assert (found.threshold, found.answered, found.wrong) == (None, 0, 0)
    assert not found.gives(np.ones(3)).any()


def test_the_counts_are_those_of_the_rounded_threshold() -> None:
    found = unsure_below(np.array([0.123456, 0.12341]), np.array([True, False]), 0.01)
    assert (found.threshold, found.answered) == (None, 0)
