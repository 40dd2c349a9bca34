"""A picture of the data: some images of every class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ...pipeline import files
from ..images import Images, Pixels

COLUMNS, ROWS = 6, 2  # of images of a class
CLASSES = 5  # that are shown
SIDE = 152  # of an image, pixels
GAP, HEADING = 8, 34


def write_samples(images: Images, path: Path) -> None:
    """Draw a grid of training images, the same ones every time, about 960 pixels wide."""
    rows = []
    for number, name in enumerate(images.classes[:CLASSES]):
        members = np.flatnonzero(images.labels == number)
        chosen = [images[index] for index in members[spread(len(members))]]
        rows.append((f"{name} ({len(members)} training images)", chosen))
    write_sheet(rows, len(images.classes) - len(rows), path)


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
    from matplotlib import get_data_path

    block = HEADING + ROWS * (SIDE + GAP)
    height = len(rows) * block + GAP + (HEADING if more else 0)
    sheet = Image.new("RGB", (COLUMNS * (SIDE + GAP) + GAP, height), "white")
    draw = ImageDraw.Draw(sheet)
    # Pillow's own font has Latin letters alone; this one is that of the report's figures
    font = ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", 16)
    for number, (heading, pictures) in enumerate(rows):
        draw.text((GAP, number * block + 9), heading, fill="#222222", font=font)
        for place, pixels in enumerate(pictures):
            tile = ImageOps.fit(Image.fromarray(pixels), (SIDE, SIDE), Image.Resampling.BILINEAR)
            left = GAP + place % COLUMNS * (SIDE + GAP)
            top = number * block + HEADING + place // COLUMNS * (SIDE + GAP)
            sheet.paste(tile, (left, top))
    if more:
        text = f"and {more} more classes"
        draw.text((GAP, len(rows) * block + 9), text, fill="#222222", font=font)
    with files.atomic(path, "wb") as file:
        sheet.save(file, "PNG")
