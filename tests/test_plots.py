"""Tables in, figures out."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from transferlab import plots

SIZES = [(1, 2, 1), (6, 2, 5), (12, 20, 2), (2, 130, 1)]  # strategies, classes, seeds
AWKWARD = ["$x^", "<img src=x>", "犬", "a\nb", "", "very long class name that never ends", "_", "%d {}"]


def names(strategies: int) -> list[str]:
    return ["probe", "frozen", *(f"strategy_{i}" for i in range(strategies))][:strategies]


def classes(count: int) -> list[str]:
    return (AWKWARD + [f"class {i}" for i in range(count)])[:count]


def table(labels: list[str], seeds: int, wrong: int = 1) -> pd.DataFrame:
    """Three images of each class, of which the first `wrong` are mistaken for the last class by every seed."""
    rows = [(seed, f"test/{i}.jpg", labels[i // 3]) for seed in range(seeds) for i in range(3 * len(labels))]
    found = pd.DataFrame(rows, columns=["seed", "id", "label"])
    first = [f"test/{i}.jpg" for i in range(wrong)]
    return found.assign(predicted=found["label"].where(~found["id"].isin(first), labels[-1]))


def history(seeds: int, epochs: int) -> pd.DataFrame:
    rows = [
        {
            "seed": seed,
            "epoch": epoch,
            "train_loss": 1 / (epoch + 1),
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
    return {"accuracy": mean, **ends, "train_seconds": 10.0, "trainable_parameters": 1026, "status": status, **rest}


def all_figures(strategies: int, count: int, seeds: int) -> dict[str, Figure]:
    labels, keys = classes(count), names(strategies)
    tables = {key: table(labels, seeds, wrong) for wrong, key in enumerate(keys)}
    summary = {key: record(0.9 - i / 50, train_seconds=3.0 ** (i % 5)) for i, key in enumerate(keys)}
    rows = plots.examples(tables)
    return {
        "curves": plots.curves({key: history(seeds, 0 if key == "probe" else 3) for key in keys}),
        "accuracy": plots.accuracy(summary, {key: dict.fromkeys(range(seeds), 0.9) for key in keys}),
        "cost": plots.cost(summary),
        "confusion": plots.confusion(tables, labels),
        "predictions": plots.prediction_grid([np.zeros((20, 30, 3), np.uint8)] * len(rows), rows),
    }


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


@pytest.mark.parametrize(("strategies", "count", "seeds"), SIZES)
def test_every_figure_is_drawn_at_every_size_without_a_warning(
    tmp_path: Path, strategies: int, count: int, seeds: int
) -> None:
    for name, figure in all_figures(strategies, count, seeds).items():
        plots.save(figure, tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as image:
            image.load()
            assert image.format == "PNG" and image.mode == "RGB"
            assert image.width in (1032, 1290)
            assert image.height < 4 * image.width


def test_the_same_table_gives_the_same_bytes_whatever_the_users_style(tmp_path: Path) -> None:
    for name, figure in all_figures(2, 2, 2).items():
        plots.save(figure, tmp_path / f"{name}.png")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "figure.dpi": 30, "text.color": "blue"}):
        for name, figure in all_figures(2, 2, 2).items():
            plots.save(figure, tmp_path / "again.png")
            assert (tmp_path / "again.png").read_bytes() == (tmp_path / f"{name}.png").read_bytes()
    with Image.open(tmp_path / "again.png") as image:
        assert image.info == {}


def test_a_known_strategy_looks_the_same_whichever_others_are_shown() -> None:
    alone = {name: plots.looks([name])[name] for name in plots.KNOWN}
    assert plots.looks(["mine", *reversed(plots.KNOWN), "other"]).items() >= alone.items()
    assert len({look.color for look in alone.values()}) == len(plots.KNOWN)


def test_other_strategies_look_different_from_each_other_until_looks_run_out() -> None:
    some = plots.looks([*plots.KNOWN, *(f"s{i}" for i in range(14))])
    assert len({(look.color, look.marker) for look in some.values()}) == 21
    assert len(plots.looks(f"s{i}" for i in range(40))) == 40


def test_the_probe_is_a_line_across_all_epochs() -> None:
    figure = plots.curves({"probe": history(2, 0), "frozen": history(2, 4)})
    top = figure.subfigs[0].axes[0]
    assert [list(map(float, line.get_xdata())) for line in top.lines] == [[0, 100], [25, 50, 75, 100]]  # type: ignore[arg-type]
    assert {"probe  (solved, no epochs)", "frozen  (4 epochs)"} <= set(words(figure))


def test_a_strategy_without_a_finite_value_has_a_panel_and_no_line() -> None:
    nothing = history(1, 3).assign(validation_accuracy=np.nan, validation_loss=np.inf, train_loss=np.nan, chosen=0)
    empty = pd.DataFrame({column: [] for column in nothing.columns}, dtype=object)
    figure = plots.curves({"frozen": nothing, "partial": empty})
    assert {"frozen", "partial"} <= set(words(figure))
    assert not figure.subfigs[0].axes[0].lines


def test_an_exploding_loss_does_not_flatten_the_others() -> None:
    huge = history(1, 3).assign(train_loss=1e9, validation_loss=1e9)
    figure = plots.curves({name: history(1, 3) for name in "abc"} | {"huge": huge})
    assert figure.subfigs[1].axes[0].get_ylim()[1] < 10


def test_accuracy_keeps_the_order_and_shows_a_diverged_strategy_by_its_status() -> None:
    summary = {"probe": record(0.8), "frozen": record(None), "partial": record(0.9)}
    figure = plots.accuracy(summary, {"probe": {0: 0.75, 1: 0.85}, "frozen": {0: 0.5}, "partial": {0: 0.9}})
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["probe", "frozen", "partial"]
    assert {"80.0 %   [75.0, 85.0]", "diverged at epoch 2 (seed 0, lr 0.01)"} <= set(words(figure))
    rings = [line for line in figure.axes[0].lines if line.get_markersize() == 4]
    assert [list(map(float, line.get_xdata())) for line in rings] == [[75, 85], [90]]  # type: ignore[arg-type]


def test_cost_leaves_out_what_has_no_accuracy() -> None:
    figure = plots.cost({"probe": record(0.8), "frozen": record(None)})
    assert [word for word in words(figure) if "trainable" in word] == ["probe\n1,026 trainable"]


def test_figures_of_nothing_but_diverged_strategies_are_drawn(tmp_path: Path) -> None:
    summary, none = {"frozen": record(None)}, table(["a", "b"], 0)
    figures = [
        plots.accuracy(summary, {"frozen": {}}),
        plots.cost(summary),
        plots.confusion({"frozen": none}, ["a", "b"]),
    ]
    for figure in [*figures, plots.prediction_grid([], plots.examples({"frozen": none}))]:
        plots.save(figure, tmp_path / "figure.png")


def test_confusion_counts_images_per_seed() -> None:
    one = table(["ants", "bees"], 2)
    one.loc[1, "predicted"] = "bees"  # a second ant, by the first seed alone
    assert [word for word in words(plots.confusion({"probe": one}, ["ants", "bees"])) if "." in word] == [
        "1.5",
        "1.5",
        "3.0",
    ]


def test_cost_labels_do_not_cover_each_other() -> None:
    figure = plots.cost({f"s{i}": record(0.9 + i / 1000) for i in range(5)})
    figure.draw_without_rendering()
    boxes = [
        text.get_window_extent() for text in figure.findobj(matplotlib.text.Text) if "trainable" in text.get_text()
    ]
    assert len(boxes) == 5
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


def test_examples_begin_with_the_most_mistaken_and_end_with_classes_in_turn() -> None:
    tables = {"a": table(["x", "y", "z"], 2, 1), "b": table(["x", "y", "z"], 2, 2)}
    chosen = plots.examples(tables, 6)
    assert [example.id for example in chosen] == [f"test/{i}.jpg" for i in (0, 1, 2, 3, 6, 4)]
    assert [example.label for example in chosen] == ["x", "x", "x", "y", "z", "y"]
    assert chosen[1].verdicts == {
        "a": plots.Verdict(right=2, seeds=2, mistaken_for=None),
        "b": plots.Verdict(right=0, seeds=2, mistaken_for="z"),
    }


@pytest.mark.parametrize("wrong", [0, 3, 9])
def test_examples_fill_up_where_one_kind_is_rare(wrong: int) -> None:
    assert len(plots.examples({"a": table(["x", "y", "z"], 1, wrong)}, 6)) == 6


@pytest.mark.parametrize(
    ("right", "said"),
    [
        (5, "\N{CHECK MARK} probe"),
        (2, "\N{CIRCLE WITH LEFT HALF BLACK} probe: 2 of 5"),
        (0, "\N{BALLOT X} probe: bees"),
    ],
)
def test_a_verdict_says_who_was_right(right: int, said: str) -> None:
    verdict = plots.Verdict(right=right, seeds=5, mistaken_for="bees")
    row = plots.Example(id="x", label="ants", verdicts={"probe": verdict})
    assert {"ants", said} <= set(words(plots.prediction_grid([np.zeros((4, 4, 3), np.uint8)], [row])))


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (1026, "1,026"), (131_842, "132 k"), (11_177_538, "11.2 M"), (2_000_000_000, "2 G")]
)
def test_parameters_are_counted_in_the_unit_a_person_says(count: int, text: str) -> None:
    assert plots.amount(count) == text
