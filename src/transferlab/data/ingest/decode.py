"""An image file -> RGB pixels; the only way there is, so training and prediction see the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from ..images import WHOLE_RANGE, Contrast, Pixels

FORMATS = ("JPEG", "PNG", "WEBP", *(("AVIF",) if features.check("avif") else ()))
FORMATS += ("BMP", "TIFF", "PPM")

NO_IMAGE = f"is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image"

HEIC = (
    "is HEIC, which is read where pillow-heif is installed: pip install pillow-heif. Or save it as "
    "JPEG, on macOS with sips -s format jpeg, elsewhere with heif-convert"
)

ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif", ".avif"),
)
"""Of names that claim to be images."""

MAX_ASPECT = 50
"""Longer side over shorter side; at 1 x 50 000 pixels, bringing the shorter side to `store_px`
would take gigabytes.
"""

BRIGHTEST = "brightest of the upper 8 bits"
"""In `Image.info` of an image with 16 bits a colour, of which Pillow reads the upper 8 alone."""

# Pillow's limit is one for the whole process and half of it only a warning; `decode` has one per
# call instead.
Image.MAX_IMAGE_PIXELS = None

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

if find_spec("pillow_heif"):  # an extra: its codec is not everywhere to be had
    from pillow_heif import register_heif_opener

    register_heif_opener()
    FORMATS += ("HEIF",)


def named_like_image(name: str) -> bool:
    """Whether a file's name claims that it is an image."""
    return name.lower().endswith(ENDINGS)


def decode(
    file: IO[bytes] | Path,
    *,
    max_megapixels: int,
    shorter_px: int | None = None,
    contrast: Contrast = WHOLE_RANGE,
) -> Pixels:
    """Turn an image file into RGB; the only way there is, so training and prediction see the same.

    Applies EXIF rotation, scales 16 bits to 8, puts transparency on white. The format is told by
    content, not by name.

    Args:
        file: path or opened file.
        max_megapixels: larger images are refused before their pixels are read.
        shorter_px: bring the shorter side to this, up or down, antialiased, and the longer one in
            proportion, rounded; with `dataset.store_px`, the pixels are those that preprocessing
            stores. None keeps the size.
        contrast: of images with 16 bits of grey, the values that become black and white; that of
            the data set stands in its classes.json.

    Returns:
        Writable uint8 [H, W, 3].

    Raises:
        ValueError: why the image cannot be used, as the end of a sentence that begins with its
            name.
    """
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return decode(
                opened, max_megapixels=max_megapixels, shorter_px=shorter_px, contrast=contrast
            )
    image = decoded(file, max_megapixels)
    values = values_of(image if shorter_px is None else resized(image, shorter_px))
    return values if values.ndim == 3 else in_eight_bits(values, contrast)


def opened(file: IO[bytes], max_megapixels: int) -> Image.Image:
    """The image, of which the head alone is read; see `decode`."""
    with _pillow_errors(file):
        image = Image.open(file, formats=FORMATS)
        _refuse_endless(image)
    megapixels = image.width * image.height / 1e6
    if megapixels > max_megapixels:
        raise ValueError(
            f"has {megapixels:,.1f} megapixels, more than dataset.max_megapixels={max_megapixels}"
        )
    if max(image.size) > MAX_ASPECT * min(image.size):
        raise ValueError(
            f"is {image.width} x {image.height} pixels, one side over {MAX_ASPECT} times the other"
        )
    return image


def decoded(file: IO[bytes], max_megapixels: int) -> Image.Image:
    """The image upright in its own size: RGB, or grey of 16 bits in mode F; see `decode`."""
    image = opened(file, max_megapixels)
    with _pillow_errors(file):
        deep = _has_colour_of_16_bits(image)
        ImageOps.exif_transpose(image, in_place=True)
        upright = _rgb_or_grey(image)
        if deep:  # before transparency: a transparent black looks white
            upright.info[BRIGHTEST] = max(high for _, high in image.getextrema()[:3])  # type: ignore[misc]
    return upright


def resized(image: Image.Image, shorter_px: int) -> Image.Image:
    """The image with its shorter side of so many pixels."""
    scale = shorter_px / min(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    # The gap lets Pillow average whole blocks of large photographs first; 3 is nearly the same as
    # one exact step.
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)


def values_of(image: Image.Image) -> np.ndarray:
    """Pixels of a decoded image: uint8 [H, W, 3], or uint16 [H, W] of grey with 16 bits."""
    values = np.array(image)
    return values if image.mode == "RGB" else np.rint(values).clip(*WHOLE_RANGE).astype(np.uint16)


def in_eight_bits(values: np.ndarray, contrast: Contrast) -> Pixels:
    """Grey of 16 bits [H, W] as RGB, uint8 [H, W, 3], from black to white of `contrast`."""
    low, high = contrast
    share = (values.astype(np.float64).clip(low, high) - low) / (high - low)
    grey = np.rint(255 * share).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


@contextmanager
def _pillow_errors(file: IO[bytes]) -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError:  # its own text is the address of an object
        file.seek(0)
        start = file.read(12)
        is_heic = start[4:8] == b"ftyp" and start[8:] in _HEIF_BRANDS and "HEIF" not in FORMATS
        raise ValueError(HEIC if is_heic else NO_IMAGE) from None
    except Exception as error:  # on damaged files Pillow's readers raise nearly anything
        raise ValueError(f"does not decode ({str(error) or type(error).__name__})") from error


def _refuse_endless(image: Image.Image) -> None:
    if image.mode in ("I", "F") and not _of_ppm(image):
        raise ValueError(
            f"mode {image.mode!r} does not say which value is white; save it with 8 or 16 bits"
        )


def _of_ppm(image: Image.Image) -> bool:
    """Whether it is grey of a PPM with more than 8 bits, whose white the file tells."""
    return image.mode == "I" and image.format == "PPM"


def _has_colour_of_16_bits(image: Image.Image) -> bool:
    """Whether the file has 16 bits for each of several channels; to be asked before it is read."""
    raw = [str(tile[3]) for tile in image.tile]  # type: ignore[attr-defined]
    return not image.mode.startswith("I") and any(";16" in arguments for arguments in raw)


def _rgb_or_grey(image: Image.Image) -> Image.Image:
    """RGB without the traps of `convert`: 16 bits are not clipped, hidden colours stay hidden."""
    if image.mode.startswith("I;16") or _of_ppm(image):
        return Image.fromarray(np.asarray(image).astype(np.float32))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")
