"""What a person names or holds -> pixels, decoded as preprocessing decodes."""

import glob
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageOps

from ..data.images import Pixels
from ..data.ingest.decode import decode, named_like_image
from ..network.augment import test_view
from .model import Pictures

SAVED_AS_PNG = ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA")


def named(words: Sequence[str], listed: Iterable[str] = ()) -> list[str]:
    """The files that are meant, each once, in the order in which they were named.

    Args:
        words: Files, folders with everything below them, patterns, and `-` for the list.
        listed: The lines of a list. What they name need not be there: a line of many that is wrong
            is no reason to answer none.

    Raises:
        ValueError: A word of the command names no image.
    """
    found: dict[str, None] = {}
    for word in words:
        if word == "-":
            lines = (line.rstrip("\r\n") for line in listed)
            paths = [path for line in lines if line for path in _meant(line) or [line]]
        else:
            paths = _meant(word)
            if not paths:
                raise ValueError(
                    f"{word!r}: expected an image, or a folder or pattern of some, found none. "
                    "Check the path."
                )
        found |= dict.fromkeys(paths)
    if not found:
        raise ValueError("stdin: expected a list of images, got no line. Name one in each.")
    return list(found)


def _meant(word: str) -> list[str]:
    if os.path.isdir(word):
        return list(_below(word))
    if os.path.lexists(word):  # also where its name holds the signs of a pattern
        return [word]
    places = sorted(glob.glob(word, recursive=True))
    return [
        path for place in places for path in (_below(place) if os.path.isdir(place) else [place])
    ]


def _below(folder: str) -> Iterator[str]:
    """Image files below a folder, in the order of their names; hidden ones are passed over."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if named_like_image(name) and not name.startswith("."):
                yield os.path.join(place, name)


def seen(pictures: Iterable[Any], how: Pictures) -> list[Pixels]:
    """What the network sees of pictures that can be used, uint8 [S, S, 3] each.

    Raises:
        ValueError: One cannot be used.
    """
    crops = []
    for number, picture in enumerate(pictures, 1):
        try:
            pixels = pixels_of(picture, how)
        except ValueError as error:
            raise ValueError(f"{name_of(picture, number)}: {error}.") from error
        (crop,) = test_view([pixels], [0], how.preprocessing)
        crops.append(crop.permute(1, 2, 0).numpy())
    return crops


def name_of(picture: Any, number: int) -> str:
    """Its path, else its number."""
    return os.fspath(picture) if isinstance(picture, str | os.PathLike) else f"image {number}"


def pixels_of(picture: Any, how: Pictures) -> Pixels:
    """The pixels that preprocessing would have stored, uint8 [H, W, 3].

    Args:
        picture: A path, the bytes of a file, a PIL image, or an array uint8 [H, W, 3] of RGB or
            [H, W] of grey.
        how: Of the model.

    Raises:
        ValueError: Why the picture cannot be used, as the end of a sentence that begins with its
            name.
    """
    if isinstance(picture, str | os.PathLike):
        return _pixels_of_file(Path(picture), how)
    if isinstance(picture, bytes):
        return _decoded(io.BytesIO(picture), how)
    if isinstance(picture, np.ndarray):
        picture = _image_of(picture)
    if not isinstance(picture, Image.Image):
        raise ValueError(
            f"is a {type(picture).__name__}, expected a path, bytes of a file, a PIL image or an "
            "array of uint8"
        )
    if picture.mode == "F":  # of a file it is refused, too
        raise ValueError("is of mode 'F', which does not say which value is white; give 8 bits")
    file = io.BytesIO()
    upright = ImageOps.exif_transpose(picture)  # a copy
    readable = upright if upright.mode in SAVED_AS_PNG else upright.convert("RGB")
    readable.save(file, "PNG", compress_level=0)
    file.seek(0)
    return _decoded(file, how)


def _decoded(file: IO[bytes] | Path, how: Pictures) -> Pixels:
    return decode(
        file,
        max_megapixels=how.max_megapixels,
        shorter_px=how.store_px,
        contrast=how.contrast,
    )


def _pixels_of_file(path: Path, how: Pictures) -> Pixels:
    if not path.is_file():  # a pipe would be waited for
        raise ValueError("is a folder" if path.is_dir() else "is no file")
    try:
        return _decoded(path, how)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror or error})") from error


def _image_of(array: np.ndarray) -> Image.Image:
    if array.dtype != np.uint8 or array.shape[2:] not in ((), (3,)) or 0 in array.shape:
        raise ValueError(
            f"is an array of {array.dtype} {list(array.shape)}, expected uint8 [H, W, 3] or [H, W]"
        )
    return Image.fromarray(array)
