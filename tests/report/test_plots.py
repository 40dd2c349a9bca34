"""Tables in, figures out."""

import itertools
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from awkward import AWKWARD
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from transferlab.evidence.recommendation import fronts
from transferlab.report.figures import (
    accuracy,
    confusion,
    cost,
    features,
    reliability,
    training,
    verdicts,
)
from transferlab.report.figures.sheet import save
from transferlab.report.figures.style import KNOWN, looks
from transferlab.report.layout import in_two_dimensions, recognised

# strategies, classes, seeds
LARGE = [(12, 20, 2), (2, 130, 1)]
SIZES = [(1, 2, 1), (6, 2, 5), *(pytest.param(*size, marks=pytest.mark.drill) for size in LARGE)]


def names(strategies: int) -> list[str]:
    return ["probe", "frozen", *AWKWARD, *(f"strategy_{i}" for i in range(strategies))][:strategies]


def classes(count: int) -> list[str]:
    return (AWKWARD + [f"class {i}" for i in range(count)])[:count]


def table(labels: list[str], seeds: int, wrong: int = 1) -> pd.DataFrame:
    """Three images of each class, of which the first `wrong` are mistaken for the last class by
    every seed.
    """
    rows = [
        (seed, f"test/{i}.jpg", labels[i // 3])
        for seed in range(seeds)
        for i in range(3 * len(labels))
    ]
    found = pd.DataFrame(rows, columns=["seed", "id", "label"])
    first = [f"test/{i}.jpg" for i in range(wrong)]
    return found.assign(predicted=found["label"].where(~found["id"].isin(first), labels[-1]))


def history(seeds: int, epochs: int) -> pd.DataFrame:
    rows = [
        {
            "seed": seed,
            "epoch": epoch,
            "train_loss": 1 / (epoch + 1),
            "train_accuracy": 1 - 0.4 / (epoch + 1),
            "validation_loss": 1.2 / (epoch + 1) + seed / 50,
            "validation_accuracy": 1 - 0.5 / (epoch + 1) - seed / 50,
            "chosen": int(epoch == epochs),
        }
        for seed in range(seeds)
        for epoch in (range(1, epochs + 1) if epochs else [0])
    ]
    return pd.DataFrame(rows)


def record(mean: float | None = 0.9, **rest: Any) -> dict[str, Any]:
    ends = {"accuracy_low": mean and mean - 0.05, "accuracy_high": mean and mean + 0.05}
    status = "finished" if mean else "diverged at epoch 2 (seed 0, lr 0.01)"
    return {
        "accuracy": mean,
        **ends,
        "operations": 10**12,
        "train_seconds": 10.0,
        "trainable_parameters": 1026,
        "status": status,
        **rest,
    }


def numbers(labels: int) -> dict[str, Any]:
    """Calibration of one strategy: the bins that cannot occur with so many classes are empty."""
    edges = [(i / 10, (i + 1) / 10) for i in range(10)]
    bins = [
        {"low": low, "high": high, "images": 5, "confidence": low + 0.05, "accuracy": low}
        if high > 1 / labels
        else {"low": low, "high": high, "images": 0, "confidence": None, "accuracy": None}
        for low, high in edges
    ]
    measures = {"ece": {"mean": 0.061}, "ece_scaled": {"mean": 0.0249}}
    return {
        "measures": measures,
        "reliability": bins,
        "reliability_scaled": bins,
        "temperature": {"0": 1.3},
    }


def pair(first: str, second: str, difference: float | None) -> dict[str, Any]:
    low, high = (None, None) if difference is None else (difference - 0.03, difference + 0.03)
    clear = difference is not None and abs(difference) > 0.03
    verdict = (
        ("better" if difference and difference > 0 else "worse") if clear else "indistinguishable"
    )
    return {
        "first": first,
        "second": second,
        "difference": difference,
        "low_all": low,
        "high_all": high,
        "verdict": verdict,
    }


def comparison(keys: list[str]) -> dict[str, Any]:
    places = {key: i for i, key in enumerate(keys)}
    pairs = [pair(a, b, (places[b] - places[a]) / 50) for a, b in itertools.combinations(keys, 2)]
    return {"pairs": pairs, "images": 60, "confidence": 0.95}


def growth(keys: list[str], seeds: int) -> pd.DataFrame:
    rows = [
        {
            "strategy": key,
            "fraction": share,
            "images": int(240 * share),
            "seed": seed,
            "accuracy": 0.9 - 0.1 / share / 20,
        }
        for key in keys
        for share in (0.1, 0.5, 1)
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def all_figures(strategies: int, count: int, seeds: int) -> dict[str, Figure]:
    labels, keys = classes(count), names(strategies)
    tables = {key: table(labels, seeds, wrong) for wrong, key in enumerate(keys)}
    summary = {
        key: record(0.9 - i / 50, operations=3 ** (i % 5 + 24), train_seconds=3.0 ** (i % 5))
        for i, key in enumerate(keys)
    }
    points = np.arange(2.0 * count).reshape(count, 2)
    controls = {name: {"accuracy": 0.5 + i / 100} for i, name in enumerate(AWKWARD)}
    return {
        "curves": training.curves(
            {key: history(seeds, 0 if key == "probe" else 3) for key in keys}
        ),
        "accuracy": accuracy.draw(
            summary, {key: dict.fromkeys(range(seeds), 0.9) for key in keys}, controls
        ),
        "cost": cost.draw(summary, fronts(summary)),
        "confusion": confusion.draw(tables, labels),
        "verdicts": verdicts.draw(comparison(keys)),
        "reliability": reliability.draw(dict.fromkeys(keys, numbers(count)) | {"diverged": None}),
        "features": features.draw(dict.fromkeys(keys, (points, np.array(labels)))),
        "learning_curve": training.learning_curve(growth(keys, seeds)),
    }


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.slow
@pytest.mark.parametrize(("strategies", "count", "seeds"), SIZES)
def test_every_figure_is_drawn_at_every_size_without_a_warning(
    tmp_path: Path, strategies: int, count: int, seeds: int
) -> None:
    for name, figure in all_figures(strategies, count, seeds).items():
        save(figure, tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as image:
            image.load()
            assert image.format == "PNG" and image.mode == "RGB"
            assert image.width == 1290
            assert image.height < 4 * image.width


@pytest.mark.slow
def test_the_same_table_gives_the_same_bytes_whatever_the_users_style(tmp_path: Path) -> None:
    for name, figure in all_figures(2, 2, 2).items():
        save(figure, tmp_path / f"{name}.png")
    styles = {
        "font.size": 20,
        "axes.facecolor": "red",
        "figure.dpi": 30,
        "text.color": "blue",
        "svg.hashsalt": "x",
    }
    with matplotlib.rc_context(
        styles | {"svg.fonttype": "none", "savefig.facecolor": "red", "savefig.dpi": 30}
    ):
        for name, figure in all_figures(2, 2, 2).items():
            save(figure, tmp_path / "again.png")
            for suffix in (".png", ".svg"):
                again = (tmp_path / "again.png").with_suffix(suffix).read_bytes()
                assert again == (tmp_path / f"{name}.png").with_suffix(suffix).read_bytes()
    with Image.open(tmp_path / "again.png") as image:
        assert image.info == {}


def test_the_drawing_beside_the_picture_carries_its_own_letters_and_neither_date_nor_version(
    tmp_path: Path,
) -> None:
    some = {"probe": record(0.8)}
    figure = cost.draw(some, fronts(some))
    save(figure, tmp_path / "cost.png")
    first = (tmp_path / "cost.svg").read_bytes()
    save(figure, tmp_path / "cost.png")
    assert (tmp_path / "cost.svg").read_bytes() == first
    drawing = first.decode()
    assert "<text" not in drawing and "font-family" not in drawing
    assert "metadata" not in drawing and matplotlib.__version__ not in drawing
    assert 'style="fill: #ffffff"' in drawing.split("</g>")[0]  # an opaque page, first of all


def test_a_known_strategy_looks_the_same_whichever_others_are_shown() -> None:
    alone = {name: looks([name])[name] for name in KNOWN}
    assert looks(["mine", *reversed(KNOWN), "other"]).items() >= alone.items()
    assert len({(look.color, look.marker) for look in alone.values()}) == 10
    assert len({(look.color, str(look.dash)) for look in alone.values()}) == 10


def test_other_strategies_look_different_from_each_other_until_looks_run_out() -> None:
    some = looks([*KNOWN, *(f"s{i}" for i in range(18))])
    assert len({(look.color, look.marker) for look in some.values()}) == 28
    assert len(looks(f"s{i}" for i in range(40))) == 40


def test_the_probe_is_a_line_across_all_epochs() -> None:
    figure = training.curves({"probe": history(2, 0), "frozen": history(2, 4)})
    top = figure.axes[0]
    assert [list(map(float, line.get_xdata())) for line in top.lines] == [
        [0, 100],
        [25, 50, 75, 100],
    ]  # type: ignore[arg-type]
    assert {"probe  (solved, no epochs)", "frozen  (4 epochs)"} <= set(words(figure))


def test_a_strategy_without_a_finite_value_has_a_panel_and_no_line() -> None:
    nothing = history(1, 3).assign(
        validation_accuracy=np.nan,
        train_accuracy=np.nan,
        validation_loss=np.inf,
        train_loss=np.nan,
        chosen=0,
    )
    empty = pd.DataFrame({column: [] for column in nothing.columns}, dtype=object)
    figure = training.curves({"frozen": nothing, "partial": empty})
    assert {"frozen", "partial"} <= set(words(figure))
    assert not figure.axes[0].lines


def test_without_validation_images_the_curves_are_those_of_training_and_say_so() -> None:
    alone = history(2, 3).assign(validation_accuracy=np.nan, validation_loss=np.nan)
    figure = training.curves({"frozen": alone, "partial": alone})
    upper = figure.axes[0]
    assert upper.get_ylabel() == "accuracy in training"
    (line, _) = upper.lines
    assert np.asarray(line.get_ydata()).tolist() == [80, pytest.approx(260 / 3), 90]


def test_an_exploding_loss_does_not_flatten_the_others() -> None:
    huge = history(1, 3).assign(train_loss=1e9, validation_loss=1e9)
    figure = training.curves({name: history(1, 3) for name in "abc"} | {"huge": huge})
    assert figure.axes[1].get_ylim()[1] < 10


def test_accuracy_keeps_the_order_and_shows_a_diverged_strategy_by_its_status() -> None:
    summary = {"probe": record(0.8), "frozen": record(None), "partial": record(0.9)}
    figure = accuracy.draw(
        summary, {"probe": {0: 0.75, 1: 0.85}, "frozen": {0: 0.5}, "partial": {0: 0.9}}
    )
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == [
        "probe",
        "frozen",
        "partial",
    ]
    assert {"80.0 %   [75.0, 85.0]", "diverged at epoch 2 (seed 0, lr 0.01)"} <= set(words(figure))
    rings = [line for line in figure.axes[0].lines if line.get_markersize() == 4]
    assert [list(map(float, line.get_xdata())) for line in rings] == [[75, 85], [90]]  # type: ignore[arg-type]


def test_cost_leaves_out_what_has_no_accuracy_and_names_the_others_in_both_panels() -> None:
    some = {"probe": record(0.8), "frozen": record(None), "lp_ft": record(0.7)}
    said = words(cost.draw(some, fronts(some)))
    assert [said.count(name) for name in ("probe", "lp_ft", "frozen")] == [1, 1, 0]
    assert {"probe, 10.0 s", "lp_ft, 10.0 s"} <= set(said)


@pytest.mark.parametrize("parameters", [0, 1, 10**12])
def test_cost_has_room_for_any_number_of_parameters(parameters: int) -> None:
    some = {"few": record(0.8, trainable_parameters=parameters), "many": record(0.9)}
    axes = cost.draw(some, fronts(some)).axes[1]
    low, high = axes.get_xlim()
    assert low < max(parameters, 1) < high and low < 1026 < high
    assert [text.get_text() for text in axes.get_xticklabels()] != []


@pytest.mark.parametrize(("operations", "mark"), [(3 * 10**9, "10 G"), (10**19, "10 E")])
def test_operations_are_marked_in_the_unit_a_person_says(operations: int, mark: str) -> None:
    some = {
        "one": record(0.8, operations=operations),
        "ten": record(0.9, operations=operations * 9),
    }
    axes = cost.draw(some, fronts(some)).axes[0]
    assert mark in [text.get_text() for text in axes.get_xticklabels()]


def test_controls_are_named_with_their_accuracy_and_far_ones_at_the_edge() -> None:
    controls = {"near": {"accuracy": 0.86}, "far": {"accuracy": 0.1}, "unknown": {"accuracy": None}}
    figure = accuracy.draw({"probe": record(0.9)}, {"probe": {0: 0.9}}, controls)
    assert {"near 86.0 %", "← far 10.0 %"} <= set(words(figure))
    assert not [word for word in words(figure) if "unknown" in word]
    assert figure.axes[0].get_xlim()[0] > 80


def test_verdicts_show_each_pair_from_both_sides_with_the_better_row_on_top() -> None:
    figure = verdicts.draw(
        {"pairs": [pair("a", "b", -0.1), pair("b", "c", 0.1), pair("a", "c", 0.001)]}
    )
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["b", "a", "c"]
    said = words(figure)
    for text, times in {
        "▲ +10.0": 2,
        "▼ −10.0": 2,
        "≈ +0.1": 1,
        "≈ −0.1": 1,
        "+7.0 to +13.0": 2,
    }.items():
        assert said.count(text) == times, text
    assert (
        "row minus column in points of test accuracy, with its 95 % interval; better rows on top"
        in said
    )


def test_verdicts_leave_out_what_has_no_difference() -> None:
    figure = verdicts.draw({"pairs": [pair("a", "b", 0.1), pair("a", "gone", None)]})
    assert not {"gone", "None"} & set(words(figure))


def test_reliability_says_the_error_before_and_after_and_leaves_out_what_diverged() -> None:
    figure = reliability.draw({"probe": numbers(2), "gone": None, "empty": {"reliability": []}})
    assert [axes.get_title("left") for axes in figure.axes] == ["probe\nECE 6.1 → 2.5 %"]
    _, before, after = figure.axes[0].lines
    assert len(before.get_xdata()) == len(after.get_xdata()) == 5  # type: ignore[arg-type]


def test_features_name_every_class_once_and_stop_after_some_lines() -> None:
    labels = np.array(classes(300))
    figure = features.draw(
        {"before": (np.zeros((300, 2)), labels), "after": (np.ones((300, 2)), labels)}
    )
    assert words(figure).count("class 3") == 1
    assert [word for word in words(figure) if word.startswith("and ") and word.endswith(" more")]
    assert [axes.get_title("left") for axes in figure.axes] == ["before", "after"]


def test_a_layout_is_the_same_every_time_and_keeps_groups_together() -> None:
    rows = np.random.default_rng(0).normal(0, 0.1, (24, 8))
    rows[12:] += 5
    places = in_two_dimensions(rows)
    assert places.shape == (24, 2)
    assert np.array_equal(places, in_two_dimensions(rows))
    middle = [places[:12].mean(axis=0), places[12:].mean(axis=0)]
    near = np.linalg.norm(places[:, None] - np.array(middle)[None], axis=2).argmin(axis=1)
    assert near.tolist() == [0] * 12 + [1] * 12


def test_the_features_of_a_network_that_collapsed_lie_at_one_place() -> None:
    assert not in_two_dimensions(np.full((18, 5), 0.25, np.float32)).any()


def test_good_learning_curves_are_not_pressed_flat_by_a_bad_one_which_is_named() -> None:
    some = growth(["probe", "frozen", "scratch"], 2)
    some.loc[some["strategy"] == "scratch", "accuracy"] -= 0.5
    figure = training.learning_curve(some)
    low, high = figure.axes[0].get_ylim()
    assert 80 < low < 85 and high < 93
    assert any(text.endswith("below this axis: scratch to 40 %") for text in words(figure))


def test_a_learning_curve_has_the_mean_over_seeds_at_every_size() -> None:
    some = growth(["probe", "gone"], 2)
    some.loc[some["strategy"] == "gone", "accuracy"] = np.nan
    some.loc[some["seed"] == 1, "accuracy"] += 0.02
    figure = training.learning_curve(some)
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["24", "120", "240"]
    assert "probe" in words(figure) and "gone" not in words(figure)
    line = figure.axes[0].lines[0]
    assert list(line.get_ydata()) == pytest.approx([86, 90, 90.5])  # type: ignore[arg-type]


@pytest.mark.slow
def test_figures_of_nothing_but_diverged_strategies_say_so_or_are_empty(tmp_path: Path) -> None:
    summary, none = {"frozen": record(None)}, table(["a", "b"], 0)
    nothing = growth([], 0).reindex(columns=growth(["a"], 1).columns)
    figures = {
        "accuracy": accuracy.draw(summary, {"frozen": {}}),
        "cost": cost.draw(summary, fronts(summary)),
        "confusion": confusion.draw({"frozen": none}, ["a", "b"]),
        "verdicts": verdicts.draw({"pairs": []}),
        "reliability": reliability.draw({"frozen": None}),
        "features": features.draw({}),
        "learning_curve": training.learning_curve(nothing),
    }
    for name, figure in figures.items():
        save(figure, tmp_path / f"{name}.png")
    assert "diverged at epoch 2 (seed 0, lr 0.01)" in words(figures["accuracy"])
    assert not [name for name in ("cost", "verdicts") if "frozen" in words(figures[name])]
    lines = [line for name in ("cost", "learning_curve") for line in lines_of(figures[name])]
    assert lines == []
    assert not [word for word in words(figures["confusion"]) if word.isdecimal()]


def lines_of(figure: Figure) -> list[Any]:
    return [line for axes in figure.axes for line in axes.lines]


def test_confusion_counts_images_per_seed() -> None:
    one = table(["ants", "bees"], 2)
    one.loc[1, "predicted"] = "bees"  # a second ant, by the first seed alone
    assert [
        word for word in words(confusion.draw({"probe": one}, ["ants", "bees"])) if "." in word
    ] == [
        "1.5",
        "1.5",
        "3.0",
    ]


def beyond_the_axis(figure: Figure) -> set[Text]:
    """Labels of ticks that matplotlib keeps but does not draw."""
    axis = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    ends = [sorted(one.get_view_interval()) for one in axis]
    ticks = [
        tick
        for one, (a, b) in zip(axis, ends, strict=True)
        for tick in one.get_major_ticks()
        if not a <= tick.get_loc() <= b
    ]
    return {text for tick in ticks for text in (tick.label1, tick.label2)}


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that cover each other, and texts that leave the page (paired with an empty
    one).
    """
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    hidden = beyond_the_axis(figure)
    texts = [
        text for text in figure.findobj(Text) if text.get_text().strip() and text not in hidden
    ]
    # Not a method of each: that of an annotation counts its arrow.
    boxes = [
        (text.get_text(), Text.get_window_extent(text).padded(-1))
        for text in texts
        if text.get_visible()
    ]
    page = figure.bbox
    cut = [
        (text, "")
        for text, box in boxes
        if box.x0 < page.x0 or box.x1 > page.x1 or box.y0 < 0 or box.y1 > page.y1
    ]
    return cut + [
        (a, b) for (a, one), (b, two) in itertools.combinations(boxes, 2) if one.overlaps(two)
    ]


@pytest.mark.parametrize("strategies", [1, 6, pytest.param(12, marks=pytest.mark.drill)])
def test_no_text_is_cut_or_covered_by_another(strategies: int) -> None:
    keys = [*KNOWN, "strategy_with_a_long_name", "犬"][:strategies]
    summary = {
        key: record(
            0.9 - i / 100,
            operations=3 ** (i % 5 + 24),
            train_seconds=3.0 ** (i % 5),
            trainable_parameters=10 ** (i % 3 + 4),
        )
        for i, key in enumerate(keys)
    }
    controls = {
        "majority": {"accuracy": 0.86},
        "imagenet_head": {"accuracy": 0.861},
        "far": {"accuracy": 0.1},
    }
    figures = {
        "accuracy": accuracy.draw(summary, {key: {0: 0.9} for key in keys}, controls),
        "verdicts": verdicts.draw(comparison(keys)),
        "reliability of 2 classes": reliability.draw(dict.fromkeys(keys, numbers(2))),
        "reliability of 12 classes": reliability.draw(dict.fromkeys(keys, numbers(12))),
        "learning curve": training.learning_curve(growth(keys, 2)),
        "curves": training.curves({key: history(2, 0 if key == "probe" else 30) for key in keys}),
        "cost": cost.draw(summary, fronts(summary)),
        "features": features.draw(
            {key: (np.zeros((12, 2)), np.array(classes(12))) for key in keys}
        ),
    }
    found = {name: overlapping(figure) for name, figure in figures.items()}
    assert found == {name: [] for name in figures}


def test_features_are_counted_right_where_their_nearest_others_vote_for_the_class() -> None:
    angles = np.radians([0, 1, 2, 3, 90, 91, 92, 4])  # the last one lies among the others
    points, labels = np.stack([np.cos(angles), np.sin(angles)], 1), np.array(list("aaaabbbb"))
    assert recognised(points * np.arange(1, 9)[:, None], labels, 3) == 7 / 8  # by direction alone
    assert recognised(points[:2], np.array(["a", "b"])) == 0
    assert recognised(np.ones((3, 2)), np.array(["a", "b", "b"])) is None
    tied = np.radians([0, 1, 3])
    two = np.stack([np.cos(tied), np.sin(tied)], 1)
    assert recognised(two, np.array(["a", "a", "b"]), 2) == 2 / 3  # the nearer of two decides


def test_what_is_said_of_features_stands_in_its_panel() -> None:
    layouts = {name: (np.eye(2), np.array(["a", "b"])) for name in ("before", "after")}
    assert "93.4 %" in words(features.draw(layouts, said={"after": "93.4 %"}))
