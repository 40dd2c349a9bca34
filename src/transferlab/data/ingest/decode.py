"""An image file -> RGB pixels; the only way there is, so training and prediction see the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..images import Pixels

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")

NO_IMAGE = f"is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image"

MAX_ASPECT = 50
"""Longer side over shorter side; at 1 x 50 000 pixels, bringing the shorter side to `store_px`
would take gigabytes.
"""

# Pillow's limit is one for the whole process and half of it only a warning; `decode` has one per
# call instead.
Image.MAX_IMAGE_PIXELS = None


def decode(file: IO[bytes] | Path, *, max_megapixels: int, shorter_px: int | None = None) -> Pixels:
    """Turn an image file into RGB; the only way there is, so training and prediction see the same.

    Applies EXIF rotation, scales 16 bits to 8, puts transparency on white. The format is told by
    content, not by name.

    Args:
        file: path or opened file.
        max_megapixels: larger images are refused before their pixels are read.
        shorter_px: bring the shorter side to this, up or down, antialiased, and the longer one in
            proportion, rounded; with `dataset.store_px`, the pixels are those that preprocessing
            stores. None keeps the size.

    Returns:
        Writable uint8 [H, W, 3].

    Raises:
        ValueError: why the image cannot be used, as the end of a sentence that begins with its
            name.
    """
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return decode(opened, max_megapixels=max_megapixels, shorter_px=shorter_px)
    image = decoded(file, max_megapixels)
    return np.array(image if shorter_px is None else resized(image, shorter_px))


def decoded(file: IO[bytes], max_megapixels: int) -> Image.Image:
    """The image upright and in RGB, in its own size; see `decode`."""
    with _pillow_errors():
        image = Image.open(file, formats=FORMATS)
    megapixels = image.width * image.height / 1e6
    if megapixels > max_megapixels:
        raise ValueError(
            f"has {megapixels:,.1f} megapixels, more than dataset.max_megapixels={max_megapixels}"
        )
    if max(image.size) > MAX_ASPECT * min(image.size):
        raise ValueError(
            f"is {image.width} x {image.height} pixels, one side over {MAX_ASPECT} times the other"
        )
    with _pillow_errors():
        ImageOps.exif_transpose(image, in_place=True)
        return _rgb(image)


def resized(image: Image.Image, shorter_px: int) -> Image.Image:
    """The image with its shorter side of so many pixels."""
    scale = shorter_px / min(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    # The gap lets Pillow average whole blocks of large photographs first; 3 is nearly the same as
    # one exact step.
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)


@contextmanager
def _pillow_errors() -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError:  # its own text is the address of an object
        raise ValueError(NO_IMAGE) from None
    except Exception as error:  # on damaged files Pillow's readers raise nearly anything
        raise ValueError(f"does not decode ({str(error) or type(error).__name__})") from error


def _rgb(image: Image.Image) -> Image.Image:
    """RGB without the traps of `convert`: 16 bits are not clipped, hidden colours stay hidden."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        eight_bits = (np.asarray(image).astype(np.uint32) + 128) // 257
        return Image.fromarray(eight_bits.astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(
            f"mode {image.mode!r} does not say which value is white; save it with 8 or 16 bits"
        )
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")
