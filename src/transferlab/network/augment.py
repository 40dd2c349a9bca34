"""uint8 images -> batches of pixels: the test view, and random views drawn from (seed, image, view)
alone.

A view is drawn by a table, not by the order of calls, so batches, threads and strategies all see
the same crops.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from ..data.chance import drawn_seed, named_generator
from ..params.learning.network import Preprocessing
from ..params.learning.training import Augment

TRIES = 10  # of RandomResizedCrop before it falls back to the centre

GREY = (0.2989, 0.587, 0.114)  # of red, green and blue, as in torchvision


class Pictures(Protocol):
    """Images by index: uint8 [H, W, 3] of any size: an array, or a tensor on the device that makes
    the crops.
    """

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> np.ndarray | Tensor: ...


def test_view(images: Pictures, rows: Iterable[int], preprocessing: Preprocessing) -> Tensor:
    """Shorter side to `resize_px`, or both, then the centre: uint8 [B, 3, crop_px, crop_px]."""
    return torch.cat([_centre(_pixels(images[row]), preprocessing) for row in rows])


def random_view(
    images: Pictures,
    rows: Iterable[int],
    *,
    view: int,
    seed: int,
    augment: Augment,
    side: int,
    preprocessing: Preprocessing,
) -> Tensor:
    """One random view of each image: RandomResizedCrop with antialiasing, a flip, and the policy.

    Where scale and ratio are 1 nothing is cropped: it is the test view, flipped perhaps.

    Args:
        images: All training images; the table has a row for each.
        rows: Which of them.
        view: Number of the view, from 0.
        seed: Together with the view and the image's row it fixes the crop.
        augment: Ranges.
        side: Of the square that the network will see, in pixels.
        preprocessing: Of the weights.

    Returns:
        uint8 [B, 3, S, S], where the images are; S is `side`, times `oversize`.
    """
    table = _draws(seed, f"view/{view}", len(images), 2 * TRIES + 3)
    whole = augment.crop_scale == augment.crop_ratio == (1, 1)
    size, policy = round(side * augment.oversize), policy_of(augment.policy)
    crops = []
    for row in rows:
        image, draws = images[row], table[row]
        if whole:
            crop = _centre(_pixels(image), preprocessing)
        else:
            top, left, height, width = crop_box(image.shape[0], image.shape[1], draws, augment)
            crop = _pixels(image[top : top + height, left : left + width])
        crop = _resize(crop, size, size, preprocessing.interpolation)
        crop = crop.flip(-1) if draws[-1] < augment.flip else crop
        if policy is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(drawn_seed(seed, f"view/{view}/policy/{row}"))
                crop = policy(crop)
        crops.append(crop)
    return torch.cat(crops)


@functools.cache
def policy_of(name: str | None) -> Callable[[Tensor], Tensor] | None:
    """A policy of torchvision by its name, as published: two operations of strength 9 of 30
    (RandAugment, arXiv 1909.13719), or one of any strength (TrivialAugment, arXiv 2103.10158).
    """
    if name is None:
        return None
    from torchvision.transforms import v2

    made: Callable[[Tensor], Tensor]
    made = v2.RandAugment() if name == "randaugment" else v2.TrivialAugmentWide()
    return made


def middle(pixels: Tensor, side: int) -> Tensor:
    """The central square of [B, 3, S, S], [B, 3, side, side]."""
    start = round((pixels.shape[-1] - side) / 2)
    return pixels[..., start : start + side, start : start + side]


def crop_box(
    height: int, width: int, draws: np.ndarray, augment: Augment
) -> tuple[int, int, int, int]:
    """RandomResizedCrop's box (Szegedy et al. 2014, as in torchvision) from given uniform numbers.

    Args:
        height: Of the image.
        width: Of the image.
        draws: At least 22 numbers in [0, 1): ten tries at area and log ratio, then the position.
        augment: Ranges of area and ratio.

    Returns:
        top, left, height, width.
    """
    low, high = augment.crop_scale
    log_low, log_high = np.log(augment.crop_ratio)
    areas = height * width * (low + draws[:TRIES] * (high - low))
    ratios = np.exp(log_low + draws[TRIES : 2 * TRIES] * (log_high - log_low))
    widths = np.rint(np.sqrt(areas * ratios)).astype(int)
    heights = np.rint(np.sqrt(areas / ratios)).astype(int)
    fits = np.flatnonzero((widths > 0) & (widths <= width) & (heights > 0) & (heights <= height))
    if len(fits):
        box = int(heights[fits[0]]), int(widths[fits[0]])
        down, right = draws[2 * TRIES : 2 * TRIES + 2]
        return int(down * (height - box[0] + 1)), int(right * (width - box[1] + 1)), *box
    ratio = min(max(width / height, augment.crop_ratio[0]), augment.crop_ratio[1])
    box = max(1, min(height, round(width / ratio))), max(1, min(width, round(height * ratio)))
    return (height - box[0]) // 2, (width - box[1]) // 2, *box


def scaled(pixels: Tensor, device: torch.device) -> Tensor:
    """uint8 [B, 3, S, S] -> float32 in [0, 1] on the device."""
    return pixels.to(device, non_blocking=device.type == "cuda").to(torch.float32).div_(255)


def disturb(
    pixels: Tensor, rows: Sequence[int], *, view: int, seed: int, augment: Augment, images: int
) -> Tensor:
    """Rotate and recolour every image by numbers of its own, drawn from (seed, image, view) alone.

    Rotation is bilinear about the centre, black where nothing was. Colours are changed as by
    torchvision's ColorJitter, always in the order brightness, contrast, saturation, hue.

    Args:
        pixels: float32 [B, 3, S, S] in [0, 1].
        rows: Which images they are.
        view: Number of the view, from 0.
        seed: Together with the view and the image's row it fixes the change.
        augment: Ranges.
        images: Number of all training images; the table has a row for each.

    Returns:
        float32 [B, 3, S, S] in [0, 1].
    """
    ranges = [augment.brightness, augment.contrast, augment.saturation]
    if not any([augment.rotation, *ranges, augment.hue]):
        return pixels
    table = _draws(seed, f"view/{view}/colour and angle", images, 5)[rows]
    draws = torch.from_numpy(table).to(pixels.device, torch.float32)
    draws = draws.T[..., None, None, None]  # [5, B, 1, 1, 1]
    if augment.rotation:
        pixels = _rotate(pixels, (2 * draws[0] - 1) * augment.rotation)
    for index, (reach, base) in enumerate(zip(ranges, (_black, _mean_grey, _grey), strict=True), 1):
        if reach:
            low = max(0.0, 1 - reach)
            factor = low + draws[index] * (1 + reach - low)
            pixels = (factor * pixels + (1 - factor) * base(pixels)).clamp_(0, 1)
    return _turn_hue(pixels, (2 * draws[4] - 1) * augment.hue) if augment.hue else pixels


def normalise(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """float32 [B, 3, S, S] in [0, 1] -> by the weights' own mean and standard deviation, in
    place.
    """
    mean = torch.tensor(preprocessing.mean, device=pixels.device).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std, device=pixels.device).view(1, 3, 1, 1)
    return pixels.sub_(mean).div_(std)


def training_side(preprocessing: Preprocessing, resolution: float) -> int:
    """Side of the training crops in pixels: a share of the network's own, rounded to 8."""
    return (
        preprocessing.crop_px
        if resolution == 1
        else max(8, round(preprocessing.crop_px * resolution / 8) * 8)
    )


