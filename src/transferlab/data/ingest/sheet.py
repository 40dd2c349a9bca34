"""A picture of the data: some training images of every class."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ...pipeline import files
from ..images import Images


def write_samples(
    images: Images, path: Path, columns: int = 6, rows: int = 2, side: int = 152
) -> None:
    """Draw a grid of training images, the same ones every time, about 960 pixels wide."""
    gap, heading = 8, 34
    shown = images.classes[:5]
    block = heading + rows * (side + gap)
    footer = heading if len(images.classes) > len(shown) else 0
    sheet = Image.new(
        "RGB", (columns * (side + gap) + gap, len(shown) * block + gap + footer), "white"
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=17)
    for number, name in enumerate(shown):
        members = np.flatnonzero(images.labels == number)
        draw.text(
            (gap, number * block + 9),
            f"{name} ({len(members)} training images)",
            fill="#222222",
            font=font,
        )
        chosen = members[np.unique(np.linspace(0, len(members) - 1, columns * rows).astype(int))]
        for place, index in enumerate(chosen):
            tile = ImageOps.fit(
                Image.fromarray(images[index]), (side, side), Image.Resampling.BILINEAR
            )
            left, top = (
                gap + place % columns * (side + gap),
                number * block + heading + place // columns * (side + gap),
            )
            sheet.paste(tile, (left, top))
    if footer:
        text = f"and {len(images.classes) - len(shown)} more classes"
        draw.text((gap, len(shown) * block + 9), text, fill="#222222", font=font)
    with files.atomic(path, "wb") as file:
        sheet.save(file, "PNG")
