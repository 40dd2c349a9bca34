"""Figure: how far probabilities can be believed."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .sheet import axes_at, per_row, percent_ticks, shown, write
from .style import DPI, PALE, WIDTH, Look, looks, styled


@styled
def draw(numbers: Mapping[str, Mapping[str, Any] | None]) -> Figure:
    """Confidence against accuracy, one panel per strategy, before and after temperature scaling.

    Args:
        numbers: By strategy `measures` (with the means of `ece` and `ece_scaled`), `reliability`
            and `reliability_scaled` (bins of `low, high, images, confidence, accuracy`); a strategy
            without is left out.
    """
    found = {
        name: record
        for name, record in numbers.items()
        if record and _filled(record.get("reliability"))
    }
    look = looks(numbers)
    columns = per_row(len(found), 5)
    rows = math.ceil(len(found) / columns)
    left, gap, above = 0.65, 0.16, 0.45
    width = min((WIDTH - left - 0.1 + gap) / columns - gap, 2.2)
    figure = Figure(figsize=(WIDTH, rows * (width + above) + 0.55), dpi=DPI)
    keys = ("reliability", "reliability_scaled")
    start = min(
        (
            bin["low"]
            for key in keys
            for record in found.values()
            for bin in _filled(record.get(key))
        ),
        default=0,
    )
    for panel, (name, record) in enumerate(found.items()):
        column, row = panel % columns, panel // columns
        axes = axes_at(
            figure, left + (width + gap) * column, above + (width + above) * row, width, width
        )
        _reliability_panel(axes, record, look[name], 100 * start)
        axes.set_title(f"{shown(name, int(width / 0.08))}\n{_calibration(record)}", fontsize=8)
        if column:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel("accuracy")
        if panel + columns < len(found):
            axes.set_xticklabels([])
        # its neighbour begins at the next panel's edge
        axes.get_xticklabels()[-1].set_horizontalalignment("right")
    note = (
        "confidence      (solid: as trained, dashed: after temperature scaling, bars: share of "
        "the images)"
    )
    write(figure, left, figure.get_figheight() - 0.17, note)
    return figure


def _filled(bins: Iterable[Mapping[str, Any]] | None) -> list[Mapping[str, Any]]:
    return [bin for bin in bins or () if bin["images"]]


def _reliability_panel(axes: Axes, record: Mapping[str, Any], look: Look, start: float) -> None:
    bins = _filled(record["reliability"])
    most = max(bin["images"] for bin in bins)
    for bin in bins:
        share = {"height": 25 * bin["images"] / most, "width": 92 * (bin["high"] - bin["low"])}
        axes.bar(50 * (bin["low"] + bin["high"]), **share, color="#D5D5D5", linewidth=0)
    axes.plot([start, 100], [start, 100], color=PALE, linewidth=0.8)
    for key, dash, fill in (
        ("reliability", "-", look.color),
        ("reliability_scaled", (0, (3, 1.5)), "white"),
    ):
        points = _filled(record.get(key))
        x, y = ([100 * bin[measure] for bin in points] for measure in ("confidence", "accuracy"))
        axes.plot(
            x,
            y,
            look.marker,
            linestyle=dash,
            color=look.color,
            linewidth=1.3,
            markersize=3.5,
            mfc=fill,
        )
    axes.set(xlim=(start - 2, 102), ylim=(0, 103))
    ticks = [tick for tick in ((0, 50, 100) if start < 50 else (50, 75, 100)) if tick >= start]
    axes.set_xticks(ticks if len(ticks) > 1 else [start, 100])
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.xaxis.set_major_formatter(percent_ticks())
    axes.yaxis.set_major_formatter(percent_ticks())


def _calibration(record: Mapping[str, Any]) -> str:
    """Expected calibration error before and after, as far as it is known."""
    measures = record.get("measures") or {}
    means = [(measures.get(key) or {}).get("mean") for key in ("ece", "ece_scaled")]
    texts = ["?" if mean is None else f"{100 * mean:.1f}" for mean in means]
    return f"ECE {' → '.join(texts)} %"