def _pixels(image: np.ndarray | Tensor) -> Tensor:
    """uint8 [H, W, 3] -> [1, 3, H, W], channels last in memory: the layout the uint8 resize is fast
    in.
    """
    # a copy: maps are read-only
    pixels = image if isinstance(image, Tensor) else torch.from_numpy(np.array(image))
    return pixels.permute(2, 0, 1)[None]


def _resize(pixels: Tensor, height: int, width: int, interpolation: str) -> Tensor:
    if pixels.shape[-2:] == (height, width):
        return pixels
    if pixels.device.type == "cpu":
        return interpolate(pixels, (height, width), mode=interpolation, antialias=True)
    return _resize_float(pixels, height, width, interpolation)


def _resize_float(pixels: Tensor, height: int, width: int, interpolation: str) -> Tensor:
    """The same where torch has no kernel for uint8, up to rounding."""
    resized = interpolate(pixels.float(), (height, width), mode=interpolation, antialias=True)
    return resized.round_().clamp_(0, 255).to(torch.uint8)


def _centre(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    height, width = pixels.shape[-2:]
    scale, side = preprocessing.resize_px / min(height, width), preprocessing.crop_px
    if preprocessing.resize == "squash":
        height = width = preprocessing.resize_px
    else:  # torchvision's Resize truncates the longer side
        height, width = (
            max(preprocessing.resize_px, int(n * scale + 1e-9)) for n in (height, width)
        )
    pixels = _resize(pixels, height, width, preprocessing.interpolation)
    top, left = round((height - side) / 2), round((width - side) / 2)
    return pixels[..., top : top + side, left : left + side]


@functools.lru_cache(maxsize=2)
def _draws(seed: int, purpose: str, rows: int, columns: int) -> np.ndarray:
    """Uniform numbers in [0, 1), float64 [rows, columns]; a row does not depend on how many there
    are.
    """
    return named_generator(seed, purpose).random((rows, columns))


def _rotate(pixels: Tensor, degrees: Tensor) -> Tensor:
    """Counter-clockwise by degrees [B, 1, 1, 1]."""
    angle = degrees.flatten().deg2rad()
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # From places in the result to places in the image, hence the other way round.
    turn = torch.stack([cosine, -sine, zero, sine, cosine, zero], dim=1).view(-1, 2, 3)
    grid = affine_grid(turn, list(pixels.shape), align_corners=False)
    return grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _black(pixels: Tensor) -> Tensor:
    return torch.zeros_like(pixels[:, :1])


def _grey(pixels: Tensor) -> Tensor:
    return (pixels * torch.tensor(GREY, device=pixels.device).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _mean_grey(pixels: Tensor) -> Tensor:
    return _grey(pixels).mean((2, 3), keepdim=True)


def _turn_hue(pixels: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue by shares of the colour circle [B, 1, 1, 1], value and saturation of HSV as they
    were.
    """
    value, largest = pixels.max(1, keepdim=True)
    chroma = value - pixels.amin(1, keepdim=True)
    # Sixths of the circle: from the channel that is largest, towards the one after it.
    after, before = pixels.gather(1, (largest + 1) % 3), pixels.gather(1, (largest + 2) % 3)
    hue = 2 * largest + (after - before) / chroma.clamp_min(1e-12) + 6 * turns
    k = (hue + torch.tensor([5.0, 3.0, 1.0], device=pixels.device).view(1, 3, 1, 1)) % 6
    return value - chroma * torch.minimum(k, 4 - k).clamp(0, 1)
