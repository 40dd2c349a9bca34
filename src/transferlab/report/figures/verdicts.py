"""Figure: every pair of strategies."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from .. import words
from .sheet import axes_at, inches, shown, write
from .style import BETTER, DPI, INK, NEITHER, PALE, WIDTH, WORSE, styled

MARKS = {"better": "\N{BLACK UP-POINTING TRIANGLE}", "worse": "\N{BLACK DOWN-POINTING TRIANGLE}"}
MARKS["indistinguishable"] = "\N{ALMOST EQUAL TO}"


@styled
def draw(comparison: Mapping[str, Any]) -> Figure:
    """Every strategy against every other: the difference in points with its interval, and what may
    be said of it.

    Args:
        comparison: `pairs` with `first, second, difference, low_all, high_all` (accuracy of the
            first minus that of the second, as a share) and `verdict` from the first's view: better,
            worse or indistinguishable; `confidence`; `may_be_best`, of which all others have pale
            names.
    """
    views = _both_views(comparison["pairs"])
    names = _best_first(views)
    figure, axes, cell = _square_of(names)
    most = max((abs(view["difference"]) for view in views.values()), default=0) or 1
    shades = np.full((len(names), len(names), 3), to_rgb("#DADADA"))
    for (row, name), (column, other) in itertools.product(enumerate(names), enumerate(names)):
        if view := views.get((name, other)):
            shades[row, column] = _shade(view["verdict"], abs(view["difference"]) / most)
            _cell(axes, column + 0.5, row + 0.5, view, cell)
    if names:
        axes.pcolormesh(shades, edgecolors="white", linewidth=1)
    able = comparison.get("may_be_best", names)
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        for name, label in zip(names, labels, strict=True):
            label.set_color(INK if name in able else PALE)
    _verdict_legend(figure, float(comparison.get("confidence", 0.95)))
    return figure


def _both_views(pairs: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Each pair from the view of its first and of its second; pairs without a difference are left
    out.
    """
    other = {"better": "worse", "worse": "better"}
    views: dict[tuple[str, str], Mapping[str, Any]] = {}
    for pair in pairs:
        if pair["difference"] is None or not math.isfinite(pair["difference"]):
            continue
        first, second, verdict = pair["first"], pair["second"], pair["verdict"]
        seen = {"difference": pair["difference"], "verdict": verdict}
        views[first, second] = {**seen, "low": pair["low_all"], "high": pair["high_all"]}
        turned = {
            "difference": -pair["difference"],
            "low": _minus(pair["high_all"]),
            "high": _minus(pair["low_all"]),
        }
        views[second, first] = {**turned, "verdict": other.get(verdict, verdict)}
    return views


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _best_first(views: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
    """Strategies by their mean difference from the others; ties keep the order of the pairs."""
    found: dict[str, list[float]] = {}
    for (name, _), view in views.items():
        found.setdefault(name, []).append(view["difference"])
    return sorted(found, key=lambda name: -sum(found[name]) / len(found[name]))


def _square_of(names: Sequence[str]) -> tuple[Figure, Axes, float]:
    """Empty matrix with the names above and beside it, and the width of a cell in inches."""
    names = [shown(name, 16) for name in names]
    longest = max((inches(name) for name in names), default=1)
    left, count = longest + 0.15, max(len(names), 1)
    cell = min((WIDTH - left - 0.1) / count, 1.15)
    upright = longest > cell - 0.06
    above, row = (longest if upright else 0.15) + 0.1, min(max(0.56 * cell, 0.4), 0.5)
    figure = Figure(figsize=(WIDTH, above + row * count + 0.65), dpi=DPI)
    axes = axes_at(figure, left, above, cell * count, row * count)
    axes.set(xlim=(0, count), ylim=(count, 0))
    axes.set_xticks(np.arange(len(names)) + 0.5, names, rotation=90 if upright else 0)
    axes.set_yticks(np.arange(len(names)) + 0.5, names)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    return figure, axes, cell


def _shade(verdict: str, strength: float) -> tuple[float, float, float]:
    """Paler for smaller differences, and never so dark that ink on it is hard to read."""
    if verdict not in MARKS or verdict == "indistinguishable":
        return to_rgb(NEITHER)
    share = 0.25 + 0.4 * strength
    red, green, blue = (
        1 - share * (1 - part) for part in to_rgb(BETTER if verdict == "better" else WORSE)
    )
    return red, green, blue


def _cell(axes: Axes, x: float, y: float, view: Mapping[str, Any], width: float) -> None:
    wide = width > 0.7
    text = f"{MARKS.get(view['verdict'], '?')} {words.signed(view['difference'])}"
    axes.text(x, y - 0.2, text, ha="center", va="center", fontsize=8.5 if wide else 7.5)
    if view["low"] is not None and view["high"] is not None:
        low, high = words.signed(view["low"]), words.signed(view["high"])
        interval = f"{low} to {high}" if width > 0.85 else f"{low}, {high}"
        # of two numbers with two digits, decimals matter least
        if inches(interval, 6) > width - 0.12:
            interval = " to ".join(words.signed(view[end], 0) for end in ("low", "high"))
        size = min(7, 6 * (width - 0.12) / inches(interval, 6))
        axes.text(x, y + 0.22, interval, ha="center", va="center", fontsize=size)


def _verdict_legend(figure: Figure, confidence: float) -> None:
    height = figure.get_figheight()
    text = (
        f"row minus column in points of test accuracy, with its {100 * confidence:g} % "
        "interval; better rows on top"
    )
    write(figure, 0.1, height - 0.42, text, fontsize=8)
    left = 0.1
    says = {
        "better": "row is better",
        "worse": "row is worse",
        "indistinguishable": "cannot be told apart",
    }
    for verdict, text in says.items():
        box = {"facecolor": _shade(verdict, 0.6), "edgecolor": "none", "pad": 2.5}
        write(figure, left + 0.04, height - 0.16, MARKS[verdict], fontsize=8, bbox=box)
        write(figure, left + 0.24, height - 0.16, text, fontsize=8)
        left += 0.24 + inches(text) + 0.3
