"""Figure: accuracy against what it costs."""

import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from ...evidence.records import Front
from .. import words
from .outlying import outlying
from .sheet import (
    WHOLE,
    accuracy_limits,
    accuracy_ticks,
    axes_at,
    logarithmic,
    shown,
    spread_out,
    with_interval,
    write,
)
from .style import DPI, GREY, LEADER, PALE, WIDTH, looks, styled


@styled
def draw(
    summary: Mapping[str, Mapping[str, Any]], front: Front, pale: Collection[str] = ()
) -> Figure:
    """Test accuracy with its interval against counted operations of training, named with the
    measured time, and against trainable parameters, each with its front.

    Args:
        summary: `metrics/summary.json`; strategies without an accuracy are left out.
        front: Of `metrics/comparison.json`.
        pale: Strategies that are drawn pale.
    """
    look = looks(summary, pale)
    found = {name: record for name, record in summary.items() if record["accuracy"] is not None}
    far = outlying({name: 100 * record["accuracy"] for name, record in found.items()})
    figure = Figure(figsize=(WIDTH, 4.7), dpi=DPI)
    operations = [max(float(record["operations"]), 1) for record in found.values()]
    parameters = [max(float(record["trainable_parameters"]), 1) for record in found.values()]
    names = [
        shown(name, 20) + (f" ({words.percent(record['accuracy'], 0)})" if name in far else "")
        for name, record in found.items()
    ]
    timed = [
        f"{name}, {words.duration(record['train_seconds'])}"
        for name, record in zip(names, found.values(), strict=True)
    ]
    panels = (
        ("operations of training, all seeds together", operations, timed, front["operations"]),
        ("trainable parameters", parameters, names, front["trainable_parameters"]),
    )
    limits = accuracy_limits({name: it for name, it in found.items() if name not in far}, {})
    left, gap, height = 0.65 if limits[1] - limits[0] >= WHOLE else 0.8, 0.2, 3.75  # for `99.8 %`
    width = (WIDTH - left - gap - 0.1) / 2
    for column, (title, costs, texts, best) in enumerate(panels):
        axes = axes_at(figure, left + (width + gap) * column, 0.1, width, height)
        axes.set(xscale="log", xlabel=title, ylim=limits)
        accuracy_ticks(axes)
        logarithmic(axes, costs, _marks(costs), (0.65, 0.95))
        _cost_panel(axes, list(zip(costs, texts, strict=True)), found, best, look, far=far)
        if column:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel("test accuracy")
    note = (
        "grey steps: the best accuracy to be had for that cost; points of nearly equal cost "
        "stand side by side"
    )
    note += "; \N{BLACK DOWN-POINTING TRIANGLE}: below this axis" if far else ""
    write(figure, left, 4.57, note, fontsize=8, color=GREY)
    return figure


def _marks(costs: Sequence[float]) -> dict[float, str]:
    """Where an axis of amounts may be marked, and with what."""
    decades = math.log10(max(costs, default=1) / min(costs, default=1))
    steps = (1,) if decades > 1.5 else (1, 2, 5) if decades > 0.5 else range(1, 10)
    counts = [step * 10**power for power in range(22) for step in steps]
    return {float(count): words.amount(count) for count in counts}


def _cost_panel(
    axes: Axes,
    named: Sequence[tuple[float, str]],
    records: Mapping[str, Mapping[str, Any]],
    front: Sequence[str],
    look: Any,
    *,
    far: Sequence[str],
) -> None:
    """Each record at its cost and under its name, both of `named`; those of `far` on the lower
    edge.
    """
    edge = axes.get_ylim()[0]
    means = [edge if name in far else with_interval(it)[0] for name, it in records.items()]
    costs = [x for x, _ in named]
    if front:
        best = [list(records).index(name) for name in front]
        x, y = ([values[i] for i in best] for values in (costs, means))
        steps = ([x[0], *x, axes.get_xlim()[1]], [axes.get_ylim()[0], *y, y[-1]])
        axes.plot(*steps, drawstyle="steps-post", color="#BBBBBB", linewidth=1.2, zorder=1)
    lines = []
    places = _side_by_side(axes, costs, means)
    for point, (name, record) in zip(places, records.items(), strict=True):
        mean, low, high = with_interval(record)
        if name in far:
            color = look[name].color
            lines += axes.plot(point, edge, "v", color=color, markersize=6.5, clip_on=False)
            continue
        lines += axes.plot(
            [point, point], [low, high], color=look[name].color, alpha=0.45, linewidth=1.5
        )
        lines += axes.plot(
            point,
            mean,
            look[name].marker,
            color=look[name].color,
            markersize=6.5,
            mec="white",
            mew=0.5,
        )
    _label(axes, list(zip(places, means, (text for _, text in named), strict=True)), lines)


