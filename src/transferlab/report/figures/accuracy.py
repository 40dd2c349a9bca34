"""Figure: test accuracy, a row per strategy."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .. import words
from .outlying import outlying
from .sheet import (
    accuracy_limits,
    axes_at,
    inches,
    percent_places,
    percent_ticks,
    shown,
    with_interval,
    write,
)
from .style import BAD, CONTROL, CONTROL_TEXT, DPI, INK, PALE, WIDTH, Look, looks, styled


@styled
def draw(
    summary: Mapping[str, Mapping[str, Any]],
    seeds: Mapping[str, Mapping[int, float]],
    controls: Mapping[str, Mapping[str, Any]] | None = None,
    pale: Collection[str] = (),
) -> Figure:
    """Test accuracy with its interval, one row per strategy, and a ring for every seed.

    Args:
        summary: `metrics/summary.json`.
        seeds: Test accuracy per seed by strategy, see `reading.seed_accuracies`.
        controls: What no strategy should fall below: `{"accuracy": share}` by name, drawn as
            upright lines. One that would squeeze the strategies into half of the figure is named at
            the edge instead. A strategy far below the others has a mark at the edge, too.
        pale: Strategies that are drawn pale, and their names too.
    """
    look = looks(summary, pale)
    left = 0.2 + max((inches(shown(name, 20), 9) for name in summary), default=0)
    width = WIDTH - left - 1.7
    means = {
        name: 100 * it["accuracy"] for name, it in summary.items() if it["accuracy"] is not None
    }
    far = outlying(means)
    near = {name: record for name, record in summary.items() if name not in far}
    limits = accuracy_limits(near, seeds)
    marks = {
        shown(name, 24): 100 * record["accuracy"]
        for name, record in (controls or {}).items()
        if record.get("accuracy") is not None
    }
    limits, notes = _control_notes(marks, limits, width)
    above = 0.08 + 0.17 * max((level + 1 for *_, level in notes), default=0)
    height = 0.25 + 0.42 * len(summary)
    figure = Figure(figsize=(WIDTH, above + height + 0.5), dpi=DPI)
    axes = axes_at(figure, left, above, width, height)
    for row, (name, record) in enumerate(summary.items()):
        edge = limits[0] + 0.012 * (limits[1] - limits[0]) if name in far else None
        _accuracy_row(axes, row, record, seeds.get(name, {}), look[name], edge=edge)
    _write_controls(figure, axes, notes, (left, above), height)
    axes.set_yticks(range(len(summary)), [shown(name, 20) for name in summary], fontsize=9)
    for label, name in zip(axes.get_yticklabels(), summary, strict=True):
        label.set_color(PALE if name in pale else INK)
    axes.set(xlim=limits, ylim=(len(summary) - 0.4, -0.6))
    left_of_it = "; \N{BLACK LEFT-POINTING TRIANGLE}: left of this axis" if far else ""
    axes.set_xlabel(
        f"test accuracy: mean over seeds with its interval; rings: single seeds{left_of_it}"
    )
    axes.xaxis.set_major_formatter(percent_ticks())
    axes.xaxis.set_major_locator(percent_places(*limits))
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


def _write_controls(
    figure: Figure,
    axes: Axes,
    notes: Sequence[tuple[float | None, str, float, int]],
    corner: tuple[float, float],
    height: float,
) -> None:
    """The lines and texts of `_control_notes`, over axes of this corner and height in inches."""
    left, above = corner
    for x, text, place, level in notes:
        if x is not None:
            ends = [0, 1 + 0.17 * level / height]
            axes.plot([x, x], ends, transform=axes.get_xaxis_transform(), **CONTROL)
        top = above - 0.06 - 0.17 * level
        write(figure, left + place, top, text, va="bottom", **CONTROL_TEXT)


def _accuracy_row(
    axes: Axes,
    row: int,
    record: Mapping[str, Any],
    seeds: Mapping[int, float],
    look: Look,
    *,
    edge: float | None,
) -> None:
    """One strategy; at the left edge where that is given."""
    beside = axes.get_yaxis_transform()
    if record["accuracy"] is None:
        axes.text(0.02, row, shown(record["status"], 80), transform=beside, va="center", color=BAD)
        return
    mean, low, high = with_interval(record)
    text = f"{words.percent(record['accuracy'])}   [{low:.1f}, {high:.1f}]"
    axes.text(1.02, row, text, transform=beside, va="center")
    if edge is not None:
        axes.plot(edge, row, marker="<", color=look.color, markersize=7)
        return
    axes.plot([low, high], [row, row], color=look.color, linewidth=2.2)
    axes.plot(mean, row, marker=look.marker, color=look.color, markersize=7)
    rings: dict[str, Any] = {
        "markersize": 4,
        "markerfacecolor": "none",
        "markeredgewidth": 0.8,
        "alpha": 0.8,
    }
    values = [100 * value for value in seeds.values()]
    axes.plot(values, [row + 0.3] * len(values), "o", color=look.color, clip_on=False, **rings)


def _control_notes(
    controls: Mapping[str, float], limits: tuple[float, float], width: float
) -> tuple[tuple[float, float], list[tuple[float | None, str, float, int]]]:
    """Wider limits, and for each control where its line, the left end of its text (inches) and its
    level are.
    """
    low, high = limits
    room = high - low
    shares = [share for share in controls.values() if low - room <= share <= min(high + room, 100)]
    low, high = (min([low, *(share - 0.03 * room for share in shares)]), max([high, *shares]))
    notes: list[tuple[float | None, str, float, int]] = []
    taken: list[tuple[float, float, int]] = []
    for name, share in sorted(controls.items(), key=lambda item: -item[1]):
        inside = low <= share <= high
        arrow = "" if inside else "← " if share < low else "→ "
        text = f"{arrow}{name} {words.percent(share / 100)}"
        place_of_line = width * min(max((share - low) / (high - low), 0), 1)
        start = min(max(place_of_line - inches(text) / 2, 0), width + 1.6 - inches(text))
        end = start + inches(text) + 0.12
        used = {level for left, right, level in taken if left < end and start < right}
        level = next(level for level in itertools.count() if level not in used)
        taken.append((start, end, level))
        notes.append((share if inside else None, text, start, level))
    return (low, high), notes
