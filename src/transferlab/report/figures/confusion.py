"""Figure: which class was taken for which."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...data.letters import families
from ..words import counted
from .labels import told_apart
from .sheet import inches, per_row, percent_ticks, shown, write
from .style import DPI, GREY, INK, WIDTH, styled


@styled
def draw(
    predictions: Mapping[str, pd.DataFrame],
    classes: Sequence[str],
    kept: Sequence[str] | None = None,
) -> Figure:
    """One matrix per strategy: images per seed (mean) as numbers, share of the actual class as
    shade.

    Args:
        predictions: Predictions tables by strategy; one without rows is left empty.
        classes: All of them.
        kept: Those that have a row and a column, in this order; all others share the last. Default:
            all classes.
    """
    kept = classes if kept is None else kept
    left_out = len(classes) - len(kept)
    names = _names(classes, kept, left_out)
    most = 6 if len(names) < 4 else 4 if len(names) < 7 else 3 if len(names) < 11 else 2
    columns = per_row(len(predictions), most)
    rows = math.ceil(len(predictions) / columns)
    fonts = families("".join(names))
    # Laid out by hand, in inches: matplotlib's own layout takes seconds for a dozen matrices.
    longest = max(map(inches, names))
    left, right, gap, title = 0.45 + longest, 1.1, 0.12, 0.25
    side = min((WIDTH - left - right) / columns - gap, max(1.6, 0.4 * len(names)))
    cell = side / len(names)
    upright = longest > 0.9 * cell
    below = 0.45 + (longest if upright else 0.1)
    note = 0.25 if left_out else 0
    height = rows * (side + title) + below + note
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    for place, (name, table) in enumerate(predictions.items()):
        x, y = (
            left + (side + gap) * (place % columns),
            height - (side + title) * (place // columns + 1),
        )
        axes = figure.add_axes(
            (x / WIDTH, y / height, side / WIDTH, side / height), title=shown(name, 16)
        )
        shades = _matrix(axes, _counts(table, kept, len(names)), _seeds(table), 72 * cell)
        axes.set_xticks(range(len(names)), [])
        axes.set_yticks(range(len(names)), [])
        if place + columns >= len(predictions):
            axes.set_xticklabels(names, rotation=90 if upright else 0, family=fonts)
            axes.set_xlabel("predicted")
        if place % columns == 0:
            axes.set_yticklabels(names, family=fonts)
            axes.set_ylabel("actual")
    x, tall = left + columns * (side + gap) + 0.05, min(side, 2)
    slot = figure.add_axes(
        (x / WIDTH, (height - title - tall) / height, 0.14 / WIDTH, tall / height)
    )
    bar = figure.colorbar(shades, slot, format=percent_ticks(1), label="share of the\nactual class")
    bar.outline.set_visible(False)
    if left_out:
        text = _chosen(predictions.values(), len(kept), len(classes))
        write(figure, 0.1, height - 0.12, text, fontsize=8, color=GREY)
    return figure


def _chosen(tables: Iterable[pd.DataFrame], kept: int, classes: int) -> str:
    """Which classes are shown."""
    others = "The last row and column hold all others."
    if all((table["label"] == table["predicted"]).all() for table in tables):
        return f"No class is taken for another; {kept} of {classes:,} are shown. {others}"
    return (
        f"The {kept} of {classes:,} classes that are confused most; neighbours are confused with "
        f"each other. {others}"
    )


def _counts(table: pd.DataFrame, kept: Sequence[str], size: int) -> np.ndarray:
    """Predictions by actual and predicted class [size, size]; all but `kept` are the last."""
    places = pd.Index(list(kept))
    actual, predicted = (places.get_indexer(pd.Index(table[it])) for it in ("label", "predicted"))
    counts = np.zeros((size, size))
    np.add.at(counts, (actual, predicted), 1)  # -1, of no class of these, is the last place
    return counts


def _seeds(table: pd.DataFrame) -> int:
    return max(int(table["seed"].nunique()), 1)


def _names(classes: Sequence[str], kept: Sequence[str], left_out: int) -> list[str]:
    apart = told_apart(classes, 22 if left_out else 16)
    names = [apart[classes.index(name)] for name in kept]
    return [*names, counted(left_out, "other class", "other classes")] if left_out else names


def _matrix(axes: Axes, counts: np.ndarray, seeds: int, cell: float) -> Any:
    """One confusion matrix whose cells are `cell` points wide."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if cell > 13:
        for row, column in zip(*np.nonzero(counts), strict=True):
            mean = counts[row, column] / seeds
            text = f"{mean:.0f}" if seeds == 1 or (cell < 20 and mean >= 1) else f"{mean:.1f}"
            white = "white" if shares[row, column] > 0.5 else INK
            axes.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                color=white,
                fontsize=min(9, cell / 2.6),
            )
    return axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
