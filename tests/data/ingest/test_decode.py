"""No image is silently changed: every mode becomes RGB, or the file is refused."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archives import NOT_USABLE, Place, decoded, picture, saved, tree
from PIL import Image

from transferlab.data.images import load_images
from transferlab.data.ingest.decode import decode
from transferlab.pipeline.files import read_json


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


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "MPO"])
def test_of_several_frames_or_pages_the_first_is_the_image(kind: str) -> None:
    first, second = (Image.new("RGB", (16, 16), grey) for grey in ("white", "black"))
    content = saved(first, kind, save_all=True, append_images=[second])
    with Image.open(io.BytesIO(content)) as image:
        assert image.n_frames == 2  # type: ignore[attr-defined]
    assert decoded(content).min() > 250


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


def grey_of_12_bits(number: int) -> bytes:
    values = np.random.default_rng(number).integers(0, 4096, (20, 20), dtype=np.uint16)
    return saved(Image.fromarray(values), "TIFF")


def test_12_bits_in_16_use_the_contrast_of_the_training_images(place: Place) -> None:
    names = [f"{part}/{name}/{i}.tif" for part in ("train", "val") for name in "ab" for i in "012"]
    members = {name: grey_of_12_bits(seed) for seed, name in enumerate(names)}
    bright = np.full((20, 20), 60_000, dtype=np.uint16)
    place.run({**members, "val/a/9.tif": saved(Image.fromarray(bright), "TIFF")}, store_px=20)
    contrast = read_json(place.out / "classes.json")["contrast"]
    assert contrast["bits"] == 16 and contrast["black"] < 20 and 4075 < contrast["white"] < 4096
    images = load_images(place.out / "test", ["a", "b"])
    assert 120 < np.asarray(images[0]).mean() < 135
    assert np.all(np.asarray(images[3]) == 255), "a test image moves no contrast"
    black_and_white = (contrast["black"], contrast["white"])
    again = decoded(members["val/a/0.tif"], shorter_px=20, contrast=black_and_white)
    assert np.array_equal(again, images[0]), "a later prediction sees the same"


def test_eight_bits_alone_need_no_contrast(place: Place) -> None:
    place.run(tree())
    assert "contrast" not in read_json(place.out / "classes.json")


def test_colours_of_16_bits_that_are_nearly_black_are_refused(place: Place) -> None:
    members = {name: png_of_16_bits(4000) for name in tree()}
    place.refused(
        "colours that use all of 16 bits, got 12 images, such as .*, that use 12 bits at most",
        members,
        on_duplicate="allow",
    )


def png_of_16_bits(value: int) -> bytes:
    """A PNG of 4 x 4 pixels of one colour, in 16 bits for each channel."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    lines = 4 * (b"\0" + 12 * struct.pack(">H", value))
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_avif_is_read_and_heic_says_how_to_convert_it() -> None:
    content = saved(Image.new("RGB", (16, 16), RED), "AVIF")
    assert np.abs(decoded(content).astype(int) - RED).max() < 12
    with pytest.raises(ValueError, match="is HEIC, which is read where pillow-heif is installed"):
        decoded(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")
