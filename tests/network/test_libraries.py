"""Networks of torchvision and timm without a file of their own: their parts in a row compute what
the whole does, or one error says why they cannot be used.
"""

from pathlib import Path

import pytest
import torch
import yaml

from transferlab.network import backbones, torchvision_parts
from transferlab.params.learning.network import PARTS
from transferlab.settings import compose
from transferlab.weights import published

SMALL = ["mnasnet0_5", "shufflenet_v2_x0_5"]
TORCHVISION = ["alexnet", "googlenet", "mobilenet_v3_large", "regnet_y_400mf", "swin_t"]
TORCHVISION += ["efficientnet_v2_s", "resnet34"]
TIMM = ["resnet18", "tf_efficientnet_lite0", "mobilenetv3_small_050", "regnety_002"]
TIMM += ["convnext_atto", "mobilenetv4_conv_small_035", "vit_tiny_patch16_224"]
TIMM += ["swin_tiny_patch4_window7_224", "vit_small_patch14_dinov2"]
EACH = [f"torchvision/{name}" for name in SMALL]
REST = [f"torchvision/{name}" for name in TORCHVISION] + [f"timm/{name}" for name in TIMM]


def need(name: str) -> None:
    if name.startswith("timm/"):
        pytest.importorskip("timm", reason="timm is an extra")


@pytest.mark.parametrize(
    "name", [*EACH, *(pytest.param(name, marks=pytest.mark.slow) for name in REST)]
)
def test_parts_in_a_row_compute_what_the_whole_computes(name: str) -> None:
    need(name)
    torch.manual_seed(0)
    whole = backbones.builder(name)(3).eval()
    backbones.stir(whole)
    weights = {key: value.clone() for key, value in whole.state_dict().items()}
    images = torch.rand(2, 3, 224, 224)
    divided = backbones.build(name, 3, weights=weights)
    with torch.inference_mode():
        expected = whole(images)
        scale = float(expected.std())
        torch.testing.assert_close(divided(images), expected, rtol=0, atol=1e-4 * scale)
    assert [part for part, _ in divided.named_children()] == list(PARTS)
    assert all(any(True for _ in part.parameters()) for part in divided)
    assert len(divided.state_dict()) == len(weights)
    assert isinstance(divided[-1][-1], torch.nn.Linear)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("torchvision/squeezenet1_1", "got one of squeezenet, whose parts are not known here"),
        ("torchvision/maxvit_t", "got one of maxvit, whose parts are not known here"),
        ("torchvision/resnet19", "Similar ones: resnet18, resnet152, resnet101."),
        ("torchvision/fcn_resnet50", "expected a classifier of torchvision"),
        ("timm/deit_tiny_distilled_patch16_224", "expected a head that is one linear layer"),
        ("timm/eva02_tiny_patch14_224", "expected blocks that take tokens alone"),
        ("timm/vit_base_patch16_siglip_224", "expected pooling by the class token or by the mean"),
        ("timm/resnet18_nonsense", "expected a network of timm"),
    ],
)
def test_network_whose_parts_are_not_found_is_one_error(name: str, why: str) -> None:
    need(name)
    with pytest.raises(ValueError, match=r"^backbone\.name: ") as caught:
        backbones.build(name, 3)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_network_of_timm_without_timm_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(ValueError, match=r"timm/resnet18 needs timm .* Run: pip install timm"):
        backbones.builder("timm/resnet18")(2)


def test_transformer_of_timm_takes_crops_of_another_size() -> None:
    need("timm/")
    net = backbones.build("timm/vit_tiny_patch16_224", 2)
    assert net(torch.zeros(1, 3, 160, 160)).shape == (1, 2)


def composed(name: str, *more: str) -> dict[str, object]:
    settings = ["backbone=other", f"backbone.name={name}", "strategy=probe", *more]
    found: dict[str, object] = yaml.safe_load(compose.compose(settings))["backbone"]
    return found


def test_row_that_skips_a_module_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    divided = torchvision_parts.DIVISIONS["mnasnet"]
    monkeypatch.setitem(
        torchvision_parts.DIVISIONS,
        "mnasnet",
        lambda net: [part if i != 2 else part[1:] for i, part in enumerate(divided(net))],
    )
    backbones.expect_same_function.cache_clear()
    with pytest.raises(ValueError, match="computes something else than its parts do in a row"):
        backbones.build("torchvision/mnasnet0_5", 3)
    backbones.expect_same_function.cache_clear()


@pytest.mark.slow
def test_other_network_of_torchvision_brings_its_preprocessing_and_address() -> None:
    found = composed("torchvision/resnet34", "dataset.store_px=512")
    assert found["official_url"] == "https://download.pytorch.org/models/resnet34-b627a593.pth"
    second = composed("torchvision/resnet50", "backbone.weights=imagenet_v2")
    assert second["official_url"] == "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
    assert second["preprocessing"] == {
        "resize_px": 232,
        "crop_px": 224,
        "resize": "shorter",
        "interpolation": "bilinear",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    with pytest.raises(ValueError, match=r"torchvision has of resnet34, got 'imagenet_v2'"):
        composed("torchvision/resnet34", "backbone.weights=imagenet_v2")
    with pytest.raises(ValueError, match=r"Add: -S backbone\.name="):
        compose.compose(["backbone=other"])


@pytest.mark.slow
def test_network_of_timm_brings_the_preprocessing_of_its_data_configuration() -> None:
    need("timm/")
    found = composed("timm/tf_efficientnet_lite0", "backbone.weights=none")
    assert found["preprocessing"] == {
        "resize_px": 256,
        "crop_px": 224,
        "resize": "shorter",
        "interpolation": "bicubic",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    }
    dino = composed(
        "timm/vit_small_patch14_dinov2", "backbone.weights=none", "dataset.store_px=518"
    )
    assert dino["preprocessing"]["crop_px"] == 518  # type: ignore[index]
    assert dino["official_url"] is None


def test_weights_of_timm_come_out_of_a_file(tmp_path: Path) -> None:
    need("timm/")
    name = "timm/mobilenetv3_small_050"
    whole = backbones.builder(name)(7)
    torch.save(whole.state_dict(), tmp_path / "mine.pth")
    found = published.read(tmp_path / "mine.pth", name, "mine.pth")
    assert (found.outputs, found.own_head, found.undone) == (7, True, ())
    built = backbones.build(name, 7, weights=found.tensors)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(built(images), whole.eval()(images))
