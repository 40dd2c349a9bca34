"""Classes of procedurally drawn images, for work without a network and for a source task to learn
from.

A pattern is a function of the plane: from coordinates in which it repeats about once per unit to
ink between 0 and 1. Orientation, scale, phase, colours, light and noise are drawn anew for every
image and tell nothing about the class; plain ones have scale, phase and noise alone.
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...params.dataset import Textures
from ..chance import named_generator
from . import pack

Plane = npt.NDArray[np.float64]

Pattern = Callable[[Plane, Plane, np.random.Generator], Plane]

OVERSAMPLING = 2
"""Ink is drawn on a grid this much finer and averaged, against jagged edges."""


WHITE_AND_BLACK = np.array([[1.0] * 3, [0.0] * 3])


def write_archive(textures: Textures, archive: Path) -> None:
    """Draw a data set into a zip of train/<class>/000.png and test/<class>/000.png, the same bytes
    every time.

    Every image depends on the seed, its split, class and number alone: more of them leave the
    others as they are.
    """
    members: dict[str, Path | bytes] = {}
    for split, count in (("train", textures.train_per_class), ("test", textures.test_per_class)):
        for name in textures.classes:
            for index in range(count):
                generator = named_generator(textures.seed, f"texture/{split}/{name}/{index}")
                content, plain = io.BytesIO(), textures.plain
                image = draw(name, textures.px, textures.noise, generator, plain=plain)
                Image.fromarray(image).save(content, "PNG")
                members[f"{split}/{name}/{index:03d}.png"] = content.getvalue()
    pack.write_zip(archive, members)


def draw(
    pattern: str, px: int, noise: float, generator: np.random.Generator, *, plain: bool = False
) -> npt.NDArray[np.uint8]:
    """Draw one image.

    Args:
        pattern: key of `PATTERNS`.
        px: side of the image.
        noise: standard deviation of the pixel noise, as a share of the full range.
        generator: the only source of chance.
        plain: upright, black on white and in even light.

    Returns:
        uint8 [px, px, 3].
    """
    fine = px * OVERSAMPLING
    line = (np.arange(fine) + 0.5) / fine - 0.5
    x, y = np.meshgrid(line, line)
    angle, repeats = generator.uniform(0, 2 * np.pi), generator.uniform(3.0, 6.0)
    angle = 0.0 if plain else angle
    phase_u, phase_v = generator.uniform(-1.2, 1.2, 2)
    u = (np.cos(angle) * x - np.sin(angle) * y) * repeats + phase_u
    v = (np.sin(angle) * x + np.cos(angle) * y) * repeats + phase_v
    ink = (
        PATTERNS[pattern](u, v, generator).reshape(px, OVERSAMPLING, px, OVERSAMPLING).mean((1, 3))
    )
    colours = WHITE_AND_BLACK if plain else _two_colours(generator)
    image = colours[0] + ink[..., None] * (colours[1] - colours[0])
    light = np.zeros((px, px)) if plain else _light(px, generator)
    image += light[..., None] + noise * generator.standard_normal((px, px, 3))
    return np.asarray(np.clip(image * 255, 0, 255).round(), dtype=np.uint8)


def _two_colours(generator: np.random.Generator) -> Plane:
    """Two colours a limited distance apart, in random order, [2, 3]."""
    middle = generator.uniform(0.3, 0.7, 3)
    direction = generator.standard_normal(3)
    half = direction / np.linalg.norm(direction) * generator.uniform(0.12, 0.3)
    return np.stack([middle - half, middle + half])


def _light(px: int, generator: np.random.Generator) -> Plane:
    """Brightness that falls off in a random direction, [px, px]."""
    slope_x, slope_y = generator.normal(0, 0.12, 2)
    line = np.linspace(-1, 1, px)
    return np.asarray(slope_x * line[None, :] + slope_y * line[:, None])


def _wave(t: Plane) -> Plane:
    """Bands of ink with soft edges, one per unit of `t`."""
    return np.clip(0.5 + 1.5 * np.sin(2 * np.pi * t), 0, 1)


def _cell(t: Plane) -> Plane:
    """Signed distance from the middle of the unit cell, in [-0.5, 0.5]."""
    return t - np.round(t)


def _stripes(u: Plane, v: Plane, generator: np.random.Generator) -> Plane:
    return _wave(u)


def _waves(u: Plane, v: Plane, generator: np.random.Generator) -> Plane:
    return _wave(u + 0.4 * np.sin(2 * np.pi * v * 0.4))


def _zigzag(u: Plane, v: Plane, generator: np.random.Generator) -> Plane:
    return _wave(u + 2.4 * np.abs(_cell(v * 0.5)))


def _grid(u: Plane, v: Plane, generator: np.random.Generator) -> Plane:
    return np.asarray((np.abs(_cell(u)) < 0.12) | (np.abs(_cell(v)) < 0.12), dtype=float)


def _checks(u: Plane, v: Plane, generator: np.random.Generator) -> Plane:
    return np.asarray((np.floor(u) + np.floor(v)) % 2)


def _bricks(u: Plane, v: Plane, generator: np.random.Generator) -> Plane:
    shifted = u * 0.6 + 0.5 * (np.round(v) % 2)
    return np.asarray((np.abs(_cell(shifted)) < 0.43) & (np.abs(_cell(v)) < 0.4), dtype=float)


def _dots(u: Plane, v: Plane, generator: np.random.Generator) -> Plane:
    return np.asarray(np.hypot(_cell(u), _cell(v)) < generator.uniform(0.2, 0.35), dtype=float)


def _rings(u: Plane, v: Plane, generator: np.random.Generator) -> Plane:
    return _wave(np.hypot(u, v))


def _spirals(u: Plane, v: Plane, generator: np.random.Generator) -> Plane:
    arms = generator.choice([-3, -2, 2, 3])
    return _wave(np.hypot(u, v) + arms * np.arctan2(v, u) / (2 * np.pi))


def _rays(u: Plane, v: Plane, generator: np.random.Generator) -> Plane:
    return _wave(generator.integers(6, 13) * np.arctan2(v, u) / (2 * np.pi))


def _crosses(u: Plane, v: Plane, generator: np.random.Generator) -> Plane:
    a, b = np.abs(_cell(u)), np.abs(_cell(v))
    return np.asarray((np.minimum(a, b) < 0.1) & (np.maximum(a, b) < 0.34), dtype=float)


def _triangles(u: Plane, v: Plane, generator: np.random.Generator) -> Plane:
    return np.asarray(u % 1 < v % 1, dtype=float)


def _blobs(u: Plane, v: Plane, generator: np.random.Generator) -> Plane:
    """Level set of a sum of waves of one length in many directions."""
    angles, phases = generator.uniform(0, 2 * np.pi, (2, 12))
    total = np.zeros_like(u)
    for angle, phase in zip(angles, phases, strict=True):
        total += np.cos(2 * np.pi * 0.8 * (np.cos(angle) * u + np.sin(angle) * v) + phase)
    return np.clip(0.5 + total, 0, 1)


def _noise(u: Plane, v: Plane, generator: np.random.Generator) -> Plane:
    """Unrelated pixels, in grains of one to three."""
    grain = OVERSAMPLING * int(generator.integers(1, 4))
    count = -(-len(u) // grain)
    grains = generator.random((count, count))
    return np.asarray(np.kron(grains, np.ones((grain, grain)))[: len(u), : len(u)])


def _gradient(u: Plane, v: Plane, generator: np.random.Generator) -> Plane:
    return np.clip(0.5 + u / 5, 0, 1)


PATTERNS: dict[str, Pattern] = {
    "stripes": _stripes,
    "grid": _grid,
    "dots": _dots,
    "noise": _noise,
    "blobs": _blobs,
    "bricks": _bricks,
    "checks": _checks,
    "crosses": _crosses,
    "gradient": _gradient,
    "rays": _rays,
    "rings": _rings,
    "spirals": _spirals,
    "triangles": _triangles,
    "waves": _waves,
    "zigzag": _zigzag,
}
"""The first four are the target task; all but those are for a source task."""
