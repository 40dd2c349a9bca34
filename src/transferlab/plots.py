"""Tables in, figures out; no function here reads a file.

Figures are drawn for the width of a README (860 px), in colours that colour-blind readers can tell apart, and the
same table gives the same bytes. matplotlib is imported without pyplot, so no display and no global state is involved.
"""

import functools
import hashlib
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
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox
from PIL import Image

from . import files

WIDTH = 8.6  # inches
DPI, DPI_PHOTOS = 150, 120  # photographs compress badly, and reports live in git
INK, PALE = "#333333", "#999999"
GOOD, MIXED, BAD = "#00704F", "#8A6100", "#B03A00"  # of the palette, dark enough for text

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000")
"""Okabe and Ito, "Color universal design" (2008), without the yellow that white paper swallows."""

KNOWN = ("frozen", "finetune", "partial", "progressive", "lp_ft", "probe", "scratch")
"""Strategies with a colour of their own, in the order of the palette, whichever others are shown."""

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)))
MARKERS = ("o", "s", "^")

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
}
_styled = style.context(["default", STYLE])  # whatever the user's matplotlibrc says


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a strategy is drawn in every figure."""

    color: str
    dash: Any
    marker: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the seeds of one strategy said about one image."""

    right: int  # seeds that were
    seeds: int
    mistaken_for: str | None  # the most frequent wrong class


@dataclass(frozen=True, kw_only=True)
class Example:
    """A test image of the prediction grid."""

    id: str
    label: str
    verdicts: Mapping[str, Verdict]


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


@_styled
def curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Validation accuracy of all strategies in one panel, and the losses of each in a panel of its own.

    Args:
        histories: `history.csv` by strategy; cells without a number are NaN.
    """
    look = looks(histories)
    columns = _columns(len(histories), 6)
    rows = math.ceil(len(histories) / columns)
    figure = Figure(figsize=(WIDTH, 3.4 + 1.6 * rows), dpi=DPI, layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[3.4, 1.6 * rows]).flat
    _accuracy_curves(above.subplots(), histories, look)
    panels = below.subplots(rows, columns, sharey=True, squeeze=False)
    for axes in panels.flat[len(histories) :]:
        axes.set_visible(False)
    for axes, (name, history) in zip(panels.flat, histories.items(), strict=False):
        _loss_curves(axes, name, history, look[name])
        axes.xaxis.set_major_locator(
            MaxNLocator(max(3, 12 // columns), integer=True) if history["epoch"].max() else NullLocator()
        )
    panels[0, 0].set_ylim(0, _loss_limit(histories.values()))
    below.supylabel("loss", fontsize=9)
    below.supxlabel("epoch      (solid: validation, dotted: training, tick: epoch kept by a seed)", fontsize=9)
    return figure


def _accuracy_curves(axes: Axes, histories: Mapping[str, pd.DataFrame], look: Mapping[str, Look]) -> None:
    labels: list[tuple[float, str, str]] = []
    for name, history in histories.items():
        seeds = _over_seeds(history, "validation_accuracy")
        if seeds.empty:
            continue
        epochs = int(history["epoch"].max())
        # Lengths differ by a factor of ten: a common axis of epochs would squeeze the short ones into its corner.
        done = 100 * seeds.index.to_numpy(float) / epochs if epochs else np.array([0.0, 100.0])
        mean, low, high = (np.broadcast_to(100 * seeds[key].to_numpy(), done.shape) for key in ("mean", "min", "max"))
        axes.fill_between(done, low, high, color=look[name].color, alpha=0.12, linewidth=0)
        axes.plot(done, mean, color=look[name].color, linestyle=look[name].dash if epochs else (0, (6, 3)))
        if len(done) == 1:
            axes.plot(done, mean, color=look[name].color, marker=look[name].marker, clip_on=False)
        lasting = f"{epochs} epoch{'s' if epochs > 1 else ''}" if epochs else "solved, no epochs"
        labels.append((mean[-1], f"{_shown(name, 24)}  ({lasting})", look[name].color))
    axes.set(xlim=(0, 100), xlabel="training done (share of each strategy's own epochs)", ylabel="validation accuracy")
    axes.xaxis.set_major_formatter(_percent())
    axes.yaxis.set_major_formatter(_percent())
    axes.set_ylim(top=min(axes.get_ylim()[1], 101))
    places = _spread([end for end, _, _ in labels], *axes.get_ylim())
    for (end, text, color), place in zip(labels, places, strict=True):
        line = {**LEADER, "color": color, "linewidth": 1, "shrinkA": 3, "relpos": (0, 0.5)}
        axes.annotate(text, (100, end), (104, place), va="center", annotation_clip=False, arrowprops=line)


def _loss_curves(axes: Axes, name: str, history: pd.DataFrame, look: Look) -> None:
    axes.set_title(_shown(name, 16), color=INK)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    solved = history["epoch"].max() == 0
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
    axes.plot(
        kept,
        np.zeros(len(kept)),
        "|",
        color=INK,
        markersize=9,
        markeredgewidth=1.2,
        transform=axes.get_xaxis_transform(),
    )


def _over_seeds(history: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Mean, min and max of a measure per epoch; epochs without a finite value are left out."""
    finite = history[np.isfinite(history[measure].astype(float))]
    return pd.DataFrame(finite.groupby("epoch")[measure].agg(["mean", "min", "max"]))