def _side_by_side(axes: Axes, costs: Sequence[float], means: Sequence[float]) -> list[float]:
    """Places on a logarithmic axis such that markers do not hide each other; equal costs by rising
    accuracy.
    """
    low, high = np.log10(axes.get_xlim())
    gap = 5 / 72 / (axes.get_position().width * WIDTH) * (high - low)
    order = sorted(range(len(costs)), key=lambda i: (costs[i], means[i]))
    spread = spread_out([math.log10(costs[i]) for i in order], float(low), float(high), gap)
    places = dict(zip(order, spread, strict=True))
    return [10 ** places[i] for i in range(len(costs))]


def _label(axes: Axes, points: Iterable[tuple[float, float, str]], lines: Iterable[Line2D]) -> None:
    """Write the text of each (x, y, text) beside its point, where it covers least of texts and of
    those lines.
    """
    pixel = DPI / 72
    taken = [np.asarray(line.get_window_extent().padded(2 * pixel).extents) for line in lines]
    for x, y, text in sorted(points, key=lambda point: -point[1]):
        note = axes.annotate(
            text, (x, y), (0, 0), textcoords="offset points", fontsize=8, va="center"
        )
        note.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8})
        point = np.asarray(axes.transData.transform((x, y)))
        offset, boxes = _best_place(axes, point, note.get_window_extent(), np.array(taken))
        # A text counts four times: better to cross four whiskers than another name.
        taken += [boxes[0] + np.array([-2, -1, 2, 1]) * pixel] * 4 + boxes[1:]
        note.set(position=offset, horizontalalignment="left" if offset[0] > 0 else "right")
        if abs(offset[0]) > 8 or offset[1]:
            line = {**LEADER, "color": PALE, "linewidth": 0.7, "shrinkB": 4}
            axes.annotate("", (x, y), offset, textcoords="offset points", arrowprops=line)


def _best_place(
    axes: Axes, point: np.ndarray, size: Bbox, taken: np.ndarray
) -> tuple[tuple[int, int], list[np.ndarray]]:
    """Offset in points at which a text is most legible, and what it covers there; the nearer, the
    better.
    """
    pixel = DPI / 72
    inside = np.array([axes.get_window_extent().extents])
    best = math.inf
    for rise, side in itertools.product(
        sorted(range(-120, 121, 6), key=abs), (8, -8, 20, -20, 32, -32)
    ):
        away = (0.3 * abs(rise) + 0.2 * abs(side)) * size.height
        if away >= best - 1:
            continue
        boxes = _label_boxes(point, size, side * pixel, rise * pixel)
        outside = size.width * size.height - _covered(boxes[0], inside)
        covered = away + 10 * outside + sum(_covered(box, taken) for box in boxes)
        if covered < best - 1:
            best, offset, chosen = covered, (side, rise), boxes
    return offset, chosen


def _label_boxes(point: np.ndarray, size: Bbox, side: float, rise: float) -> list[np.ndarray]:
    """In pixels (left, bottom, right, top): a text at that offset from its point, then pieces of
    the line to it.
    """
    x, y = point
    left = x + side - (size.width if side < 0 else 0)
    text = np.array(
        [left, y + rise - size.height / 2, left + size.width, y + rise + size.height / 2]
    )
    steps = (
        [np.array([x + share * side, y + share * rise]) for share in (0.4, 0.6, 0.8, 1)]
        if rise
        else []
    )
    return [text, *(np.concatenate([step - 3, step + 3]) for step in steps)]


def _covered(box: np.ndarray, others: np.ndarray) -> float:
    """Pixels that a box shares with each of the others, in all; boxes are (left, bottom, right,
    top).
    """
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    return float(sides.clip(0).prod(axis=1).sum())
