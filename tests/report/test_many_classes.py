"""Figures of many classes and of strategies that lie far apart."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from transferlab.report.confused import ALL, SOME, confusions, most_confused
from transferlab.report.figures import accuracy, confusion, cost, features
from transferlab.report.figures.labels import told_apart
from transferlab.report.figures.outlying import outlying
from transferlab.report.figures.sheet import percent_places, save


@pytest.mark.parametrize(
    ("names", "cut"),
    [
        (["ant", "bee"], ["ant", "bee"]),
        (["a species 01", "a species 02"], ["a spe\u2026 01", "a spe\u2026 02"]),
        (["beginning one", "other one"], ["beginnin\u2026", "other one"]),
        (
            ["same" * 9 + "x" + "same" * 9, "same" * 9 + "y" + "same" * 9],
            ["1 samesa\u2026", "2 samesa\u2026"],
        ),
    ],
)
def test_labels_are_short_and_no_two_are_alike(names: list[str], cut: list[str]) -> None:
    assert told_apart(names, 9) == cut


def table(classes: list[str], wrong: dict[int, int]) -> pd.DataFrame:
    """Two images of each class; `wrong` says for a class which one it is taken for."""
    rows = [
        ("it", 0, f"{place}/{image}", name, classes[wrong.get(place, place)])
        for place, name in enumerate(classes)
        for image in range(2)
    ]
    return pd.DataFrame(rows, columns=["strategy", "seed", "id", "label", "predicted"])


NAMES = [f"a species with quite a long name {place}" for place in range(1000)]


def test_of_many_classes_those_that_are_confused_are_shown_side_by_side() -> None:
    wrong = {3: 700, 700: 3, 50: 900, 12: 13}
    tables = {
        "best": table(NAMES, wrong),
        "poor": table(NAMES, {place: 1 for place in range(1000)}),
    }
    kept = most_confused(tables, NAMES, "best")
    assert len(kept) == SOME and len(set(kept)) == SOME
    assert {NAMES[place] for place in (3, 700, 50, 900, 12, 13)} <= set(kept)
    assert abs(kept.index(NAMES[3]) - kept.index(NAMES[700])) == 1
    assert confusions(tables["best"], NAMES).sum() == 8
    assert most_confused(tables, NAMES[:ALL], "best") == NAMES[:ALL]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def test_a_matrix_of_many_classes_says_what_it_leaves_out() -> None:
    tables = {"best": table(NAMES, {3: 700})}
    kept = most_confused(tables, NAMES, "best")
    figure = confusion.draw(tables, NAMES, kept)
    matrix: Any = figure.axes[0].images[0].get_array()
    assert matrix.shape == (SOME + 1, SOME + 1)
    assert matrix[kept.index(NAMES[3]), kept.index(NAMES[700])] == 1
    assert "985 other classes" in texts(figure)
    assert any(
        text.startswith("The 15 of 1,000 classes that are confused most") for text in texts(figure)
    )


def test_a_matrix_without_a_mistake_says_that_nothing_is_confused() -> None:
    names = [f"class {number}" for number in range(20)]
    table = pd.DataFrame({"label": names, "predicted": names, "seed": 0})
    assert most_confused({"probe": table}, names, "probe") == names[:15]
    figure = confusion.draw({"probe": table}, names, names[:15])
    said = "No class is taken for another; 15 of 20 are shown. The last row and column hold all"
    assert any(text.startswith(said) for text in texts(figure))


@pytest.mark.parametrize(("low", "first"), [(99.1, 99.2), (94.0, 94)])
def test_an_axis_of_accuracies_has_no_mark_beyond_all_of_them(low: float, first: float) -> None:
    marks = percent_places(low, 100.3).tick_values(low, 100.3)
    assert min(mark for mark in marks if mark >= low) == pytest.approx(first) and max(marks) == 100


def test_images_of_other_classes_are_grey_and_counted_in_the_legend() -> None:
    points = np.arange(60.0).reshape(30, 2)
    labels = np.array(NAMES[:30])
    figure = features.draw({"before": (points, labels)}, NAMES[4:6])
    assert "28 other classes" in texts(figure)
    assert len(figure.axes[0].lines[0].get_xdata()) == 28


@pytest.mark.parametrize(
    ("accuracies", "far"),
    [
        ({"a": 96, "b": 97, "c": 98, "scratch": 63}, ["scratch"]),
        ({"a": 60, "b": 97, "c": 98, "scratch": 63}, []),
        ({"a": 96, "scratch": 63}, []),
        ({"a": 96, "b": 94, "c": 88}, []),
        ({"a": 90, "b": 70, "c": 50, "d": 30}, []),
        ({}, []),
    ],
)
def test_far_below_is_a_minority_behind_the_widest_gap(
    accuracies: dict[str, float], far: list[str]
) -> None:
    assert outlying(accuracies) == far


def test_the_axis_of_accuracies_fits_the_good_strategies_and_the_others_are_named(
    tmp_path: Path,
) -> None:
    means = {"a": 0.96, "b": 0.97, "c": 0.98, "scratch": 0.63}
    summary = {
        name: {"accuracy": mean, "accuracy_low": mean - 0.02, "accuracy_high": mean + 0.01}
        for name, mean in means.items()
    }
    figure = accuracy.draw(summary, {name: {0: mean} for name, mean in means.items()})
    low, high = figure.axes[0].get_xlim()
    assert 90 < low < 94 and high > 98
    assert "63.0 %   [61.0, 64.0]" in texts(figure)
    assert any("left of this axis" in text for text in texts(figure))
    save(figure, tmp_path / "it.png")


@pytest.mark.parametrize("parameters", [1026, 2562, 7000, 10**6])
def test_equal_costs_still_have_an_axis_of_several_ticks(parameters: int) -> None:
    record = {"accuracy": 0.9, "accuracy_low": 0.8, "accuracy_high": 0.95, "train_seconds": 3.0}
    record |= {"trainable_parameters": parameters, "operations": 10**9}
    figure = cost.draw(
        {"a": record, "b": record}, {"operations": ["a"], "trainable_parameters": ["a"]}
    )
    for axes in figure.axes:
        low, high = axes.get_xlim()
        assert sum(low <= tick <= high for tick in axes.get_xticks()) > 1