def _loss_limit(histories: Iterable[pd.DataFrame]) -> float:
    """The largest mean loss, unless one strategy explodes: it may not flatten the others."""
    tops = [
        float(seeds["mean"].max())
        for history in histories
        for seeds in (_over_seeds(history, measure) for measure in ("train_loss", "validation_loss"))
        if len(seeds)
    ]
    return 1.08 * min(max(tops), 4 * float(np.median(tops))) if tops and max(tops) > 0 else 1.0


@_styled
def accuracy(summary: Mapping[str, Mapping[str, Any]], seeds: Mapping[str, Mapping[int, float]]) -> Figure:
    """Test accuracy with its interval, one row per strategy, and a ring for every seed.

    Args:
        summary: `metrics/summary.json`.
        seeds: Test accuracy per seed by strategy, see `metrics.seed_accuracies`.
    """
    look = looks(summary)
    figure = Figure(figsize=(WIDTH, 0.85 + 0.42 * len(summary)), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for row, (name, record) in enumerate(summary.items()):
        if record["accuracy"] is None:
            status = _shown(record["status"], 80)
            axes.text(0.02, row, status, transform=axes.get_yaxis_transform(), va="center", color=BAD)
            continue
        mean, low, high = (100 * record[key] for key in ("accuracy", "accuracy_low", "accuracy_high"))
        axes.plot([low, high], [row, row], color=look[name].color, linewidth=2.2)
        axes.plot(mean, row, marker=look[name].marker, color=look[name].color, markersize=7)
        rings: dict[str, Any] = {"markersize": 4, "markerfacecolor": "none", "markeredgewidth": 0.8, "alpha": 0.8}
        values = [100 * value for value in seeds[name].values()]
        axes.plot(values, [row + 0.3] * len(values), "o", color=look[name].color, clip_on=False, **rings)
        text = f"{mean:.1f} %   [{low:.1f}, {high:.1f}]"
        axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center")
    axes.set_yticks(range(len(summary)), [_shown(name, 24) for name in summary], fontsize=9)
    axes.set(
        ylim=(len(summary) - 0.4, -0.6), xlabel="test accuracy: mean over seeds with its interval; rings: single seeds"
    )
    axes.xaxis.set_major_formatter(_percent())
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(right=min(axes.get_xlim()[1], 100.3))
    return figure


@_styled
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
    names = [_shown(name, 16) for name in classes]
    longest = max(map(_inches, names))
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
        axes = figure.add_axes((x / WIDTH, y / height, side / WIDTH, side / height), title=_shown(name, 16))
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
    bar = figure.colorbar(shades, slot, format=_percent(1), label="share of the\nactual class")
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


@_styled
def cost(summary: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Training time of all seeds against test accuracy with its interval; points carry name and trainable parameters.

    Args:
        summary: `metrics/summary.json`; strategies without an accuracy are left out.
    """
    look = looks(summary)
    figure = Figure(figsize=(WIDTH, 4.4), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    points: list[tuple[float, float, str]] = []
    for name, record in summary.items():
        if record["accuracy"] is None:
            continue
        seconds = max(record["train_seconds"], 0.01)
        mean, low, high = (100 * record[key] for key in ("accuracy", "accuracy_low", "accuracy_high"))
        axes.plot([seconds, seconds], [low, high], color=look[name].color, alpha=0.5, linewidth=1.5)
        axes.plot(seconds, mean, marker=look[name].marker, color=look[name].color, markersize=8, linestyle="none")
        text = f"{_shown(name, 24)}\n{amount(record['trainable_parameters'])} trainable"
        points.append((seconds, mean, text))
    axes.set(xscale="log", xlabel="training time, all seeds together", ylabel="test accuracy")
    _time_axis(axes, [seconds for seconds, *_ in points])
    axes.yaxis.set_major_formatter(_percent())
    axes.set_ylim(top=min(axes.get_ylim()[1], 101))
    _label(axes, points)
    return figure


def _time_axis(axes: Axes, seconds: Sequence[float]) -> None:
    """Ticks at times a person thinks in, and room for labels on both sides."""
    low, high = (min(seconds), max(seconds)) if seconds else (1, 60)
    room = max(2.5, (high / low) ** 0.18)
    axes.set_xlim(low / room, high * room)
    marks = [(0.01, "s"), (0.1, "s"), *((n, "s") for n in (1, 2, 5, 10, 20, 30))]
    marks += [*((n, "min") for n in (1, 2, 5, 10, 20, 30)), *((n, "h") for n in (1, 2, 5, 10, 20, 50, 100, 1000))]
    times = {count * {"s": 1, "min": 60, "h": 3600}[unit]: f"{count} {unit}" for count, unit in marks}
    seen = [time for time in times if low / room <= time <= high * room]
    seen = seen[:: math.ceil(len(seen) / 8) or 1]
    axes.xaxis.set_major_locator(FixedLocator(seen))
    axes.xaxis.set_major_formatter(FixedFormatter([times[time] for time in seen]))
    axes.xaxis.set_minor_locator(NullLocator())


def _label(axes: Axes, points: Iterable[tuple[float, float, str]]) -> None:
    """Write the text of each (x, y, text) beside its point, where it covers least of texts, points and whiskers."""
    assert isinstance(axes.figure, Figure)
    axes.figure.draw_without_rendering()  # settles the layout, so that places in pixels are known
    pixel = axes.figure.dpi / 72
    inside = axes.get_window_extent()
    taken = [line.get_window_extent().padded(4 * pixel) for line in axes.lines]
    for seconds, share, text in sorted(points):
        point = (seconds, share)
        x, y = axes.transData.transform(point)
        note = axes.annotate(text, point, (0, 0), textcoords="offset points", fontsize=8, linespacing=1.1, va="center")
        note.set(in_layout=False, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8})
        size = note.get_window_extent()
        best = math.inf
        for rise, side in itertools.product((0, 18, -18, 36, -36, 54, -54, 72, -72, 90, -90), (1, -1)):
            left = x + (9 * pixel if side > 0 else -9 * pixel - size.width)
            box = Bbox.from_bounds(left, y + rise * pixel - size.height / 2, size.width, size.height)
            covered = sum(_area(box, other) for other in taken) + 10 * (size.width * size.height - _area(box, inside))
            if covered < best - 1:
                best, place, chosen = covered, (side * 9, rise), box
        taken.append(chosen.padded(2 * pixel))
        note.set(position=place, horizontalalignment="left" if place[0] > 0 else "right")
        if place[1]:
            line = {**LEADER, "color": PALE, "linewidth": 0.7, "shrinkB": 5}
            axes.annotate("", point, place, textcoords="offset points", arrowprops=line).set_in_layout(False)


def _area(one: Bbox, other: Bbox) -> float:
    """Pixels that two boxes share."""
    both = Bbox.intersection(one, other)
    return float(both.width * both.height) if both else 0.0


@_styled
def prediction_grid(images: Sequence[np.ndarray], rows: Sequence[Example]) -> Figure:
    """Test images with their class, and beside each what every strategy's seeds said.

    Args:
        images: uint8 `[H, W, 3]`, one per row, any size.
        rows: What to write beside them, see `examples`.
    """
    columns = 3
    lines = max((len(row.verdicts) for row in rows), default=0)
    cell, side = WIDTH / columns, 1.35
    height = 0.3 + max(side, 0.145 * lines + 0.05)
    figure = Figure(figsize=(WIDTH, height * max(1, math.ceil(len(rows) / columns))), dpi=DPI_PHOTOS)
    full_width, full_height = figure.get_size_inches()
    for place, (image, row) in enumerate(zip(images, rows, strict=True)):
        left, top = 0.05 + cell * (place % columns), full_height - height * (place // columns)
        shape = (left / full_width, (top - 0.25 - side) / full_height, side / full_width, side / full_height)
        axes = figure.add_axes(shape)
        axes.imshow(_square(image), interpolation="antialiased")
        axes.set_axis_off()
        axes.set_title(_shown(row.label, 40), fontsize=9, pad=3)
        for line, (name, verdict) in enumerate(row.verdicts.items()):
            text, color = _verdict(name, verdict)
            x, y = (left + side + 0.07) / full_width, (top - 0.32 - 0.145 * line) / full_height
            figure.text(x, y, text, fontsize=7.5, color=color, va="center")
    return figure


def _verdict(name: str, verdict: Verdict) -> tuple[str, str]:
    """One line of the grid and its colour."""
    name = _shown(name, 12)
    if verdict.right == verdict.seeds:
        return f"\N{CHECK MARK} {name}", GOOD
    if verdict.right:
        return f"\N{CIRCLE WITH LEFT HALF BLACK} {name}: {verdict.right} of {verdict.seeds}", MIXED
    return f"\N{BALLOT X} {name}: {_shown(verdict.mistaken_for or '', 20 - len(name))}", BAD


def examples(predictions: Mapping[str, pd.DataFrame], count: int = 9) -> list[Example]:
    """Choose test images for the grid: two thirds those most often mistaken, then such as all had right.

    The choice depends on the tables alone; ties go to the order of the manifest.

    Args:
        predictions: Checked tables of the same images by strategy.
        count: Images in all; fewer where there are not as many.
    """
    tables = {name: table for name, table in predictions.items() if len(table)}
    if not tables:
        return []
    every = pd.concat([table[["id", "label", "predicted"]] for table in tables.values()])
    shares = (every["label"] == every["predicted"]).groupby(every["id"], sort=False).mean().sort_values(kind="stable")
    labels = every.drop_duplicates("id").set_index("id")["label"]
    wrong, right = list(shares.index[shares < 1]), list(shares.index[shares == 1])
    turns = labels[right].groupby(labels[right], sort=False).cumcount()  # classes take turns
    right = list(turns.sort_values(kind="stable").index)
    most = max(count * 2 // 3, count - len(right))
    chosen = (wrong[:most] + right)[:count]
    return [
        Example(id=id, label=labels[id], verdicts={name: _judge(table, id) for name, table in tables.items()})
        for id in chosen
    ]


def _judge(table: pd.DataFrame, id: str) -> Verdict:
    rows = table[table["id"] == id]
    wrong = rows.loc[rows["predicted"] != rows["label"], "predicted"]
    common = str(wrong.mode().iloc[0]) if len(wrong) else None
    return Verdict(right=len(rows) - len(wrong), seeds=len(rows), mistaken_for=common)


def _square(image: np.ndarray) -> np.ndarray:
    """The centre of an image, which is what the network sees most of."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


@_styled
def save(figure: Figure, path: Path) -> None:
    """Write a PNG whose bytes depend on the figure alone: no date, no version, no settings of the user."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
    with files.atomic(path, "wb") as file:
        Image.fromarray(pixels).save(file, format="PNG", optimize=True)


def amount(count: int) -> str:
    """A number of parameters for a label, such as `11.2 M`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= max(size, 10_000):
            return f"{count / size:.3g} {unit}"
    return f"{count:,}"


def _percent(whole: float = 100) -> FuncFormatter:
    return FuncFormatter(lambda value, _: f"{100 * value / whole:g} %")


def _columns(panels: int, most: int) -> int:
    """Panels per row such that the rows are about equally full."""
    return math.ceil(panels / math.ceil(panels / most)) if panels else 1


def _spread(wanted: Sequence[float], low: float, high: float) -> list[float]:
    """Places for the labels of a vertical axis: near the wanted ones, in their order, a line of text apart."""
    gap = min(0.06, 1 / max(len(wanted), 1)) * (high - low)

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


def _shown(text: str, length: int) -> str:
    """A name as the font can show it, at most `length` characters long."""
    text = "".join(
        sign if sign.isprintable() and _font().get_char_index(ord(sign)) else "\N{WHITE SQUARE}" for sign in text
    )
    return text if len(text) <= length else f"{text[: length - 1]}\N{HORIZONTAL ELLIPSIS}"


def _inches(text: str) -> float:
    """Width of a tick label."""
    font = FontProperties(family="DejaVu Sans", size=8)
    return float(TextToPath().get_text_width_height_descent(text, font, False)[0]) / 72


@functools.cache
def _font() -> Any:
    return font_manager.get_font(font_manager.findfont("DejaVu Sans"))
