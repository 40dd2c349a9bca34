"""The map of an image is Grad-CAM by hand, for every network that has maps, and nothing of it is
left behind.
"""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from transferlab.data.images import Images
from transferlab.network import augment, backbones
from transferlab.network.device import Compute
from transferlab.network.views import Views
from transferlab.params.learning.network import FAMILIES, Preprocessing
from transferlab.prediction import attribution

PREPROCESSING = Preprocessing(
    resize_px=64,
    crop_px=64,
    resize="shorter",
    interpolation="bilinear",
    mean=(0.5, 0.5, 0.5),
    std=(0.25, 0.25, 0.25),
)
CPU = Compute(device=torch.device("cpu"), precision="fp32", memory_format="channels_last")


def views_of(count: int) -> Views:
    """The test view of drawn images, 64 px."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)
    pixels[:, :32, :32] //= 4
    images = Images(
        ids=tuple(f"{i}.png" for i in range(count)),
        labels=np.zeros(count, dtype=np.int64),
        classes=("any",),
        digest="0" * 64,
        pixels=pixels.ravel(),
        places=np.array([[i * pixels[0].size, 64, 64] for i in range(count)]),
    )
    return Views(images=images, preprocessing=PREPROCESSING, ranges=None, seed=0, side=0)


def entering(views: Views) -> Tensor:
    crops = augment.test_view(views.images, range(len(views.images)), PREPROCESSING)
    return augment.normalise(augment.scaled(crops, CPU.device), PREPROCESSING)


def network(head: Sequence[float] | None = None) -> nn.Sequential:
    """The smallest one, in eval mode, its head drawn or the given weight for every channel of a
    class.
    """
    net = backbones.build("tiny", 3, seed=4)
    if head is not None:
        weights = torch.tensor(head, dtype=torch.float32)[:, None].expand(3, 128)
        nn.init.zeros_(net.get_parameter("head.0.bias"))
        net.get_submodule("head")[0].weight = nn.Parameter(weights.clone())  # type: ignore[index]
    return net


def maps(net: nn.Sequential, views: Views, place: Compute = CPU) -> np.ndarray:
    """Of all images."""
    return attribution.maps(net, views, np.arange(len(views.images)), place)


@torch.no_grad()
def by_hand(net: nn.Sequential, views: Views) -> np.ndarray:
    """A linear head behind the mean over places: the gradient of a logit is the head's weight at
    every place.
    """
    pixels = entering(views)
    channels = net.get_submodule("stage4")[:3](net[:4](pixels))  # type: ignore[index]
    weights = net.get_parameter("head.0.weight")[net(pixels).argmax(1)]
    spoken = torch.einsum("nk,nkij->nij", weights, channels).clamp(min=0)
    return np.asarray((spoken / spoken.amax((1, 2), keepdim=True)).numpy())


def test_map_is_the_head_s_weights_on_the_last_maps() -> None:
    net, views = network(), views_of(5)
    net.get_parameter(
        "head.0.weight"
    ).data += 0.05  # else hardly any place speaks for a class that was not learnt
    found = maps(net, views)
    assert found.shape == (5, 4, 4) and found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(net, views), atol=1e-5)
    assert np.ptp(found, axis=(1, 2)).min() > 0.05, "a map, not a constant"


def test_map_is_of_the_predicted_class() -> None:
    net, views = network([-1, 1, -1]), views_of(2)
    assert net(entering(views)).argmax(1).tolist() == [1, 1]
    assert maps(net, views).max() == 1


def test_largest_value_is_1_and_none_is_below_0() -> None:
    found = maps(network(), views_of(8))
    assert found.min() >= 0
    largest = found.max((1, 2))
    assert set(largest.tolist()) <= {0.0, 1.0} and largest.any()


def test_map_is_0_where_nothing_speaks_for_the_class() -> None:
    found = maps(network([-3, -1, -2]), views_of(2))
    assert found.shape == (2, 4, 4)
    assert not found.any()


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_maps_do_not_depend_on_how_many_images_are_looked_at_together(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, views = network(), views_of(5)
    expected = maps(net, views)
    monkeypatch.setattr(attribution, "CHUNK", chunk)
    np.testing.assert_allclose(maps(net, views), expected, atol=1e-5)


def test_maps_are_in_fp32_whatever_the_place_says() -> None:
    net, views = network(), views_of(3)
    coarse = Compute(device=CPU.device, precision="bf16", memory_format="contiguous")
    np.testing.assert_allclose(maps(net, views, coarse), maps(net, views), atol=1e-5)


@pytest.mark.parametrize("trains", [True, False])
def test_nothing_is_left_behind_in_the_network(trains: bool) -> None:
    net = network().requires_grad_(trains)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    maps(net, views_of(2))
    assert all(value.grad is None and value.requires_grad == trains for value in net.parameters())
    assert not any(module.training for module in net.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


# ---------------------------------------------------------------- other networks


PLACES = {
    "tiny": (128, 4, 4),
    "resnet18": (512, 2, 2),
    "resnet50": (2048, 2, 2),
    "mobilenet_v2": (1280, 2, 2),
    "mobilenet_v3_small": (576, 2, 2),
    "efficientnet_b0": (1280, 2, 2),
    "efficientnet_b4": (1792, 2, 2),
    "convnext_tiny": (768, 2, 2),
    "densenet121": (1024, 2, 2),
    "inception_v3": (2048, 8, 8),
    "vgg16": (512, 7, 7),
    "vgg16_bn": (512, 7, 7),  # its pooling gives 7 x 7 whatever enters
    "vit_b_16": None,
}
"""Channels, height and width of the maps at 64 px, or at `SIDES`."""

SIDES = {"vit_b_16": (224, 224), "inception_v3": (299, 299)}


def test_every_backbone_is_expected_to_have_maps_or_none() -> None:
    assert PLACES.keys() == FAMILIES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", PLACES)
def test_last_maps_are_those_before_the_pooling(name: str) -> None:
    with torch.device(
        "meta"
    ):  # shapes alone: drawing the weights of a large network would take seconds
        net = backbones.build(name, 2)
        pixels = torch.empty(1, 3, *SIDES.get(name, (64, 64)))
    layer = attribution.last_maps(net, pixels)
    if layer is None:
        assert PLACES[name] is None
        return
    seen: list[Tensor] = []
    layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        features = net[:-1](pixels)
    assert tuple(seen[0].shape[1:]) == PLACES[name]
    assert features.shape[1] == net.get_submodule("head")[-1].in_features  # type: ignore[index]


def test_network_without_maps_gives_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "last_maps", lambda net, pixels: None)
    found = maps(network(), views_of(2))
    assert found.shape == (0, 1, 1) and found.dtype == np.float32


def test_maps_of_a_single_place_count_as_none() -> None:
    with torch.no_grad():
        assert attribution.last_maps(network(), torch.zeros(1, 3, 16, 16)) is None
