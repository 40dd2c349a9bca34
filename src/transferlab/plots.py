"""Tables in, figures out; no function here reads a file.

Figures are drawn for the width of a README (860 px), in colours that colour-blind readers can tell apart, and the
same table gives the same bytes. matplotlib is imported without pyplot, so no display and no global state is involved.
Places are given in inches from the upper left corner: matplotlib's own layout takes seconds for a dozen panels.

Figures made of photographs are in `pictures`.
"""

import functools
import hashlib
import io
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import font_manager, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.textpath import TextToPath
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator
from matplotlib.transforms import Bbox
from PIL import Image

from . import files

WIDTH = 8.6  # inches
DPI, DPI_PHOTOS = 150, 120  # photographs compress badly, and reports live in git
INK, GREY, PALE = "#333333", "#6E6E6E", "#999999"
GOOD, MIXED, BAD = "#00704F", "#8A6100", "#B03A00"  # of the palette, dark enough for text
BETTER, WORSE, NEITHER = "#0072B2", "#E07B00", "#F4F4F4"

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000")
"""Okabe and Ito, "Color universal design" (2008), without the yellow that white paper swallows."""

KNOWN = (
    *("frozen", "finetune", "partial", "progressive", "lp_ft", "probe", "scratch"),
    *("mlp_head", "wise_ft", "two_phase"),  # in the colours of their next of kin
)
"""Strategies with a look of their own, in the order of the palette, whichever others are shown."""

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D")

