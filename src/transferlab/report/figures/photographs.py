"""Figures made of photographs: what the strategies get wrong, where they look, and what training
shows them.

Photographs are shown as their central square.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from ...data import letters
from .. import words
from .labels import shortened
from .sheet import axes_at, inches, shown, write
from .style import BAD, DPI_PHOTOS, GOOD, GREY, MIXED, WIDTH, styled


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the seeds of one strategy said about one image."""

    right: int  # seeds that were
    seeds: int
    probability: float  # of the true class, mean over the seeds


@dataclass(frozen=True, kw_only=True)
class Example:
    """A test image of the gallery."""

    id: str
    label: str
    reason: str  # why it was chosen
    mistaken_for: str | None  # the most frequent wrong class over all strategies and seeds
    verdicts: Mapping[str, Verdict]


def examples(predictions: Mapping[str, pd.DataFrame], count: int = 9) -> list[Example]:
    """Choose test images for the gallery: wrong for every strategy, right for only one, wrong for
    most.

    A strategy is right where most of its seeds are, and wrong where most of them are. The first
    kind fills at most half of the gallery as long as there are others; each kind begins with the
    clearest cases. The choice depends on the tables alone; ties go to the order of the manifest.

    Args:
        predictions: Checked tables of the same images by strategy.
        count: Images in all; fewer where there are not as many.
    """
    tables = {name: table for name, table in predictions.items() if len(table)}
    if not tables:
        return []
    shares, chances = _over_images(tables)
    wrong, right = shares < 0.5, shares > 0.5
    every = _hardest_first(chances, wrong.all(axis=1))
    one = _in_turn(
        chances,
        right,
        (wrong.sum(axis=1) == len(tables) - 1) & right.any(axis=1) & (len(tables) > 1),
    )
    others = ~wrong.all(axis=1) & ~shares.index.isin(pd.Index(one))
    most = _hardest_first(chances, others & (2 * wrong.sum(axis=1) > len(tables)))
    half = max(math.ceil(count / 2), count - len(one) - len(most))
    reasons = {
        id: "wrong for every strategy" if len(tables) > 1 else "wrong" for id in every[:half]
    }
    reasons |= {id: f"only {right.loc[id].idxmax()} is right" for id in one}
    reasons |= {id: f"wrong for {wrong.loc[id].sum()} of {len(tables)} strategies" for id in most}
    return [_example(id, reason, tables) for id, reason in list(reasons.items())[:count]]


