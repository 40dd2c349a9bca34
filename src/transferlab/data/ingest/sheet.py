"""A picture of the data: some images of every class."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ...pipeline import files
from ..images import Images, Pixels
from ..letters import STANDARD, apart, families, legible

COLUMNS, ROWS = 6, 2  # of images of a class
CLASSES = 5  # that are shown
SIDE = 152  # of an image, pixels
GAP, HEADING = 8, 34
SIGNS, LEAST = 70, 30  # of a name: at most, and however wide they are


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is shown of a class."""

    name: str
    what: str  # that is counted, in the singular
    count: int
    pictures: Sequence[Pixels]  # uint8 [H, W, 3] each

    def heading(self, signs: int) -> str:
        """The name, of so many signs at most, and how many there are."""
        name = legible(self.name)
        if len(name) > signs:
            name = f"{name[: signs - 20]}\u2026{name[-19:]}"
        return f"{apart(name)} ({self.count} {self.what}{'s' * (self.count != 1)})"


def write_samples(images: Images, path: Path) -> None:
    """Draw a grid of training images, the same ones every time, about 960 pixels wide."""
    rows = []
    for number, name in enumerate(images.classes[:CLASSES]):
        members = np.flatnonzero(images.labels == number)
        chosen = [images[index] for index in members[spread(len(members))]]
        rows.append(Row(name=name, what="training image", count=len(members), pictures=chosen))
    write_sheet(rows, len(images.classes) - len(rows), path)


def spread(count: int) -> list[int]:
    """Which of so many images are shown: from the first to the last, evenly."""
    return list(np.unique(np.linspace(0, count - 1, COLUMNS * ROWS).astype(int))) if count else []


def write_sheet(rows: Sequence[Row], more: int, path: Path) -> None:
    """Draw classes below each other.

    Args:
        rows: One for each class.
        more: Classes that are not shown.
        path: Where the PNG goes.
    """
    blocks = [HEADING + math.ceil(len(row.pictures) / COLUMNS) * (SIDE + GAP) for row in rows]
    height = sum(blocks) + GAP + (HEADING if more else 0)
    sheet = Image.new("RGB", (COLUMNS * (SIDE + GAP) + GAP, height), "white")
    for number, row in enumerate(rows):
        above = sum(blocks[:number])
        _write(sheet, above + 9, _fitting(row, sheet.width - 2 * GAP))
        for place, pixels in enumerate(row.pictures):
            tile = ImageOps.fit(Image.fromarray(pixels), (SIDE, SIDE), Image.Resampling.BILINEAR)
            left = GAP + place % COLUMNS * (SIDE + GAP)
            top = above + HEADING + place // COLUMNS * (SIDE + GAP)
            sheet.paste(tile, (left, top))
    if more:
        text = f"and {more} more class{'es' * (more != 1)}"
        _write(sheet, sum(blocks) + 9, text)
    with files.atomic(path, "wb") as file:
        sheet.save(file, "PNG")


def _fitting(row: Row, room: int) -> str:
    """The heading with as much of the name as goes into so many pixels."""
    signs = SIGNS
    while (wide := _width(row.heading(signs))) > room and signs > LEAST:
        signs = max(LEAST, min(signs - 1, int(signs * room / wide)))
    return row.heading(signs)


def _width(text: str) -> float:
    """Of a heading, in pixels."""
    if text.isascii():
        return _font().getlength(text)
    canvas, written = _canvas(text, SIDE)
    return float(written.get_window_extent(canvas.get_renderer()).width)


def _write(sheet: Image.Image, top: int, text: str) -> None:
    """A heading in the font of the report's figures, from `top` pixels on."""
    if text.isascii():
        ImageDraw.Draw(sheet).text((GAP, top), text, fill="#222222", font=_font())
    else:
        sheet.paste(_drawn(text, sheet.width - GAP), (GAP, top - 9))


def _font() -> ImageFont.FreeTypeFont:
    from matplotlib import font_manager

    return ImageFont.truetype(font_manager.findfont(STANDARD), 16)


def _drawn(text: str, width: int) -> Image.Image:
    """A heading in any script: Pillow takes one font at a time, and needs more to order letters."""
    canvas, _ = _canvas(text, width)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _canvas(text: str, width: int) -> tuple[Any, Any]:
    """A line in every font that it needs, and its text on it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 100, HEADING / 100), dpi=100)
    settings: Any = {"fontsize": 11.5, "color": "#222222", "va": "center", "parse_math": False}
    written = figure.text(0, 0.5, text, family=families(text), **settings)
    return FigureCanvasAgg(figure), written