LEADER = {"arrowstyle": "-", "patchA": None, "shrinkA": 0, "shrinkB": 0}  # from a label to what it names

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": PALE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E8E8E8",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$x^$"
    "xtick.color": PALE,
    "ytick.color": PALE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "path",  # a reader may not have the font
    "svg.hashsalt": "transferlab",  # ids by content, not by chance
}
CONTROL: dict[str, Any] = {"color": GREY, "linewidth": 0.9, "linestyle": (0, (2, 2)), "zorder": 1, "clip_on": False}
CONTROL_TEXT: dict[str, Any] = {"color": GREY, "fontsize": 8}
CONTROL_TEXT["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # lines pass behind it
MARKS = {"better": "\N{BLACK UP-POINTING TRIANGLE}", "worse": "\N{BLACK DOWN-POINTING TRIANGLE}"}
MARKS["indistinguishable"] = "\N{ALMOST EQUAL TO}"

SECONDS = {"s": (0.01, 0.1, 1, 5, 10, 30), "min": (1, 2, 5, 10, 20, 30), "h": (1, 2, 5, 10, 20, 50, 100, 1000)}
TIMES = {count * {"s": 1, "min": 60, "h": 3600}[unit]: f"{count} {unit}" for unit in SECONDS for count in SECONDS[unit]}

styled = style.context(["default", STYLE])  # whatever the user's matplotlibrc says


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a strategy is drawn in every figure."""

    color: str
    dash: Any
    marker: str


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Known strategies keep their colour; others take a dashed one by the hash of their name, or the next free."""
    places = list(range(len(KNOWN), len(PALETTE) * len(DASHES)))
    taken: dict[str, int] = {}
    for name in names:
        start = int(hashlib.sha256(name.encode()).hexdigest(), 16) % len(places)
        wanted = places[start:] + places[:start]
        free = [place for place in wanted if place not in taken.values()]
        taken[name] = KNOWN.index(name) if name in KNOWN else (free or wanted)[0]
    return {
        name: Look(
            color=PALETTE[place % len(PALETTE)],
            dash=DASHES[place // len(PALETTE)],
            marker=MARKERS[place // len(PALETTE)],
        )
        for name, place in taken.items()
    }


@styled
def curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Validation accuracy of all strategies in one panel, and the losses of each in a panel of its own.

    Args:
        histories: `history.csv` by strategy; cells without a number are NaN.
    """
    look = looks(histories)
    columns = _columns(len(histories), 6)
    rows = math.ceil(len(histories) / columns)
    top = max(3, 0.5 + 0.19 * len(histories))
    figure = Figure(figsize=(WIDTH, top + 1.5 * rows + 0.9), dpi=DPI)
    _accuracy_curves(figure, top, histories, look)
    left, gap = 0.5, 0.2
    width = (WIDTH - left - 0.05 + gap) / columns - gap
    limit = _loss_limit(histories.values())
    for panel, (name, history) in enumerate(histories.items()):
        column, row = panel % columns, panel // columns
        axes = place(figure, left + (width + gap) * column, top + 0.8 + 1.5 * row, width, 1.05)
        _loss_curves(axes, name, history, look[name], int(width / 0.08))
        axes.set_ylim(0, limit)
        if column:
            axes.set_yticklabels([])
        elif not row:
            axes.set_ylabel("loss")
    note = "epoch      (solid: validation, dotted: training, tick: epoch kept by a seed)"
    write(figure, WIDTH / 2, top + 1.5 * rows + 0.77, note, ha="center")
    return figure


def _accuracy_curves(figure: Figure, height: float, histories: Mapping[str, pd.DataFrame], look: Any) -> None:
    ends: list[tuple[float, str, Look]] = []
    lines: list[tuple[Look, Any, pd.DataFrame]] = []
    for name, history in histories.items():
        seeds = 100 * _over_seeds(history, "validation_accuracy")
        if seeds.empty:
            continue
        epochs = int(history["epoch"].max())
        # Lengths differ by a factor of ten: a common axis of epochs would squeeze the short ones into its corner.
        seeds = seeds.set_axis(100 * seeds.index / epochs) if epochs else seeds.iloc[[0, 0]].set_axis([0, 100])
        lines.append((look[name], look[name].dash if epochs else (0, (6, 3)), seeds))
        lasting = f"{epochs} epoch{'s' if epochs > 1 else ''}" if epochs else "solved, no epochs"
        ends.append((float(seeds["mean"].iloc[-1]), f"{shown(name, 18)}  ({lasting})", look[name]))
    axes = place(figure, 0.65, 0.1, WIDTH - 0.65 - _room(ends), height - 0.1)
    for line in lines:
        _band(axes, *line, few=len(lines) < 7)
    axes.set(xlim=(0, 100), xlabel="training done (share of each strategy's own epochs)", ylabel="validation accuracy")
    axes.xaxis.set_major_formatter(percent())
    _accuracy_ticks(axes)
    axes.set_ylim(top=min(axes.get_ylim()[1], 101))
    _name_ends(axes, ends)


def _band(axes: Axes, look: Look, dash: Any, seeds: pd.DataFrame, *, few: bool) -> None:
    """One line with its range over the seeds; where there are many lines, bands must not hide them."""
    x, mean, low, high = seeds.index, seeds["mean"], seeds["min"], seeds["max"]
    axes.fill_between(x, low, high, color=look.color, alpha=0.12 if few else 0.06, linewidth=0)
    axes.plot(x, mean, color=look.color, linestyle=dash)
    if len(x) == 1:
        axes.plot(x, mean, color=look.color, marker=look.marker, clip_on=False)


def _room(ends: Iterable[tuple[float, str, Look]]) -> float:
    """Inches to the right of axes whose lines are named at their ends."""
    return 0.45 + max((inches(text, 9) for _, text, _ in ends), default=0)


def _name_ends(axes: Axes, ends: Sequence[tuple[float, str, Look]]) -> None:
    """Write the text of each (y, text, look) beside the right edge, as near to its line's end as others allow."""
    tall = axes.get_position().height * axes.get_figure(root=True).get_figheight()  # type: ignore[union-attr]
    low, high = axes.get_ylim()
    places = _spread([end for end, _, _ in ends], low, high, 0.175 / tall * (high - low))
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
    axes.xaxis.set_major_locator(NullLocator() if solved else MaxNLocator(max(2, letters // 5), integer=True))
    for measure, dash in (("validation_loss", "-"), ("train_loss", (0, (1, 1.2)))):
        seeds = _over_seeds(history, measure)
        if solved and len(seeds):
            axes.axhline(seeds["mean"].iloc[0], color=look.color, linestyle=dash)
            axes.axhspan(seeds["min"].iloc[0], seeds["max"].iloc[0], color=look.color, alpha=0.12, linewidth=0)
        elif len(seeds):
            axes.plot(seeds.index, seeds["mean"], color=look.color, linestyle=dash, marker="." * (len(seeds) == 1))
            axes.fill_between(seeds.index, seeds["min"], seeds["max"], color=look.color, alpha=0.12, linewidth=0)
    kept = history.loc[(history["chosen"] == 1) & (history["epoch"] > 0), "epoch"]
    # Ticks on the lower edge: the epochs that were kept, one per seed.
    edge = axes.get_xaxis_transform()
    axes.plot(kept, np.zeros(len(kept)), "|", color=INK, markersize=9, markeredgewidth=1.2, transform=edge)


def _over_seeds(table: pd.DataFrame, measure: str, by: str = "epoch") -> pd.DataFrame:
    """Mean, min and max of a measure per epoch; epochs without a finite value are left out."""
    finite = table[np.isfinite(table[measure].astype(float))]
    return pd.DataFrame(finite.groupby(by)[measure].agg(["mean", "min", "max"]))


def _loss_limit(histories: Iterable[pd.DataFrame]) -> float:
    """The largest mean loss, unless one strategy explodes: it may not flatten the others."""
    tops = [
        float(seeds["mean"].max())
        for history in histories
        for seeds in (_over_seeds(history, measure) for measure in ("train_loss", "validation_loss"))
        if len(seeds)
    ]
    return 1.08 * min(max(tops), 4 * float(np.median(tops))) if tops and max(tops) > 0 else 1.0


@styled
def learning_curve(table: pd.DataFrame) -> Figure:
    """Test accuracy against the number of training images, a line per strategy with its range over the seeds.

    Args:
        table: Columns `strategy, fraction, images, seed, accuracy`; rows without a finite accuracy are left out.
    """
    table = table[np.isfinite(table["accuracy"].astype(float))]
    groups = {str(name): rows for name, rows in table.groupby("strategy", sort=False)}
    look = looks(groups)
    figure = Figure(figsize=(WIDTH, 3.9), dpi=DPI)
    seeds = {name: 100 * _over_seeds(rows, "accuracy", "fraction") for name, rows in groups.items()}
    ends = [(float(rows["mean"].iloc[-1]), shown(name, 18), look[name]) for name, rows in seeds.items()]
    axes = place(figure, 0.65, 0.1, WIDTH - 0.65 - _room(ends), 3.25)
    for name, rows in groups.items():
        images = rows.groupby("fraction")["images"].mean().to_numpy(float)
        spread = seeds[name].set_axis(images)
        _band(axes, look[name], look[name].dash, spread, few=len(groups) < 7)
        axes.plot(images, spread["mean"], look[name].marker, color=look[name].color, markersize=4.5, clip_on=False)
    counts = sorted({round(float(images)) for images in table.groupby("fraction")["images"].mean()})
    axes.set(xscale="log", xlabel="training images", ylabel="test accuracy")
    _ticks(axes, [float(count) for count in counts], {float(count): f"{count:,}" for count in counts}, (0.1, 0.1))
    _accuracy_ticks(axes)
    axes.set_ylim(top=min(axes.get_ylim()[1], 101))
    if len(counts) > 1:
        axes.set_xlim(right=counts[-1])
    _name_ends(axes, ends)
    return figure


@styled
def accuracy(
    summary: Mapping[str, Mapping[str, Any]],
    seeds: Mapping[str, Mapping[int, float]],
    controls: Mapping[str, Mapping[str, Any]] | None = None,
) -> Figure:
    """Test accuracy with its interval, one row per strategy, and a ring for every seed.

    Args:
        summary: `metrics/summary.json`.
        seeds: Test accuracy per seed by strategy, see `metrics.seed_accuracies`.
        controls: What no strategy should fall below: `{"accuracy": share}` by name, drawn as upright lines. One that
            would squeeze the strategies into half of the figure is named at the edge instead.
    """
    look = looks(summary)
    left = 0.2 + max((inches(shown(name, 20), 9) for name in summary), default=0)
    width = WIDTH - left - 1.7
    limits = _accuracy_limits(summary, seeds)
    marks = {
        shown(name, 24): 100 * record["accuracy"]
        for name, record in (controls or {}).items()
        if record.get("accuracy") is not None
    }
    limits, notes = _control_notes(marks, limits, width)
    above = 0.08 + 0.17 * max((level + 1 for *_, level in notes), default=0)
    height = 0.25 + 0.42 * len(summary)
    figure = Figure(figsize=(WIDTH, above + height + 0.5), dpi=DPI)
    axes = place(figure, left, above, width, height)
    for row, (name, record) in enumerate(summary.items()):
        _accuracy_row(axes, row, record, seeds.get(name, {}), look[name])
    for x, text, place_of_text, level in notes:
        if x is not None:
            axes.plot([x, x], [0, 1 + 0.17 * level / height], transform=axes.get_xaxis_transform(), **CONTROL)
        write(figure, left + place_of_text, above - 0.06 - 0.17 * level, text, va="bottom", **CONTROL_TEXT)
    axes.set_yticks(range(len(summary)), [shown(name, 20) for name in summary], fontsize=9)
    axes.set(xlim=limits, ylim=(len(summary) - 0.4, -0.6))
    axes.set_xlabel("test accuracy: mean over seeds with its interval; rings: single seeds")
    axes.xaxis.set_major_formatter(percent())
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


def _accuracy_row(axes: Axes, row: int, record: Mapping[str, Any], seeds: Mapping[int, float], look: Look) -> None:
    beside = axes.get_yaxis_transform()
    if record["accuracy"] is None:
        axes.text(0.02, row, shown(record["status"], 80), transform=beside, va="center", color=BAD)
        return
    mean, low, high = _points(record)
    axes.plot([low, high], [row, row], color=look.color, linewidth=2.2)
    axes.plot(mean, row, marker=look.marker, color=look.color, markersize=7)
    rings: dict[str, Any] = {"markersize": 4, "markerfacecolor": "none", "markeredgewidth": 0.8, "alpha": 0.8}
    values = [100 * value for value in seeds.values()]
    axes.plot(values, [row + 0.3] * len(values), "o", color=look.color, clip_on=False, **rings)
    axes.text(1.02, row, f"{mean:.1f} %   [{low:.1f}, {high:.1f}]", transform=beside, va="center")


def _points(record: Mapping[str, Any]) -> tuple[float, float, float]:
    """Accuracy and the ends of its interval, in per cent; a record may lack the interval."""
    mean = 100 * record["accuracy"]
    low, high = (record.get(key) for key in ("accuracy_low", "accuracy_high"))
    return mean, mean if low is None else 100 * low, mean if high is None else 100 * high


def _accuracy_limits(
    summary: Mapping[str, Mapping[str, Any]], seeds: Mapping[str, Mapping[int, float]]
) -> tuple[float, float]:
    """Ends of an axis that shows all intervals and all seeds."""
    records = {name: record for name, record in summary.items() if record["accuracy"] is not None}
    values = [value for record in records.values() for value in _points(record)]
    values += [100 * value for name in records for value in seeds.get(name, {}).values()]
    low, high = (min(values), max(values)) if values else (0, 100)
    margin = max(0.04 * (high - low), 0.5)
    return low - margin, min(high + margin, 100.3)


def _control_notes(
    controls: Mapping[str, float], limits: tuple[float, float], width: float
) -> tuple[tuple[float, float], list[tuple[float | None, str, float, int]]]:
    """Wider limits, and for each control where its line, the left end of its text (inches) and its level are."""
    low, high = limits
    room = high - low
    shares = [share for share in controls.values() if low - room <= share <= min(high + room, 100)]
    low, high = (min([low, *(share - 0.03 * room for share in shares)]), max([high, *shares]))
    notes: list[tuple[float | None, str, float, int]] = []
    taken: list[tuple[float, float, int]] = []
    for name, share in sorted(controls.items(), key=lambda item: -item[1]):
        inside = low <= share <= high
        text = f"{'' if inside else '← ' if share < low else '→ '}{name} {share:.1f} %"
        place_of_line = width * min(max((share - low) / (high - low), 0), 1)
        start = min(max(place_of_line - inches(text) / 2, 0), width + 1.6 - inches(text))
        end = start + inches(text) + 0.12
        used = {level for left, right, level in taken if left < end and start < right}
        level = next(level for level in itertools.count() if level not in used)
        taken.append((start, end, level))
        notes.append((share if inside else None, text, start, level))
    return (low, high), notes


@styled
def confusion(predictions: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> Figure:
    """One matrix per strategy: images per seed (mean) as numbers, share of the actual class as shade.

    Args:
        predictions: Predictions tables by strategy; one without rows is left empty.
        classes: In the order of rows and columns.
    """
    most = 6 if len(classes) < 4 else 4 if len(classes) < 7 else 3 if len(classes) < 13 else 2
    columns = _columns(len(predictions), most)
    rows = math.ceil(len(predictions) / columns)
    # Laid out by hand, in inches: matplotlib's own layout takes seconds for a dozen matrices.
    names = [shown(name, 16) for name in classes]
    longest = max(map(inches, names))
    left, right, gap, title = 0.45 + longest, 1.1, 0.12, 0.25
    side = min((WIDTH - left - right) / columns - gap, max(1.6, 0.4 * len(classes)))
    cell = side / len(classes)
    names = [name if i % math.ceil(0.12 / cell) == 0 else "" for i, name in enumerate(names)]  # no closer than a line
    upright = longest > 0.9 * cell
    below = 0.45 + (longest if upright else 0.1)
    height = rows * (side + title) + below
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    for place, (name, table) in enumerate(predictions.items()):
        x, y = left + (side + gap) * (place % columns), height - (side + title) * (place // columns + 1)
        axes = figure.add_axes((x / WIDTH, y / height, side / WIDTH, side / height), title=shown(name, 16))
        shades = _matrix(axes, table, classes, 72 * cell)
        axes.set_xticks(range(len(classes)), [])
        axes.set_yticks(range(len(classes)), [])
        if place + columns >= len(predictions):
            axes.set_xticklabels(names, rotation=90 if upright else 0)
            axes.set_xlabel("predicted")
        if place % columns == 0:
            axes.set_yticklabels(names)
            axes.set_ylabel("actual")
    x, tall = left + columns * (side + gap) + 0.05, min(height - title - below, 2)
    slot = figure.add_axes((x / WIDTH, (height - title - tall) / height, 0.14 / WIDTH, tall / height))
    bar = figure.colorbar(shades, slot, format=percent(1), label="share of the\nactual class")
    bar.outline.set_visible(False)
    return figure


def _matrix(axes: Axes, table: pd.DataFrame, classes: Sequence[str], cell: float) -> Any:
    """One confusion matrix whose cells are `cell` points wide."""
    actual, predicted = (pd.Index(classes).get_indexer(pd.Index(table[column])) for column in ("label", "predicted"))
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (actual, predicted), 1)
    seeds = max(table["seed"].nunique(), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if cell > 13:
        for row, column in zip(*np.nonzero(counts), strict=True):
            mean = counts[row, column] / seeds
            text = f"{mean:.0f}" if seeds == 1 or (cell < 20 and mean >= 1) else f"{mean:.1f}"
            white = "white" if shares[row, column] > 0.5 else INK
            axes.text(column, row, text, ha="center", va="center", color=white, fontsize=min(9, cell / 2.6))
    return axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)


@styled
def verdicts(comparison: Mapping[str, Any]) -> Figure:
    """Every strategy against every other: the difference in points with its interval, and what may be said of it.

    Args:
        comparison: `pairs` with `first, second, difference, low, high` (accuracy of the first minus that of the
            second, as a share) and `verdict` from the first's view: better, worse or indistinguishable; `confidence`.
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
    _verdict_legend(figure, float(comparison.get("confidence", 0.95)))
    return figure


def _both_views(pairs: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Each pair from the view of its first and of its second; pairs without a difference are left out."""
    other = {"better": "worse", "worse": "better"}
    views: dict[tuple[str, str], Mapping[str, Any]] = {}
    for pair in pairs:
        if pair["difference"] is None or not math.isfinite(pair["difference"]):
            continue
        first, second, verdict = pair["first"], pair["second"], pair["verdict"]
        views[first, second] = {key: pair[key] for key in ("difference", "low", "high", "verdict")}
        turned = {"difference": -pair["difference"], "low": _minus(pair["high"]), "high": _minus(pair["low"])}
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
    axes = place(figure, left, above, cell * count, row * count)
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
    red, green, blue = (1 - share * (1 - part) for part in to_rgb(BETTER if verdict == "better" else WORSE))
    return red, green, blue


def _cell(axes: Axes, x: float, y: float, view: Mapping[str, Any], width: float) -> None:
    wide = width > 0.7
    text = f"{MARKS.get(view['verdict'], '?')} {_signed(view['difference'])}"
    axes.text(x, y - 0.2, text, ha="center", va="center", fontsize=8.5 if wide else 7.5)
    if view["low"] is not None and view["high"] is not None:
        low, high = _signed(view["low"]), _signed(view["high"])
        interval = f"{low} to {high}" if width > 0.85 else f"{low}, {high}"
        if inches(interval, 6) > width - 0.12:  # of two numbers with two digits, decimals matter least
            interval = " to ".join(_signed(view[end], 0) for end in ("low", "high"))
        size = min(7, 6 * (width - 0.12) / inches(interval, 6))
        axes.text(x, y + 0.22, interval, ha="center", va="center", fontsize=size)


def _signed(share: float, digits: int = 1) -> str:
    """A difference in points, with a minus that is as wide as the plus."""
    text = f"{100 * share:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def _verdict_legend(figure: Figure, confidence: float) -> None:
    height = figure.get_figheight()
    text = f"row minus column in points of test accuracy, with its {100 * confidence:g} % interval; better rows on top"
    write(figure, 0.1, height - 0.42, text, fontsize=8)
    left = 0.1
    says = {"better": "row is better", "worse": "row is worse", "indistinguishable": "cannot be told apart"}
    for verdict, text in says.items():
        box = {"facecolor": _shade(verdict, 0.6), "edgecolor": "none", "pad": 2.5}
        write(figure, left + 0.04, height - 0.16, MARKS[verdict], fontsize=8, bbox=box)
        write(figure, left + 0.24, height - 0.16, text, fontsize=8)
        left += 0.24 + inches(text) + 0.3


@styled
def reliability(numbers: Mapping[str, Mapping[str, Any] | None]) -> Figure:
    """Confidence against accuracy, one panel per strategy, before and after temperature scaling.

    Args:
        numbers: By strategy `measures` (with the means of `ece` and `ece_scaled`), `reliability` and
            `reliability_scaled` (bins of `low, high, images, confidence, accuracy`); a strategy without is left out.
    """
    found = {name: record for name, record in numbers.items() if record and _filled(record.get("reliability"))}
    look = looks(numbers)
    columns = _columns(len(found), 5)
    rows = math.ceil(len(found) / columns)
    left, gap, above = 0.65, 0.16, 0.45
    width = min((WIDTH - left - 0.1 + gap) / columns - gap, 2.2)
    figure = Figure(figsize=(WIDTH, rows * (width + above) + 0.55), dpi=DPI)
    keys = ("reliability", "reliability_scaled")
    start = min(
        (bin["low"] for key in keys for record in found.values() for bin in _filled(record.get(key))), default=0
    )
    for panel, (name, record) in enumerate(found.items()):
        column, row = panel % columns, panel // columns
        axes = place(figure, left + (width + gap) * column, above + (width + above) * row, width, width)
        _reliability_panel(axes, record, look[name], 100 * start)
        axes.set_title(f"{shown(name, int(width / 0.08))}\n{_calibration(record)}", fontsize=8)
        if column:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel("accuracy")
        if panel + columns < len(found):
            axes.set_xticklabels([])
        axes.get_xticklabels()[-1].set_horizontalalignment("right")  # its neighbour begins at the next panel's edge
    note = "confidence      (solid: as trained, dashed: after temperature scaling, bars: share of the images)"
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
    for key, dash, fill in (("reliability", "-", look.color), ("reliability_scaled", (0, (3, 1.5)), "white")):
        points = _filled(record.get(key))
        x, y = ([100 * bin[measure] for bin in points] for measure in ("confidence", "accuracy"))
        axes.plot(x, y, look.marker, linestyle=dash, color=look.color, linewidth=1.3, markersize=3.5, mfc=fill)
    axes.set(xlim=(start - 2, 102), ylim=(0, 103))
    axes.set_xticks([tick for tick in ((0, 50, 100) if start < 50 else (50, 75, 100)) if tick >= start])
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.xaxis.set_major_formatter(percent())
    axes.yaxis.set_major_formatter(percent())


def _calibration(record: Mapping[str, Any]) -> str:
    """Expected calibration error before and after, as far as it is known."""
    measures = record.get("measures") or {}
    means = [(measures.get(key) or {}).get("mean") for key in ("ece", "ece_scaled")]
    texts = ["?" if mean is None else f"{100 * mean:.1f}" for mean in means]
    return f"ECE {' → '.join(texts)} %"


@styled
def cost(summary: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Test accuracy with its interval against training time and against trainable parameters, each with its front.

    Args:
        summary: `metrics/summary.json`; strategies without an accuracy are left out.
    """
    look = looks(summary)
    found = {name: record for name, record in summary.items() if record["accuracy"] is not None}
    figure = Figure(figsize=(WIDTH, 4.7), dpi=DPI)
    left, gap, height = 0.65, 0.2, 3.75
    width = (WIDTH - left - gap - 0.1) / 2
    seconds = [max(record["train_seconds"], 0.01) for record in found.values()]
    parameters = [max(float(record["trainable_parameters"]), 1) for record in found.values()]
    decades = math.log10(max(parameters, default=1) / min(parameters, default=1))
    counts = [step * 10**power for power in range(13) for step in ((1,) if decades > 1.5 else (1, 2, 5))]
    amounts = {float(count): amount(count) for count in counts}
    panels = (("training time, all seeds together", seconds, TIMES), ("trainable parameters", parameters, amounts))
    limits = _accuracy_limits(found, {})
    for column, (title, costs, marks) in enumerate(panels):
        axes = place(figure, left + (width + gap) * column, 0.1, width, height)
        axes.set(xscale="log", xlabel=title, ylim=limits)
        _accuracy_ticks(axes)
        _ticks(axes, costs, marks, (0.65, 0.95))
        _cost_panel(axes, costs, found, look)
        if column:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel("test accuracy")
    note = "grey steps: the best accuracy to be had for that cost; points of nearly equal cost stand side by side"
    write(figure, left, 4.57, note, fontsize=8, color=GREY)
    return figure


def _cost_panel(axes: Axes, costs: Sequence[float], records: Mapping[str, Mapping[str, Any]], look: Any) -> None:
    means = [_points(record)[0] for record in records.values()]
    best = front(costs, means)
    if best:
        x, y = ([values[i] for i in best] for values in (costs, means))
        steps = ([x[0], *x, axes.get_xlim()[1]], [axes.get_ylim()[0], *y, y[-1]])
        axes.plot(*steps, drawstyle="steps-post", color="#BBBBBB", linewidth=1.2, zorder=1)
    lines = []
    places = _side_by_side(axes, costs, means)
    for point, (name, record) in zip(places, records.items(), strict=True):
        mean, low, high = _points(record)
        lines += axes.plot([point, point], [low, high], color=look[name].color, alpha=0.45, linewidth=1.5)
        lines += axes.plot(point, mean, look[name].marker, color=look[name].color, markersize=6.5, mec="white", mew=0.5)
    _label(axes, list(zip(places, means, (shown(name, 20) for name in records), strict=True)), lines)


def _side_by_side(axes: Axes, costs: Sequence[float], means: Sequence[float]) -> list[float]:
    """Places on a logarithmic axis such that markers do not hide each other; equal costs by rising accuracy."""
    low, high = np.log10(axes.get_xlim())
    gap = 5 / 72 / (axes.get_position().width * WIDTH) * (high - low)
    order = sorted(range(len(costs)), key=lambda i: (costs[i], means[i]))
    spread = _spread([math.log10(costs[i]) for i in order], float(low), float(high), gap)
    places = dict(zip(order, spread, strict=True))
    return [10 ** places[i] for i in range(len(costs))]


def front(costs: Sequence[float], gains: Sequence[float]) -> list[int]:
    """Places of the points that nothing beats, by rising cost: what is no dearer gains less, or is the same."""
    chosen: list[int] = []
    for i in sorted(range(len(costs)), key=lambda i: (costs[i], -gains[i])):
        best = chosen[-1] if chosen else None
        if best is None or gains[i] > gains[best] or (costs[i], gains[i]) == (costs[best], gains[best]):
            chosen.append(i)
    return chosen


def _ticks(axes: Axes, values: Sequence[float], marks: Mapping[float, str], margins: tuple[float, float]) -> None:
    """A logarithmic axis with those marks that fit on it, and so many inches left and right of the values."""
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


def _label(axes: Axes, points: Iterable[tuple[float, float, str]], lines: Iterable[Line2D]) -> None:
    """Write the text of each (x, y, text) beside its point, where it covers least of texts and of those lines."""
    pixel = DPI / 72
    taken = [np.asarray(line.get_window_extent().padded(2 * pixel).extents) for line in lines]
    for x, y, text in sorted(points, key=lambda point: -point[1]):
        note = axes.annotate(text, (x, y), (0, 0), textcoords="offset points", fontsize=8, va="center")
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
    """Offset in points at which a text is most legible, and what it covers there; the nearer, the better."""
    pixel = DPI / 72
    inside = np.array([axes.get_window_extent().extents])
    best = math.inf
    for rise, side in itertools.product(sorted(range(-120, 121, 6), key=abs), (8, -8, 20, -20, 32, -32)):
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
    """In pixels (left, bottom, right, top): a text at that offset from its point, then pieces of the line to it."""
    x, y = point
    left = x + side - (size.width if side < 0 else 0)
    text = np.array([left, y + rise - size.height / 2, left + size.width, y + rise + size.height / 2])
    steps = [np.array([x + share * side, y + share * rise]) for share in (0.4, 0.6, 0.8, 1)] if rise else []
    return [text, *(np.concatenate([step - 3, step + 3]) for step in steps)]


def _covered(box: np.ndarray, others: np.ndarray) -> float:
    """Pixels that a box shares with each of the others, in all; boxes are (left, bottom, right, top)."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    return float(sides.clip(0).prod(axis=1).sum())


def layout(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Places of the rows in the plane, neighbours near each other: t-SNE (van der Maaten and Hinton, 2008).

    Args:
        features: float `[N, F]`, finite, N at least 4.
        seed: Of the optimisation; the start is the rows' first two principal components.

    Returns:
        float `[N, 2]`.
    """
    from sklearn.manifold import TSNE  # takes seconds to import, and few figures need it
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    perplexity = min(30.0, (len(features) - 1) / 3)
    with threadpool_limits(1):  # on a busy machine, threads that wait for each other take 50 times as long
        places = TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(features)
    return np.asarray(places, dtype=float)


@styled
def features(layouts: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Images as points, one panel per model, coloured by class.

    Args:
        layouts: By the panel's title: points float `[N, 2]`, see `layout`, and the class of each, `[N]`.
    """
    classes = list(dict.fromkeys(str(name) for _, labels in layouts.values() for name in labels))
    columns = _columns(len(layouts), 4)
    rows = math.ceil(len(layouts) / columns)
    gap, above = 0.12, 0.27
    side = min((WIDTH - 0.1 + gap) / columns - gap, 2.8)
    legend = _class_legend(classes)
    height = rows * (side + above) + 0.1
    figure = Figure(figsize=(WIDTH, height + 0.2 * (legend[-1][2] + 1 if legend else 0) + 0.05), dpi=DPI)
    for panel, (title, (points, labels)) in enumerate(layouts.items()):
        column, row = panel % columns, panel // columns
        axes = place(figure, 0.05 + (side + gap) * column, above + (side + above) * row, side, side)
        axes.set(title=shown(title, int(side / 0.08)), xticks=[], yticks=[])
        axes.spines[:].set_visible(True)
        for i, name in enumerate(classes):
            mine = np.asarray(labels).astype(str) == name
            axes.plot(*np.asarray(points)[mine].T, linestyle="none", **_class_look(i))
    for i, (text, left, line) in enumerate(legend):
        y = height + 0.2 * line + 0.05
        if i < len(classes):
            figure.add_artist(_dot(figure, left + 0.08, y, _class_look(i)))
        write(figure, left + 0.18, y, text, fontsize=8)
    return figure


def _class_look(place: int) -> dict[str, Any]:
    marker = ("o", "^", "s", "D", "v", "P")[place % 6]  # six and seven: 42 classes before a look returns
    return {"marker": marker, "color": PALETTE[place % len(PALETTE)], "markersize": 3.8, "mew": 0.3, "mec": "white"}


def _class_legend(classes: Sequence[str]) -> list[tuple[str, float, int]]:
    """Text, left end in inches and line of each class; six lines at most."""
    legend: list[tuple[str, float, int]] = []
    left, line = 0.05, 0
    for i, name in enumerate(classes):
        text = shown(name, 20)
        width = 0.18 + inches(text) + 0.16
        if left + width > WIDTH:
            left, line = 0.05, line + 1
        if line == 5 and i < len(classes) - 1 and left + width > WIDTH - 1.2:
            return [*legend, (f"and {len(classes) - i} more", left, line)]
        legend.append((text, left, line))
        left += width
    return legend


def _dot(figure: Figure, left: float, top: float, settings: Mapping[str, Any]) -> Line2D:
    """A marker at a place in inches."""
    width, height = figure.get_size_inches()
    settings = {**settings, "markersize": 6}
    return Line2D([left / width], [1 - top / height], transform=figure.transFigure, linestyle="none", **settings)


@styled
def save(figure: Figure, path: Path) -> None:
    """Write a PNG, and the same drawing as SVG beside it: no date, no version, no settings of the user.

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
    figure.savefig(drawing, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    files.write_text(path.with_suffix(".svg"), drawing.getvalue())


@styled
def nothing(reason: str) -> Figure:
    """In the place of a figure that there is nothing to draw in, so that its file is there all the same."""
    figure = Figure(figsize=(WIDTH, 0.5), dpi=DPI)
    write(figure, 0.1, 0.25, shown(reason, 110), color=GREY)
    return figure


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """New axes, in inches from the upper left corner of the figure."""
    full_width, full_height = figure.get_size_inches()
    return figure.add_axes(
        (left / full_width, 1 - (top + height) / full_height, width / full_width, height / full_height)
    )


def write(figure: Figure, left: float, top: float, text: str, **settings: Any) -> Text:
    """Text whose middle is so many inches below the upper edge of the figure."""
    width, height = figure.get_size_inches()
    return figure.text(left / width, 1 - top / height, text, **{"va": "center", **settings})


def amount(count: int) -> str:
    """A number of parameters for a label, such as `11.2 M`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= max(size, 10_000):
            return f"{count / size:.3g} {unit}"
    return f"{count:,}"


def percent(whole: float = 100) -> FuncFormatter:
    """Tick labels such as `90 %`."""
    return FuncFormatter(lambda value, _: f"{100 * value / whole:g} %")


def _accuracy_ticks(axes: Axes) -> None:
    """Whole per cents on the upright axis, which leaves its margin narrow."""
    axes.yaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(percent())


def _columns(panels: int, most: int) -> int:
    """Panels per row such that the rows are about equally full."""
    return math.ceil(panels / math.ceil(panels / most)) if panels else 1


def _spread(wanted: Sequence[float], low: float, high: float, gap: float) -> list[float]:
    """Places for the labels of a vertical axis: near the wanted ones, in their order, `gap` apart."""
    gap = min(gap, (high - low) / max(len(wanted), 1))

    def first(group: Sequence[int]) -> float:
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
    """A name as the font can show it, at most `length` characters long."""
    text = "".join(
        sign if sign.isprintable() and _font().get_char_index(ord(sign)) else "\N{WHITE SQUARE}" for sign in text
    )
    return text if len(text) <= length else f"{text[: length - 1]}\N{HORIZONTAL ELLIPSIS}"


def inches(text: str, size: float = 8) -> float:
    """Width of a text, by default in the size of a tick label."""
    font = FontProperties(family="DejaVu Sans", size=size)
    return float(TextToPath().get_text_width_height_descent(text, font, False)[0]) / 72


@functools.cache
def _font() -> Any:
    return font_manager.get_font(font_manager.findfont("DejaVu Sans"))
