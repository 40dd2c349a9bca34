"""No image is silently changed: every mode becomes RGB, or the file is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archives import NOT_USABLE, decoded, picture, saved
from PIL import Image

from transferlab.data.ingest.decode import decode


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    values = np.full((4, 6), 30_000, dtype=np.uint16)
    for kind in ("PNG", "TIFF", "PPM"):
        # 30000 / 65535 * 255 = 116.7
        assert np.all(decoded(saved(Image.fromarray(values), kind)) == 117), kind


def test_thirty_two_bit_pixels_are_refused_because_their_white_is_unknown() -> None:
    for mode in ("I", "F"):
        with pytest.raises(
            ValueError,
            match=f"mode '{mode}' does not say which value is white; save it with 8 or 16 bits",
        ):
            decoded(saved(Image.new(mode, (4, 4), 200), "TIFF"))


RED = (200, 10, 30)


def palette(**options: Any) -> bytes:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, *RED])
    return saved(image, **options)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (saved(Image.new("RGBA", (4, 4), (*RED, 0))), (255, 255, 255)),
        (saved(Image.new("RGBA", (4, 4), (*RED, 51))), (244, 206, 210)),
        (saved(Image.new("LA", (4, 4), (90, 0))), (255, 255, 255)),
        (palette(transparency=1), (255, 255, 255)),
        (saved(Image.new("RGB", (4, 4), RED), transparency=RED), (255, 255, 255)),
        (palette(), RED),
        (saved(Image.new("L", (4, 4), 90)), (90, 90, 90)),
        (saved(Image.new("1", (4, 4), 1)), (255, 255, 255)),
        (saved(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
        (saved(Image.new("RGB", (4, 4), RED), "WEBP", lossless=True), RED),
        (saved(Image.new("RGB", (4, 4), RED), "BMP"), RED),
        (saved(Image.new("RGB", (4, 4), RED), "PPM"), RED),
    ],
    ids=[
        "RGBA",
        "RGBA 20 %",
        "LA",
        "P clear",
        "RGB clear",
        "P",
        "L",
        "1",
        "CMYK",
        "WEBP",
        "BMP",
        "PPM",
    ],
)
def test_every_mode_becomes_rgb_and_transparency_becomes_white(
    content: bytes, expected: tuple[int, ...]
) -> None:
    pixels = decoded(content)
    assert pixels.shape == (4, 4, 3) and pixels.dtype == np.uint8
    assert np.all(pixels == expected)


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    image = Image.new("RGB", (8, 4), "black")
    image.paste("white", (0, 0, 2, 4))
    pixels = decoded(saved(image, "PNG", exif=exif))
    assert pixels.shape == (8, 4, 3)
    assert pixels[:2].min() == 255 and pixels[2:].max() == 0


@pytest.mark.parametrize("name", NOT_USABLE)
def test_what_cannot_be_used_says_why(name: str) -> None:
    content, reason = NOT_USABLE[name]
    with pytest.raises(ValueError, match=f"^{reason}") as caught:
        decoded(content)
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("kind", ["GIF", "EPS"])
def test_other_formats_are_not_opened_whatever_their_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "renamed.jpg"
    path.write_bytes(saved(Image.new("RGB", (9, 9)), kind))
    with pytest.raises(ValueError, match="is not a JPEG"):
        decode(path, max_megapixels=1)


@pytest.mark.parametrize(
    ("size", "expected"), [((40, 20), (8, 16)), ((20, 27), (11, 8)), ((4, 4), (8, 8))]
)
def test_the_shorter_side_is_resized_up_or_down_and_the_longer_one_rounded(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert decoded(picture(size=size), shorter_px=8).shape == (*expected, 3)


def test_downscaling_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    pixels = decoded(saved(Image.fromarray(stripes)), shorter_px=8)
    assert np.all(np.abs(pixels.astype(int) - 128) < 20)
