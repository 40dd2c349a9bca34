"""Figures made of photographs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import matplotlib
import matplotlib.text
import numpy as np
import pandas as pd
import pytest
from awkward import AWKWARD
from matplotlib.figure import Figure
from PIL import Image

from transferlab.report.figures import photographs, predicted
from transferlab.report.figures.sheet import save


def table(
    chances: Mapping[str, list[float]], labels: tuple[str, str] = ("ants", "bees")
) -> pd.DataFrame:
    """By image the probability of its true class, the first of two, by each seed."""
    rows = [
        {
            "strategy": "any",
            "seed": seed,
            "id": id,
            "label": labels[0],
            "predicted": labels[0] if p > 0.5 else labels[1],
            f"p_{labels[0]}": p,
            f"p_{labels[1]}": 1 - p,
        }
        for id, ps in chances.items()
        for seed, p in enumerate(ps)
    ]
    return pd.DataFrame(rows)


def photo(height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


def example(strategies: int, label: str = "ants") -> photographs.Example:
    verdicts = {
        f"a_long_strategy_{i}": photographs.Verdict(right=i % 6, seeds=5, probability=0.3)
        for i in range(strategies)
    }
    return photographs.Example(
        id="x", label=label, reason=f"only {label} is right", mistaken_for=label, verdicts=verdicts
    )


def test_examples_are_wrong_for_all_then_right_for_one_then_wrong_for_most() -> None:
    seeds = {"a": [0.9, 0.8, 0.1], "b": [0.2, 0.3, 0.9], "c": [0.1, 0.1, 0.1]}
    right, wrong = seeds["a"], seeds["b"]
    tables = {
        "one": table(
            {"hard": wrong, "single": wrong, "most": right, "easy": right, "hardest": seeds["c"]}
        ),
        "two": table(
            {"hard": wrong, "single": right, "most": wrong, "easy": right, "hardest": seeds["c"]}
        ),
        "three": table(
            {"hard": wrong, "single": wrong, "most": wrong, "easy": right, "hardest": seeds["c"]}
        ),
        "four": table(
            {"hard": wrong, "single": wrong, "most": right, "easy": right, "hardest": seeds["c"]}
        ),
        "five": table(
            {"hard": wrong, "single": wrong, "most": wrong, "easy": right, "hardest": seeds["c"]}
        ),
    }
    chosen = photographs.examples(tables)
    assert [(row.id, row.reason) for row in chosen] == [
        ("hardest", "wrong for every strategy"),
        ("hard", "wrong for every strategy"),
        ("single", "only two is right"),
        ("most", "wrong for 3 of 5 strategies"),
    ]
    assert chosen[2].verdicts["two"] == photographs.Verdict(
        right=2, seeds=3, probability=pytest.approx(0.6)
    )
    assert (chosen[2].label, chosen[2].mistaken_for) == ("ants", "bees")


def test_images_that_all_get_wrong_fill_half_while_there_are_others() -> None:
    hard = {f"hard {i}": [0.1] for i in range(9)}
    tables = {"a": table(hard | {"single": [0.9]}), "b": table(hard | {"single": [0.1]})}
    assert [row.id for row in photographs.examples(tables, 4)] == [
        "hard 0",
        "hard 1",
        "hard 2",
        "single",
    ]
    assert [row.id for row in photographs.examples(tables, 12)][-2:] == ["hard 8", "single"]
    hard_only = {name: rows[rows["id"] != "single"] for name, rows in tables.items()}
    assert [row.id for row in photographs.examples(hard_only, 4)] == [f"hard {i}" for i in range(4)]


def test_strategies_that_alone_are_right_take_turns_with_their_surest_first() -> None:
    tables = {
        "a": table({"a1": [0.6], "a2": [0.9], "a3": [0.8], "b1": [0.1]}),
        "b": table({"a1": [0.1], "a2": [0.1], "a3": [0.1], "b1": [0.6]}),
    }
    assert [row.id for row in photographs.examples(tables)] == ["a2", "b1", "a3", "a1"]


def test_a_tie_of_seeds_is_neither_right_nor_wrong() -> None:
    assert (
        photographs.examples({"a": table({"x": [0.9, 0.1]}), "b": table({"x": [0.1, 0.1]})}) == []
    )


def test_one_strategy_alone_is_not_the_only_one_right() -> None:
    chosen = photographs.examples(
        {"a": table({"x": [0.9], "y": [0.1]}), "diverged": table({"x": [0.9]}).iloc[:0]}
    )
    assert [(row.id, row.reason) for row in chosen] == [("y", "wrong")]


def test_names_of_strategies_stand_whole_beside_a_photograph() -> None:
    verdict = photographs.Verdict(right=0, seeds=5, probability=0.3)
    row = replace(example(1), verdicts={"nearest_mean": verdict})
    assert "nearest_mean" in words(photographs.gallery([photo()], [row]))


def test_there_may_be_no_example_and_the_gallery_says_so(tmp_path: Path) -> None:
    assert photographs.examples({}) == []
    figure = photographs.gallery([], photographs.examples({"a": table({"x": [0.9]})}))
    save(figure, tmp_path / "gallery.png")
    assert "There is no test image that most strategies get wrong." in words(figure)


@pytest.mark.parametrize(
    ("right", "said"), [(5, ["✓", "probe"]), (2, ["◐", "probe 2/5"]), (0, ["✗", "probe"])]
)
def test_a_verdict_says_who_was_right_and_how_sure(right: int, said: list[str]) -> None:
    verdict = photographs.Verdict(right=right, seeds=5, probability=0.876)
    row = photographs.Example(
        id="x", label="ants", reason="why", mistaken_for="bees", verdicts={"probe": verdict}
    )
    assert {"why", "ants", "seen as bees", "88 %", *said} <= set(
        words(photographs.gallery([photo()], [row]))
    )


def figures(strategies: int) -> dict[str, Figure]:
    rows = [example(strategies, label) for label in AWKWARD]
    return {
        "gallery": photographs.gallery([photo()] * len(rows), rows),
        "attributions": photographs.attributions(
            [photo(30, 20)] * 8, [np.eye(7)] * 8, [f"{a}\nbees, 0.9" for a in AWKWARD]
        ),
        "views": photographs.views([photo(16, 16)] * 2, [[photo(16, 16)] * 4, [photo(16, 16)]]),
    }


@pytest.mark.slow
@pytest.mark.parametrize("strategies", [1, pytest.param(10, marks=pytest.mark.drill)])
def test_every_figure_is_drawn_without_a_warning_and_the_same_every_time(
    tmp_path: Path, strategies: int
) -> None:
    for name, figure in figures(strategies).items():
        save(figure, tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as image:
            assert (image.width, image.mode) == (1032, "RGB")
    for name, figure in figures(strategies).items():
        save(figure, tmp_path / "again.png")
        for suffix in (".png", ".svg"):
            first = (tmp_path / name).with_suffix(suffix).read_bytes()
            assert (tmp_path / "again").with_suffix(suffix).read_bytes() == first


@pytest.mark.parametrize("strategies", [2, 12])
def test_nothing_beside_a_photograph_leaves_its_cell(strategies: int) -> None:
    figure = photographs.gallery([photo()] * 3, [example(strategies)] * 3)
    figure.draw_without_rendering()
    third = figure.bbox.width / 3
    boxes = [text.get_window_extent() for text in figure.texts[:-1]]
    assert all(box.x0 // third == (box.x1 - 1) // third and box.y0 > 0 for box in boxes)


def test_a_heat_map_leaves_cold_places_as_they_are() -> None:
    image = photo(64, 96)
    strength = np.zeros((4, 4))
    strength[0, 0], strength[3, 3] = 7, -9
    warm = photographs.heated(image, strength)
    square = image[:, 16:80]
    assert warm.shape == (64, 64, 3) and warm.dtype == np.uint8
    assert np.array_equal(warm[32:], square[32:]) and np.array_equal(warm[:, 32:], square[:, 32:])
    assert np.abs(warm[:8, :8].astype(int) - (252, 255, 164)).max() <= 0.25 * 255 + 1
    assert np.array_equal(photographs.heated(image, np.full((4, 4), np.nan)), square)


def test_views_say_which_is_which() -> None:
    said = words(photographs.views([photo(8, 8)], [[photo(8, 8)] * 3]))
    assert {"test view", "training views, by chance and different every time"} <= set(said)


def test_few_images_are_taken_evenly_from_all_and_no_more_than_there_are() -> None:
    assert predicted.evenly([str(i) for i in range(11)], 3) == ["0", "5", "10"]
    assert predicted.evenly(["a", "b"], 6) == ["a", "b"]
    assert predicted.evenly([]) == []


def test_what_each_strategy_says_stands_below_each_image() -> None:
    said = {"frozen": [("ants", 0.99), ("bees", 0.57)], "probe": [("ants", 1.0), ("ants", 0.6)]}
    figure = predicted.draw([photo(), photo()], ["ants", "ants"], said)
    shown = words(figure)
    assert [text for text in shown if "%" in text] == [
        *("✓ ants 99 %", "✓ ants 100 %"),
        *("✗ bees 57 %", "✓ ants 60 %"),
    ]
    assert {"frozen", "probe"} <= set(shown)
    assert shown.count("ants") == 2


def test_classes_whose_long_names_end_differently_are_told_apart_below_images() -> None:
    names = ["a species of the order 01", "a species of the order 02"]
    shown = words(predicted.draw([photo(), photo()], names, {"probe": [(it, 0.5) for it in names]}))
    assert [text for text in shown if "\u2026" in text] == [
        *("a specie\u2026r 01", "\u2713 a spe\u202601 50 %"),
        *("a specie\u2026r 02", "\u2713 a spe\u202602 50 %"),
    ]


def test_awkward_names_are_drawn_below_images_without_a_warning(tmp_path: Path) -> None:
    said = {f"a_long_strategy_{name}": [(name, 0.5)] * 6 for name in AWKWARD}
    save(predicted.draw([photo()] * 6, AWKWARD[:6], said), tmp_path / "predicted.png")
    with Image.open(tmp_path / "predicted.png") as image:
        assert image.width == 1032
