"""Axes in inches on a sheet, text that fits, and files."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import TextToPath
from matplotlib.ticker import (
    FixedFormatter,
    FixedLocator,
    FuncFormatter,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)
from PIL import Image

from ...data import letters
from ...pipeline import files
from .style import WIDTH, styled

WHOLE = 4
"""Points of accuracy from which on an axis has its ticks at whole per cents."""


def with_interval(record: Mapping[str, Any]) -> tuple[float, float, float]:
    """Accuracy and the ends of its interval, in per cent; a record may lack the interval."""
    mean = 100 * record["accuracy"]
    low, high = (record.get(key) for key in ("accuracy_low", "accuracy_high"))
    return mean, mean if low is None else 100 * low, mean if high is None else 100 * high


def accuracy_limits(
    summary: Mapping[str, Mapping[str, Any]], seeds: Mapping[str, Mapping[int, float]]
) -> tuple[float, float]:
    """Ends of an axis that shows all intervals and all seeds."""
    records = {name: record for name, record in summary.items() if record["accuracy"] is not None}
    values = [value for record in records.values() for value in with_interval(record)]
    values += [100 * value for name in records for value in seeds.get(name, {}).values()]
    low, high = (min(values), max(values)) if values else (0, 100)
    margin = max(0.04 * (high - low), 0.5)
    return low - margin, min(high + margin, 100.3)


def logarithmic(
    axes: Axes, values: Sequence[float], marks: Mapping[float, str], margins: tuple[float, float]
) -> None:
    """A logarithmic axis with those marks that fit on it, and so many inches left and right of the
    values.
    """
    wide = axes.get_position().width * WIDTH
    low, high = (math.log(min(values)), math.log(max(values))) if values else (0, math.log(100))
    inch = max(high - low, math.log(3)) / (wide - sum(margins))
    low, high = low - margins[0] * inch, high + margins[1] * inch
    axes.set_xlim(math.exp(low), math.exp(high))
    seen: list[float] = []
    right = -math.inf
    for mark in sorted(mark for mark in marks if low <= math.log(mark) <= high):
        x, half = (math.log(mark) - low) / inch, inches(marks[mark]) / 2
        if x - half > right + 0.12:
            seen, right = [*seen, mark], x + half
    axes.xaxis.set_major_locator(FixedLocator(seen))
    axes.xaxis.set_major_formatter(FixedFormatter([marks[mark] for mark in seen]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


@styled
def save(figure: Figure, path: Path) -> None:
    """Write a PNG, and the same drawing as SVG beside it: no date, no version, no settings of the
    user.

    Args:
        figure: Any figure; its bytes depend on it alone.
        path: Of the PNG; the SVG differs in the suffix.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
    with files.atomic(path, "wb") as file:
        Image.fromarray(pixels).save(file, format="PNG", optimize=True)
    drawing = io.StringIO()
    figure.savefig(
        drawing, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
    )
    files.write_text(path.with_suffix(".svg"), drawing.getvalue())


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """New axes, in inches from the upper left corner of the figure."""
    full_width, full_height = figure.get_size_inches()
    return figure.add_axes(
        (
            left / full_width,
            1 - (top + height) / full_height,
            width / full_width,
            height / full_height,
        )
    )


def write(figure: Figure, left: float, top: float, text: str, **settings: Any) -> Text:
    """Text whose middle is so many inches below the upper edge of the figure."""
    width, height = figure.get_size_inches()
    settings = {"va": "center", "family": letters.families(text), **settings}
    return figure.text(left / width, 1 - top / height, text, **settings)


def percent_ticks(whole: float = 100) -> FuncFormatter:
    """Tick labels such as `90 %`."""
    return FuncFormatter(lambda value, _: f"{100 * value / whole:g} %")


def accuracy_ticks(axes: Axes) -> None:
    """Whole per cents on the upright axis, which leaves its margin narrow."""
    axes.yaxis.set_major_locator(percent_places(*axes.get_ylim()))
    axes.yaxis.set_major_formatter(percent_ticks())


def percent_places(low: float, high: float) -> MaxNLocator:
    """Where an axis of per cents has its ticks, up to 100: at whole ones, as long as that is more
    than one.
    """
    return UpTo100(8, integer=high - low >= WHOLE, steps=[1, 2, 5, 10])


class UpTo100(MaxNLocator):
    """Ticks of per cents, of which there are no more."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Those of an axis from `vmin` to `vmax`."""
        values = np.asarray(super().tick_values(vmin, vmax))
        return values[values <= 100]


def per_row(panels: int, most: int) -> int:
    """Panels per row such that the rows are about equally full."""
    return math.ceil(panels / math.ceil(panels / most)) if panels else 1


def spread_out(wanted: Sequence[float], low: float, high: float, gap: float) -> list[float]:
    """Places for the labels of a vertical axis: near the wanted ones, in their order, `gap`
    apart.
    """
    gap = min(gap, (high - low) / max(len(wanted), 1))

    def first(group: Sequence[int]) -> float:
        """Where the first of a group stands."""
        middle = sum(wanted[i] for i in group) / len(group)
        half = gap * (len(group) - 1) / 2
        return max(low, min(middle - half, high - 2 * half))

    groups: list[list[int]] = []
    for i in sorted(range(len(wanted)), key=lambda i: wanted[i]):
        groups.append([i])
        # Neighbours that collide become one group around their common mean.
        while len(groups) > 1 and first(groups[-2]) + gap * len(groups[-2]) > first(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    placed = {i: first(group) + step * gap for group in groups for step, i in enumerate(group)}
    return [placed[i] for i in range(len(wanted))]


def shown(text: str, length: int) -> str:
    """A name as fonts can show it, at most `length` characters long."""
    text = letters.legible(text)
    cut = text if len(text) <= length else f"{text[: length - 1]}\N{HORIZONTAL ELLIPSIS}"
    return letters.apart(cut)


def inches(text: str, size: float = 8) -> float:
    """Width of a text, by default in the size of a tick label."""
    font = FontProperties(family=letters.families(text), size=size)
    return float(TextToPath().get_text_width_height_descent(text, font, False)[0]) / 72
