"""Figures of training: curves over epochs, and over parts of the training images."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from .. import words
from .outlying import outlying
from .sheet import (
    accuracy_ticks,
    axes_at,
    inches,
    logarithmic,
    per_row,
    percent_ticks,
    shown,
    spread_out,
    write,
)
from .style import DPI, GREY, INK, LEADER, WIDTH, Look, looks, styled


@styled
def curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Validation accuracy of all strategies in one panel, or that in training where nothing was set
    aside, and the losses of each in a panel of its own.

    Args:
        histories: `history.csv` by strategy; cells without a number are NaN.
    """
    look = looks(histories)
    columns = per_row(len(histories), 6)
    rows = math.ceil(len(histories) / columns)
    top = max(3, 0.5 + 0.19 * len(histories))
    figure = Figure(figsize=(WIDTH, top + 1.5 * rows + 0.9), dpi=DPI)
    _accuracy_curves(figure, top, histories, look)
    limit = _loss_limit(histories.values())
    left, gap = 0.5 if limit > 0.05 else 0.65, 0.2  # room for the digits of small losses
    width = (WIDTH - left - 0.05 + gap) / columns - gap
    for panel, (name, history) in enumerate(histories.items()):
        column, row = panel % columns, panel // columns
        axes = axes_at(figure, left + (width + gap) * column, top + 0.8 + 1.5 * row, width, 1.05)
        _loss_curves(axes, name, history, look[name], int(width / 0.08))
        axes.set_ylim(0, limit)
        if column:
            axes.set_yticklabels([])
        elif not row:
            axes.set_ylabel("loss")
    note = "epoch      (solid: validation, dotted: training, tick: epoch kept by a seed)"
    write(figure, WIDTH / 2, top + 1.5 * rows + 0.77, note, ha="center")
    return figure


def _accuracy_curves(
    figure: Figure, height: float, histories: Mapping[str, pd.DataFrame], look: Any
) -> None:
    ends: list[tuple[float, str, Look]] = []
    lines: list[tuple[Look, Any, pd.DataFrame]] = []
    validated = any(history["validation_accuracy"].notna().any() for history in histories.values())
    phase = "validation" if validated else "train"
    for name, history in histories.items():
        seeds = 100 * _over_seeds(history, f"{phase}_accuracy")
        if seeds.empty:
            continue
        epochs = int(history["epoch"].max())
        # Lengths differ by a factor of ten: a common axis of epochs would squeeze the short ones
        # into its corner.
        seeds = (
            seeds.set_axis(100 * seeds.index / epochs)
            if epochs
            else seeds.iloc[[0, 0]].set_axis([0, 100])
        )
        lines.append((look[name], look[name].dash if epochs else (0, (6, 3)), seeds))
        lasting = words.counted(epochs, "epoch") if epochs else "solved, no epochs"
        ends.append((float(seeds["mean"].iloc[-1]), f"{shown(name, 18)}  ({lasting})", look[name]))
    axes = axes_at(figure, 0.65, 0.1, WIDTH - 0.65 - _room(ends), height - 0.1)
    for line in lines:
        _band(axes, *line, few=len(lines) < 7)
    axes.set(
        xlim=(0, 100),
        xlabel="training done (share of each strategy's own epochs)",
        ylabel="validation accuracy" if validated else "accuracy in training",
    )
    axes.xaxis.set_major_formatter(percent_ticks())
    accuracy_ticks(axes)
    _from_the_good_ones(axes, ends, [seeds for _, _, seeds in lines], since=25)
    low, high = axes.get_ylim()
    places = [place for place in axes.get_yticks() if low <= place <= high]
    if places[-1] > 100:
        axes.set_yticks([place for place in places if place <= 100])
    _name_ends(axes, ends)


def _from_the_good_ones(
    axes: Axes,
    ends: Sequence[tuple[float, str, Look]],
    lines: Sequence[pd.DataFrame],
    since: float,
) -> None:
    """Let the axis begin where the good curves lie from x = `since` on, and name what ends below
    it.
    """
    far = outlying({text: end for end, text, _ in ends})
    high = min(axes.get_ylim()[1], 101)
    axes.set_ylim(top=high)
    if not far:
        return
    good = [seeds for (_, text, _), seeds in zip(ends, lines, strict=True) if text not in far]
    low = min(float(seeds.loc[seeds.index >= since, "min"].min()) for seeds in good)
    axes.set_ylim(low - 0.06 * (high - low), high)
    accuracy_ticks(axes)
    said = ", ".join(
        f"{text.split('  (')[0]} to {end:.0f} %" for end, text, _ in ends if text in far
    )
    note = f"\N{BLACK DOWN-POINTING TRIANGLE} below this axis: {said}"
    axes.text(0.99, 0.02, note, transform=axes.transAxes, ha="right", color=GREY, fontsize=8)


def _band(axes: Axes, look: Look, dash: Any, seeds: pd.DataFrame, *, few: bool) -> None:
    """One line with its range over the seeds; where there are many lines, bands must not hide
    them.
    """
    x, mean, low, high = seeds.index, seeds["mean"], seeds["min"], seeds["max"]
    axes.fill_between(x, low, high, color=look.color, alpha=0.12 if few else 0.06, linewidth=0)
    axes.plot(x, mean, color=look.color, linestyle=dash)
    if len(x) == 1:
        axes.plot(x, mean, color=look.color, marker=look.marker, clip_on=False)


