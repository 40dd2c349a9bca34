"""Views depend on (seed, image, view) alone, and agree with torchvision's definitions."""

from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from small import RANGES
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional
from torchvision.transforms.v2.functional import pil_to_tensor

from transferlab.data.chance import named_generator
from transferlab.network import augment
from transferlab.params.learning.network import Preprocessing
from transferlab.params.learning.training import Augment

WEIGHTS = Preprocessing(
    resize_px=40,
    crop_px=32,
    resize="shorter",
    interpolation="bilinear",
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.25, 0.3),
)
CPU = torch.device("cpu")


def smooth_image(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Colours that change slowly, as in a photograph."""
    chance = np.random.default_rng(seed)
    coarse = chance.integers(0, 256, (max(2, height // 8), max(2, width // 8), 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def pictures(count: int = 6) -> list[npt.NDArray[np.uint8]]:
    return [smooth_image(48 + 5 * i, 70 - 3 * i, seed=i) for i in range(count)]


def view(
    rows: list[int],
    number: int = 0,
    seed: int = 0,
    images: list[npt.NDArray[np.uint8]] | None = None,
    ranges: Augment = RANGES,
) -> torch.Tensor:
    return augment.random_view(
        images or pictures(),
        rows,
        view=number,
        seed=seed,
        augment=ranges,
        side=32,
        preprocessing=WEIGHTS,
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(48, 64), (64, 48), (40, 40), (41, 103), (200, 57)])
def test_test_view_is_torchvisions_resize_and_centre_crop(
    size: tuple[int, int], interpolation: Literal["bilinear", "bicubic"]
) -> None:
    image = smooth_image(*size)
    preprocessing = replace(WEIGHTS, interpolation=interpolation)
    ours = augment.test_view([image], [0], preprocessing)[0]
    mode = v2.InterpolationMode(interpolation)
    theirs = v2.Compose([v2.Resize(40, interpolation=mode, antialias=True), v2.CenterCrop(32)])
    assert ours.dtype == torch.uint8
    assert torch.equal(ours, theirs(torch.tensor(image).permute(2, 0, 1)))
    by_pillow = pil_to_tensor(theirs(Image.fromarray(image)))
    assert (ours.int() - by_pillow.int()).abs().max() <= 2


def test_image_of_the_right_size_is_only_cropped() -> None:
    image = smooth_image(40, 40)
    view = augment.test_view([image], [0], WEIGHTS)[0]
    assert torch.equal(view, torch.tensor(image)[4:36, 4:36].permute(2, 0, 1))


@pytest.mark.parametrize("size", [(300, 200), (64, 64), (90, 64)])
def test_boxes_lie_in_the_image_with_area_and_ratio_in_their_ranges(size: tuple[int, int]) -> None:
    height, width = size
    draws = np.random.default_rng(0).random((2000, 23))
    boxes = np.array([augment.crop_box(height, width, row, RANGES) for row in draws])
    top, left, high, wide = boxes.T
    assert (boxes >= 0).all()
    assert (high > 0).all()
    assert (top + high <= height).all()
    assert (left + wide <= width).all()
    area, ratio = high * wide / (height * width), wide / high
    pixel = 1.5 / min(size)  # sides are whole pixels
    largest = min(1.0, width / height / 0.75, 1.3333333 * height / width)
    assert 0.25 - pixel < area.min() < 0.3
    assert largest - 0.06 < area.max() <= largest + pixel
    assert 0.75 - 2 * pixel < ratio.min() < 0.8
    assert 1.25 < ratio.max() < 1.3333333 + 2 * pixel


def test_positions_reach_every_edge() -> None:
    draws = np.random.default_rng(0).random((1000, 23))
    top, left, high, wide = np.array([augment.crop_box(20, 20, row, RANGES) for row in draws]).T
    free = high < 20
    assert (top[free] == 0).any()
    assert (top + high == 20)[free].any()
    assert (left[wide < 20] == 0).any()
    assert (left + wide == 20)[wide < 20].any()


def test_box_is_that_of_the_first_try_that_fits() -> None:
    draws = np.zeros(23)
    # the whole area at ratio 0.75 does not fit into a square, 0.625 of it does
    draws[0], draws[1] = (1.0, 0.5)
    assert augment.crop_box(100, 100, draws, RANGES) == (0, 0, 91, 68)
    draws[20:22] = 0.999, 0.5
    assert augment.crop_box(100, 100, draws, RANGES) == (9, 16, 91, 68)


@pytest.mark.parametrize(
    "size, box",
    [
        ((1000, 10), (493, 0, 13, 10)),
        ((10, 1000), (0, 493, 10, 13)),
        ((400, 90), (140, 0, 120, 90)),
    ],
)
def test_where_no_try_fits_the_box_is_torchvisions_central_one(
    size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    whole = replace(RANGES, crop_scale=(1.0, 1.0))
    assert augment.crop_box(*size, np.full(23, 0.5), whole) == box
    theirs = v2.RandomResizedCrop(32, scale=whole.crop_scale, ratio=whole.crop_ratio)
    made = theirs.make_params([torch.zeros(3, *size)])
    assert tuple(made[key] for key in ("top", "left", "height", "width")) == box


def test_ranges_that_no_image_satisfies_still_give_a_pixel() -> None:
    impossible = replace(RANGES, crop_ratio=(500.0, 600.0))
    _, _, high, wide = augment.crop_box(8, 8, np.full(23, 0.5), impossible)
    assert (high, wide) == (1, 8)


def test_random_view_is_the_resized_crop_of_its_box() -> None:
    image = pictures(1)[0]
    draws = named_generator(3, "view/2").random((1, 23))[0]
    top, left, high, wide = augment.crop_box(image.shape[0], image.shape[1], draws, RANGES)
    expected = v2.functional.resized_crop(
        torch.tensor(image).permute(2, 0, 1), top, left, high, wide, [32, 32], antialias=True
    )
    found = view([0], number=2, seed=3, images=[image], ranges=replace(RANGES, flip=0.0))[0]
    assert torch.equal(found, expected)
    flipped = view([0], number=2, seed=3, images=[image], ranges=replace(RANGES, flip=1.0))[0]
    assert torch.equal(flipped, expected.flip(-1))


@pytest.mark.parametrize(
    "batches", [[[0, 1, 2, 3, 4, 5]], [[5, 3], [1], [0, 4, 2]], [[2], [2], [2]]]
)
def test_view_of_an_image_does_not_depend_on_batches_or_their_order(
    batches: list[list[int]],
) -> None:
    for batch in batches:
        for row, pixels in zip(batch, view(batch, number=7), strict=True):
            assert torch.equal(pixels, view([row], number=7)[0])


def test_seed_view_and_image_each_give_other_crops() -> None:
    same = [pictures(1)[0]] * 3
    first = view([0, 1], images=same)
    assert not torch.equal(first[0], first[1]), "two rows"
    assert not torch.equal(first, view([0, 1], number=1, images=same)), "two views"
    assert not torch.equal(first, view([0, 1], seed=1, images=same)), "two seeds"


def test_more_images_leave_the_crops_of_the_earlier_ones_alone() -> None:
    assert torch.equal(view([0, 2], images=pictures(3)), view([0, 2], images=pictures(6)))


def test_views_touch_no_chance_but_their_own() -> None:
    first, before = view([0, 1]), torch.get_rng_state()
    view([0, 1])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(view([0, 1]), first)


@pytest.mark.parametrize("flip", [0.0, 0.3, 0.5, 1.0])
def test_flips_happen_as_often_as_asked(flip: float) -> None:
    ramp = np.repeat(np.arange(32, dtype=np.uint8)[None, :, None], 32, 0).repeat(3, 2)
    ranges = replace(RANGES, flip=flip)
    seen = view(list(range(1000)), images=[ramp] * 1000, ranges=ranges)
    share = (seen[:, 0, :, 0] > seen[:, 0, :, -1]).all(1).float().mean()
    assert share == pytest.approx(flip, abs=0.05 if 0 < flip < 1 else 0)


def test_test_view_is_the_same_whatever_the_ranges_and_the_chance() -> None:
    first = augment.test_view(pictures(), [0, 3], WEIGHTS)
    view([0, 3], number=5, ranges=replace(RANGES, flip=1.0))
    torch.manual_seed(9)
    assert torch.equal(first, augment.test_view(pictures(), [0, 3], WEIGHTS))
    assert torch.equal(first[1:], augment.test_view(pictures(), [3], WEIGHTS))


def test_read_only_images_stay_as_they_are() -> None:
    image = smooth_image(40, 40).copy()
    image.setflags(write=False)
    before = image.copy()
    view([0], images=[image])
    crops = augment.test_view([image], [0], replace(WEIGHTS, resize_px=40, crop_px=40))
    augment.normalise(augment.scaled(crops, CPU), WEIGHTS)
    assert (image == before).all()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_images_that_are_tensors_give_the_crops_of_arrays(
    interpolation: Literal["bilinear", "bicubic"],
) -> None:
    arrays, how = pictures(), replace(WEIGHTS, interpolation=interpolation)
    tensors = [torch.tensor(image) for image in arrays]
    found, expected = (
        augment.random_view(
            images, [4, 1], view=0, seed=0, augment=RANGES, side=24, preprocessing=how
        )
        for images in (tensors, arrays)
    )
    assert torch.equal(found, expected)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("side", [40, 150])
def test_crops_resized_as_floats_are_those_of_uint8_up_to_rounding(
    side: int, interpolation: str
) -> None:
    pixels = torch.tensor(smooth_image(90, 120)).permute(2, 0, 1)[None]
    found = augment._resize_float(pixels, side, side, interpolation)
    expected = augment._resize(pixels, side, side, interpolation)
    assert found.dtype == torch.uint8
    assert (found.int() - expected.int()).abs().max() <= 1


def test_normalise_subtracts_the_mean_and_divides_by_the_deviation_of_each_channel() -> None:
    pixels = augment.test_view(pictures(), [0, 1], WEIGHTS)
    found = augment.normalise(augment.scaled(pixels, CPU), WEIGHTS)
    mean, std = (
        torch.tensor(values)[None, :, None, None] for values in (WEIGHTS.mean, WEIGHTS.std)
    )
    torch.testing.assert_close(found, (pixels / 255 - mean) / std)
    assert found.dtype == torch.float32


@pytest.mark.parametrize(
    "crop_px, resolution, side", [(224, 1, 224), (224, 0.7143, 160), (64, 0.5, 32), (32, 0.01, 8)]
)
def test_side_of_the_training_crops_is_a_share_rounded_to_8(
    crop_px: int, resolution: float, side: int
) -> None:
    assert augment.training_side(replace(WEIGHTS, crop_px=crop_px), resolution) == side


MOST = {"rotation": 40.0, "brightness": 0.6, "contrast": 0.6, "saturation": 0.6, "hue": 0.4}


def disturbed(rows: list[int], ranges: Augment, number: int = 0, seed: int = 0) -> torch.Tensor:
    pixels = augment.scaled(view(rows), CPU)
    return augment.disturb(pixels, rows, view=number, seed=seed, augment=ranges, images=6)


def test_disturbance_of_an_image_depends_on_seed_image_and_view_alone() -> None:
    ranges = replace(RANGES, **MOST)
    whole = disturbed([0, 1, 2, 3], ranges)
    assert torch.equal(whole[[3, 1]], disturbed([3, 1], ranges))
    assert not torch.allclose(whole, disturbed([0, 1, 2, 3], ranges, number=1))
    assert not torch.allclose(whole, disturbed([0, 1, 2, 3], ranges, seed=1))
    assert whole.min() >= 0
    assert whole.max() <= 1


def test_disturbance_moves_no_crop() -> None:
    assert torch.equal(view([0, 1], ranges=replace(RANGES, **MOST)), view([0, 1]))


def test_without_ranges_nothing_is_disturbed() -> None:
    assert torch.equal(disturbed([0, 1], RANGES), augment.scaled(view([0, 1]), CPU))


@pytest.mark.parametrize("kind", MOST)
def test_each_image_is_changed_as_torchvision_changes_it(kind: str) -> None:
    rows, reach = [0, 2, 5], MOST[kind]
    column = list(MOST).index(kind)
    draws = named_generator(0, "view/0/colour and angle").random((6, 5))[rows, column]
    low = {"rotation": -reach, "hue": -reach}.get(kind, 1 - reach)
    high = reach if kind in ("rotation", "hue") else 1 + reach
    change = {
        "rotation": lambda image, angle: functional.rotate(
            image, angle, v2.InterpolationMode.BILINEAR
        ),
        "brightness": functional.adjust_brightness,
        "contrast": functional.adjust_contrast,
        "saturation": functional.adjust_saturation,
        "hue": functional.adjust_hue,
    }[kind]
    pixels = augment.scaled(view(rows), CPU)
    expected = [
        change(image, low + float(draw) * (high - low))
        for image, draw in zip(pixels, draws, strict=True)
    ]
    found = disturbed(rows, replace(RANGES, **{kind: reach}))
    torch.testing.assert_close(found, torch.stack(expected), atol=2e-3, rtol=0)
    assert not torch.allclose(found, pixels, atol=0.02)


def test_grey_keeps_its_colour_whatever_the_hue() -> None:
    grey = torch.full((1, 3, 4, 4), 0.3)
    ranges = replace(RANGES, hue=0.5)
    torch.testing.assert_close(
        augment.disturb(grey, [0], view=0, seed=0, augment=ranges, images=1), grey
    )


def test_squashed_view_is_torchvisions_resize_to_a_square() -> None:
    image, squash = smooth_image(40, 90), replace(WEIGHTS, resize="squash", resize_px=32)
    ours = augment.test_view([image], [0], squash)[0]
    theirs = v2.Resize((32, 32), antialias=True)(torch.tensor(image).permute(2, 0, 1))
    assert (ours.int() - theirs.int()).abs().max() <= 1


WHOLE = replace(RANGES, crop_scale=(1, 1), crop_ratio=(1, 1), flip=0)


@pytest.mark.parametrize("resize", ["shorter", "squash"])
def test_without_a_crop_a_training_view_is_the_test_view(
    resize: Literal["shorter", "squash"],
) -> None:
    how, images = replace(WEIGHTS, resize=resize), pictures()
    found = augment.random_view(
        images, [3, 0], view=1, seed=2, augment=WHOLE, side=32, preprocessing=how
    )
    assert torch.equal(found, augment.test_view(images, [3, 0], how))
    flipped = augment.random_view(
        images, [3], view=1, seed=2, augment=replace(WHOLE, flip=1), side=32, preprocessing=how
    )
    assert torch.equal(flipped, found[:1].flip(-1))


def test_oversized_crop_is_seen_in_its_middle_after_it_was_turned() -> None:
    ranges = replace(RANGES, oversize=1.5, crop_scale=(1, 1), rotation=0)
    crops = view([0, 1], ranges=ranges)
    assert crops.shape == (2, 3, 48, 48)
    assert torch.equal(augment.middle(crops, 32), crops[..., 8:40, 8:40])
    white = [np.full((64, 64, 3), 255, np.uint8)]
    for oversize, corners_stay_outside in ((1.0, False), (1.5, True)):
        turned = replace(ranges, rotation=15, oversize=oversize)
        pixels = augment.scaled(view([0], images=white, ranges=turned), CPU)
        pixels = augment.disturb(pixels, [0], view=0, seed=0, augment=turned, images=1)
        assert bool((augment.middle(pixels, 32) > 0.99).all()) == corners_stay_outside


@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment"])
def test_policies_of_torchvision_hang_on_seed_image_and_view_alone(
    policy: Literal["randaugment", "trivialaugment"],
) -> None:
    ranges, before = replace(WHOLE, policy=policy), torch.get_rng_state()
    alone, among = view([4], ranges=ranges), view([1, 4, 2], ranges=ranges)
    assert torch.equal(alone, among[1:2])
    assert torch.equal(torch.get_rng_state(), before)
    seen = {view([4], number, ranges=ranges).numpy().tobytes() for number in range(8)}
    assert len(seen) > 4, "another view is another operation"
