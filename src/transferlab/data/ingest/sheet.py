"""A picture of the data: some images of every class."""

from collections.abc import Sequence
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
SIGNS = 70  # of a name


def write_samples(images: Images, path: Path) -> None:
    """Draw a grid of training images, the same ones every time, about 960 pixels wide."""
    rows = []
    for number, name in enumerate(images.classes[:CLASSES]):
        members = np.flatnonzero(images.labels == number)
        chosen = [images[index] for index in members[spread(len(members))]]
        rows.append((f"{heading(name)} ({len(members)} training images)", chosen))
    write_sheet(rows, len(images.classes) - len(rows), path)


def heading(name: str) -> str:
    """A name that leaves room for what stands behind it."""
    return apart(name if len(name) <= SIGNS else f"{name[: SIGNS - 20]}\u2026{name[-19:]}")


def spread(count: int) -> list[int]:
    """Which of so many images are shown: from the first to the last, evenly."""
    return list(np.unique(np.linspace(0, count - 1, COLUMNS * ROWS).astype(int))) if count else []


def write_sheet(rows: Sequence[tuple[str, Sequence[Pixels]]], more: int, path: Path) -> None:
    """Draw classes below each other.

    Args:
        rows: Heading of each class, and its images, uint8 [H, W, 3].
        more: Classes that are not shown.
        path: Where the PNG goes.
    """
    block = HEADING + ROWS * (SIDE + GAP)
    height = len(rows) * block + GAP + (HEADING if more else 0)
    sheet = Image.new("RGB", (COLUMNS * (SIDE + GAP) + GAP, height), "white")
    for number, (heading, pictures) in enumerate(rows):
        _write(sheet, number * block + 9, heading)
        for place, pixels in enumerate(pictures):
            tile = ImageOps.fit(Image.fromarray(pixels), (SIDE, SIDE), Image.Resampling.BILINEAR)
            left = GAP + place % COLUMNS * (SIDE + GAP)
            top = number * block + HEADING + place // COLUMNS * (SIDE + GAP)
            sheet.paste(tile, (left, top))
    if more:
        text = f"and {more} more classes"
        _write(sheet, len(rows) * block + 9, text)
    with files.atomic(path, "wb") as file:
        sheet.save(file, "PNG")


def _write(sheet: Image.Image, top: int, text: str) -> None:
    """A heading in the font of the report's figures, from `top` pixels on."""
    from matplotlib import font_manager

    if text.isascii():
        font = ImageFont.truetype(font_manager.findfont(STANDARD), 16)
        ImageDraw.Draw(sheet).text((GAP, top), text, fill="#222222", font=font)
    else:
        sheet.paste(_drawn(legible(text), sheet.width - GAP), (GAP, top - 9))


def _drawn(text: str, width: int) -> Image.Image:
    """A heading in any script: Pillow takes one font at a time, and needs more to order letters."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 100, HEADING / 100), dpi=100)
    settings: Any = {"fontsize": 11.5, "color": "#222222", "va": "center", "parse_math": False}
    figure.text(0, 0.5, text, family=families(text), **settings)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])  # type: ignore[no-untyped-call]