def _over_images(tables: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Per image (row) and strategy (column): share of the seeds that were right, mean probability
    of the true class.
    """
    order = pd.Index(next(iter(tables.values()))["id"].unique())
    shares: dict[str, pd.Series] = {}
    chances: dict[str, pd.Series] = {}
    for name, table in tables.items():
        shares[name] = (
            (table["label"] == table["predicted"]).groupby(table["id"]).mean().reindex(order)
        )
        chances[name] = _true_chance(table).groupby(table["id"]).mean().reindex(order)
    return pd.DataFrame(shares), pd.DataFrame(chances)


def _true_chance(table: pd.DataFrame) -> pd.Series:
    """Probability that each row gives to the true class."""
    columns = pd.Index(table.columns).get_indexer(
        pd.Index([f"p_{label}" for label in table["label"]])
    )
    return pd.Series(
        table.to_numpy()[np.arange(len(table)), columns].astype(float), index=table.index
    )


def _hardest_first(chances: pd.DataFrame, which: pd.Series) -> list[str]:
    """Ids by rising mean probability of the true class."""
    return list(chances[which].mean(axis=1).sort_values(kind="stable").index)


def _in_turn(chances: pd.DataFrame, right: pd.DataFrame, which: pd.Series) -> list[str]:
    """Ids that one strategy alone has right: the strategies take turns, each with its surest
    first.
    """
    winners = right[which].idxmax(axis=1)
    sure = chances[which].where(right[which]).max(axis=1)
    sure = sure.sort_values(ascending=False, kind="stable")
    turns = winners[sure.index].groupby(winners[sure.index]).cumcount()
    return list(turns.sort_values(kind="stable").index)


def _example(id: str, reason: str, tables: Mapping[str, pd.DataFrame]) -> Example:
    rows = {name: table[table["id"] == id] for name, table in tables.items()}
    every = pd.concat([found[["label", "predicted"]] for found in rows.values()])
    wrong = every.loc[every["predicted"] != every["label"], "predicted"]
    verdicts = {
        name: Verdict(
            right=int((found["label"] == found["predicted"]).sum()),
            seeds=len(found),
            probability=float(_true_chance(found).mean()),
        )
        for name, found in rows.items()
    }
    label, mistaken = str(every["label"].iloc[0]), str(wrong.mode().iloc[0]) if len(wrong) else None
    return Example(id=id, label=label, reason=reason, mistaken_for=mistaken, verdicts=verdicts)


@styled
def gallery(images: Sequence[np.ndarray], rows: Sequence[Example]) -> Figure:
    """Test images with the reason why they are shown, and beside each what every strategy said.

    Args:
        images: uint8 `[H, W, 3]`, one per row, any size.
        rows: What to write beside them, see `examples`.
    """
    columns, side, step = 3, 1.38, 0.148
    lines = max((len(row.verdicts) for row in rows), default=0)
    cell, height = WIDTH / columns, 0.74 + max(side, step * lines + 0.05)
    figure = Figure(
        figsize=(WIDTH, height * max(1, math.ceil(len(rows) / columns)) + 0.2), dpi=DPI_PHOTOS
    )
    for i, (image, row) in enumerate(zip(images, rows, strict=True)):
        left, top = 0.05 + cell * (i % columns), height * (i // columns)
        write(
            figure,
            left,
            top + 0.14,
            _fitting(row.reason, 0.85 * cell),
            fontsize=8,
            fontweight="bold",
        )
        seen_as = f"seen as {letters.apart(row.mistaken_for)}" if row.mistaken_for else ""
        for line, text in enumerate((letters.apart(row.label), seen_as)):
            write(figure, left, top + 0.3 + 0.16 * line, _fitting(text, cell - 0.15), fontsize=8)
        _photograph(axes_at(figure, left, top + 0.58, side, side), image)
        for line, said in enumerate(row.verdicts.items()):
            _said(figure, left + side + 0.07, top + 0.66 + step * line, cell - side - 0.22, said)
    note = (
        "✓ every seed right   ◐ some   ✗ none;   bar and number: probability of the true "
        "class, mean over the seeds"
    )
    text = note if rows else "There is no test image that most strategies get wrong."
    write(figure, 0.05, figure.get_figheight() - 0.1, text, fontsize=7.5, color=GREY)
    return figure


def _said(figure: Figure, left: float, top: float, width: float, said: tuple[str, Verdict]) -> None:
    """One line beside a photograph: mark, strategy, seeds that were right where not all agree,
    probability.
    """
    name, verdict = said
    if verdict.right == verdict.seeds:
        mark, color = "\N{CHECK MARK}", GOOD
    else:
        mark, color = (
            ("\N{CIRCLE WITH LEFT HALF BLACK}", MIXED) if verdict.right else ("\N{BALLOT X}", BAD)
        )
    seeds = f" {verdict.right}/{verdict.seeds}" if 0 < verdict.right < verdict.seeds else ""
    wide, high = figure.get_size_inches()
    if math.isfinite(verdict.probability):
        shape = (
            ((left + 0.13) / wide, 1 - (top + 0.065) / high),
            verdict.probability * (width - 0.13) / wide,
            0.13 / high,
        )
        figure.add_artist(
            Rectangle(*shape, color=color, alpha=0.13, linewidth=0, transform=figure.transFigure)
        )
        text = words.percent(verdict.probability, 0)
        write(figure, left + width, top, text, fontsize=7, color=color, ha="right")
    write(figure, left, top, mark, fontsize=7.5, color=color)
    fits = inches(name + seeds, 7.2) < width - 0.5
    text = shown(name, len(name) if fits else 11 if len(seeds) < 5 else 9) + seeds
    write(figure, left + 0.15, top, text, fontsize=7.2, color=color)


def _photograph(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(centre(image), interpolation="antialiased")
    axes.set_axis_off()


def centre(image: np.ndarray, share: float = 1) -> np.ndarray:
    """The central square with this share of the shorter side, `[S, S, 3]`: what a network sees."""
    side = round(min(image.shape[:2]) * share)
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]


@styled
def attributions(
    images: Sequence[np.ndarray], maps: Sequence[np.ndarray], captions: Sequence[str]
) -> Figure:
    """Each photograph beside itself under its heat map, with a caption below.

    Args:
        images: uint8 `[H, W, 3]`; what the network saw is their central square.
        maps: float `[h, w]` of that square, any scale; what is not above zero stays uncoloured.
        captions: At most two lines each.
    """
    columns, gap = 3, 0.14
    side = ((WIDTH - 0.1 + gap) / columns - gap - 0.03) / 2
    height = side + 0.5
    figure = Figure(
        figsize=(WIDTH, height * max(1, math.ceil(len(images) / columns)) + 0.3), dpi=DPI_PHOTOS
    )
    for i, (image, strength, caption) in enumerate(zip(images, maps, captions, strict=True)):
        left, top = 0.05 + (2 * side + 0.03 + gap) * (i % columns), 0.05 + height * (i // columns)
        _photograph(axes_at(figure, left, top, side, side), image)
        _photograph(axes_at(figure, left + side + 0.03, top, side, side), heated(image, strength))
        for line, text in enumerate(caption.split("\n")[:2]):
            write(
                figure, left, top + side + 0.12 + 0.16 * line, _fitting(text, 2 * side), fontsize=8
            )
    note = (
        "colour: how much a place speaks for the predicted class, from nothing (clear) over "
        "violet and orange to yellow"
    )
    write(figure, 0.05, figure.get_figheight() - 0.12, note, fontsize=7.5, color=GREY)
    return figure


@styled
def doubtful(images: Sequence[np.ndarray], captions: Sequence[str]) -> Figure | None:
    """Photographs with a caption below each; none where there is none.

    Args:
        images: uint8 `[H, W, 3]`.
        captions: At most two lines each.
    """
    if not images:
        return None
    columns, gap = 5, 0.14
    side = (WIDTH - 0.1 + gap) / columns - gap
    height = side + 0.45
    figure = Figure(figsize=(WIDTH, height * math.ceil(len(images) / columns)), dpi=DPI_PHOTOS)
    for i, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = 0.05 + (side + gap) * (i % columns), 0.05 + height * (i // columns)
        _photograph(axes_at(figure, left, top, side, side), image)
        for line, text in enumerate(caption.split("\n")[:2]):
            place = top + side + 0.12 + 0.16 * line
            write(figure, left, place, _fitting(text, side), fontsize=8)
    return figure


def heated(image: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """The central square of an image under a heat map, the more opaque the stronger.

    Args:
        image: uint8 `[H, W, 3]`.
        strength: float `[h, w]`; negative and not finite count as zero, the strongest place as one.

    Returns:
        uint8 `[S, S, 3]`.
    """
    image = centre(image)
    positive = np.nan_to_num(np.asarray(strength, dtype=np.float32), posinf=0, neginf=0).clip(0)
    small = Image.fromarray(positive / (positive.max() or 1))
    heat = np.asarray(small.resize(image.shape[:2], Image.Resampling.BILINEAR))
    # its black end would only darken
    color = 255 * matplotlib.colormaps["inferno"](0.25 + 0.75 * heat)[..., :3]
    alpha = 0.75 * heat[..., None]
    return np.asarray(np.rint((1 - alpha) * image + alpha * color), dtype=np.uint8)


def _fitting(text: str, width: float) -> str:
    """As much of a text as is `width` inches wide in small type: its middle is left out, for long
    names often differ at the end.
    """
    whole = letters.legible(text)
    length = len(whole)
    while length > 1 and inches(shortened(whole, length, length // 2)) > width:
        length -= 1
    return shortened(whole, length, length // 2)


@styled
def views(original: Sequence[np.ndarray], rows: Sequence[Sequence[np.ndarray]]) -> Figure:
    """For each image what the network sees of it in a test, then what it sees in training, a new
    view each time.

    Args:
        original: The test views, uint8 `[S, S, 3]`.
        rows: For each of them its random views.
    """
    most = max(map(len, rows), default=0)
    gap, apart, above = 0.05, 0.2, 0.28
    side = min((WIDTH - 0.1 - apart + gap) / (most + 1) - gap, 1.6)
    figure = Figure(figsize=(WIDTH, above + (side + gap) * max(len(rows), 1)), dpi=DPI_PHOTOS)
    second = 0.05 + side + apart
    write(figure, 0.05, 0.14, "test view", fontsize=8.5)
    write(figure, second, 0.14, "training views, by chance and different every time", fontsize=8.5)
    for row, (first, others) in enumerate(zip(original, rows, strict=True)):
        top = above + (side + gap) * row
        _photograph(axes_at(figure, 0.05, top, side, side), first)
        for column, image in enumerate(others):
            _photograph(axes_at(figure, second + (side + gap) * column, top, side, side), image)
    return figure