def _room(ends: Iterable[tuple[float, str, Look]]) -> float:
    """Inches to the right of axes whose lines are named at their ends."""
    return 0.45 + max((inches(text, 9) for _, text, _ in ends), default=0)


def _name_ends(axes: Axes, ends: Sequence[tuple[float, str, Look]]) -> None:
    """Write the text of each (y, text, look) beside the right edge, as near to its line's end as
    others allow.
    """
    tall = axes.get_position().height * axes.get_figure(root=True).get_figheight()  # type: ignore[union-attr]
    low, high = axes.get_ylim()
    ends = [(max(end, low), text, look) for end, text, look in ends]  # of one below the axis
    places = spread_out([end for end, _, _ in ends], low, high, 0.175 / tall * (high - low))
    for (end, text, look), place in zip(ends, places, strict=True):
        line = {
            **LEADER,
            "color": look.color,
            "linestyle": look.dash,
            "linewidth": 1.2,
            "shrinkA": 3,
            "relpos": (0, 0.5),
        }
        axes.annotate(
            text,
            (1, end),
            (1 + 0.25 / (axes.get_position().width * WIDTH), place),
            xycoords=axes.get_yaxis_transform(),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            annotation_clip=False,
            arrowprops=line,
        )


def _loss_curves(axes: Axes, name: str, history: pd.DataFrame, look: Look, letters: int) -> None:
    axes.set_title(shown(name, letters), color=INK)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    solved = not history["epoch"].max()
    axes.xaxis.set_major_locator(
        NullLocator() if solved else MaxNLocator(max(2, letters // 5), integer=True)
    )
    for measure, dash in (("validation_loss", "-"), ("train_loss", (0, (1, 1.2)))):
        seeds = _over_seeds(history, measure)
        if solved and len(seeds):
            axes.axhline(seeds["mean"].iloc[0], color=look.color, linestyle=dash)
            axes.axhspan(
                seeds["min"].iloc[0],
                seeds["max"].iloc[0],
                color=look.color,
                alpha=0.12,
                linewidth=0,
            )
        elif len(seeds):
            axes.plot(
                seeds.index,
                seeds["mean"],
                color=look.color,
                linestyle=dash,
                marker="." * (len(seeds) == 1),
            )
            axes.fill_between(
                seeds.index, seeds["min"], seeds["max"], color=look.color, alpha=0.12, linewidth=0
            )
    kept = history.loc[(history["chosen"] == 1) & (history["epoch"] > 0), "epoch"]
    # Ticks on the lower edge: the epochs that were kept, one per seed.
    edge = axes.get_xaxis_transform()
    axes.plot(
        kept, np.zeros(len(kept)), "|", color=INK, markersize=9, markeredgewidth=1.2, transform=edge
    )


def _over_seeds(table: pd.DataFrame, measure: str, by: str = "epoch") -> pd.DataFrame:
    """Mean, min and max of a measure per epoch; epochs without a finite value are left out."""
    finite = table[np.isfinite(table[measure].astype(float))]
    return pd.DataFrame(finite.groupby(by)[measure].agg(["mean", "min", "max"]))


def _loss_limit(histories: Iterable[pd.DataFrame]) -> float:
    """The largest mean loss, unless one strategy explodes: it may not flatten the others."""
    tops = [
        float(seeds["mean"].max())
        for history in histories
        for seeds in (
            _over_seeds(history, measure) for measure in ("train_loss", "validation_loss")
        )
        if len(seeds)
    ]
    return 1.08 * min(max(tops), 4 * float(np.median(tops))) if tops and max(tops) > 0 else 1.0


@styled
def learning_curve(table: pd.DataFrame) -> Figure:
    """Test accuracy against the number of training images, a line per strategy with its range over
    the seeds.

    Args:
        table: Columns `strategy, fraction, images, seed, accuracy`; rows without a finite accuracy
            are left out.
    """
    table = table[np.isfinite(table["accuracy"].astype(float))]
    groups = {str(name): rows for name, rows in table.groupby("strategy", sort=False)}
    look = looks(groups)
    figure = Figure(figsize=(WIDTH, 3.9), dpi=DPI)
    seeds = {name: 100 * _over_seeds(rows, "accuracy", "fraction") for name, rows in groups.items()}
    ends = [
        (float(rows["mean"].iloc[-1]), shown(name, 18), look[name]) for name, rows in seeds.items()
    ]
    axes = axes_at(figure, 0.65, 0.1, WIDTH - 0.65 - _room(ends), 3.25)
    far = outlying({name: float(rows["mean"].iloc[-1]) for name, rows in seeds.items()})
    for name, rows in groups.items():
        images = rows.groupby("fraction")["images"].mean().to_numpy(float)
        spread, its = seeds[name].set_axis(images), look[name]
        _band(axes, its, its.dash, spread, few=len(groups) < 7)
        dots: dict[str, Any] = {"color": its.color, "markersize": 4.5, "clip_on": name in far}
        axes.plot(images, spread["mean"], its.marker, **dots)
    counts = sorted({round(float(images)) for images in table.groupby("fraction")["images"].mean()})
    axes.set(xscale="log", xlabel="training images", ylabel="test accuracy")
    logarithmic(
        axes,
        [float(count) for count in counts],
        {float(count): f"{count:,}" for count in counts},
        (0.1, 0.1),
    )
    accuracy_ticks(axes)
    _from_the_good_ones(axes, ends, list(seeds.values()), since=0)
    if len(counts) > 1:
        axes.set_xlim(right=counts[-1])
    _name_ends(axes, ends)
    return figure
