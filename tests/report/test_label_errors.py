"""Labels that models contradict confidently, and no others."""

import numpy as np
import pandas as pd
import pytest

from transferlab.report.label_errors import candidates

CLASSES = ["ants", "bees", "wasps"]


def table(labels: list[str], chances: np.ndarray) -> pd.DataFrame:
    """Predictions [S, N, 3] of images 0 to N - 1."""
    rows = []
    for seed, seen in enumerate(chances):
        for i, (label, given) in enumerate(zip(labels, seen, strict=True)):
            row = {"strategy": "probe", "seed": seed, "id": f"{i}.jpg", "label": label}
            row |= {"predicted": CLASSES[int(given.argmax())]}
            rows.append(row | {f"p_{name}": p for name, p in zip(CLASSES, given, strict=True)})
    return pd.DataFrame(rows)


def sure(true: list[int], chance: np.random.Generator, seeds: int = 3) -> np.ndarray:
    """Probabilities of models that see the true class with 60 to 95 %."""
    share = chance.uniform(0.6, 0.95, size=(seeds, len(true), 1))
    right = np.eye(3)[true]
    return share * right + (1 - share) * (1 - right) / 2


def test_planted_flips_are_found_and_nothing_else() -> None:
    chance = np.random.default_rng(0)
    true = [i % 3 for i in range(300)]
    flipped = [4, 77, 150, 299]
    labels = [CLASSES[(kind + (i in flipped)) % 3] for i, kind in enumerate(true)]
    chances = sure(true, chance)
    chances[:, flipped] = 0.02 + 0.94 * np.eye(3)[[true[i] for i in flipped]]
    found = candidates(table(labels, chances))
    assert {it.id for it in found} == {f"{i}.jpg" for i in flipped}
    assert all(CLASSES.index(it.suggested) == true[int(it.id[:-4])] for it in found)
    gaps = [it.suggested_probability - it.label_probability for it in found]
    assert gaps == sorted(gaps, reverse=True)


def test_a_mistake_of_low_probability_is_no_candidate() -> None:
    """All of ants are seen with 0.9 but one, which is hardly a bee."""
    chances = np.array([[[0.9, 0.05, 0.05]] * 9 + [[0.35, 0.4, 0.25]] + [[0.1, 0.8, 0.1]] * 5])
    assert candidates(table(["ants"] * 10 + ["bees"] * 5, chances)) == []


def test_a_class_is_confident_from_its_own_mean_on() -> None:
    """Models that are less sure of bees need less for a bee."""
    chances = np.array([[[0.9, 0.05, 0.05]] * 9 + [[0.35, 0.5, 0.15]] + [[0.3, 0.45, 0.25]] * 5])
    (found,) = candidates(table(["ants"] * 10 + ["bees"] * 5, chances))
    assert (found.id, found.label, found.suggested) == ("9.jpg", "ants", "bees")
    assert (found.label_probability, found.suggested_probability) == pytest.approx((0.35, 0.5))


def test_without_predictions_there_is_no_candidate() -> None:
    assert candidates(table([], np.zeros((0, 0, 3)))) == []
