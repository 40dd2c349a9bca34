"""Every backbone is torchvision's own network, divided into parts."""

from pathlib import Path

import pytest
import torch
import torchvision
from checkout import ROOT
from torchvision.transforms import InterpolationMode

from transferlab.network import backbones, torchvision_parts
from transferlab.params.learning.network import FAMILIES, PARTS
from transferlab.report.opened import read_defaults
from transferlab.settings import cost

CONF = ROOT / "conf" / "backbone"
COMPOSED = read_defaults(ROOT / "conf/defaults.yaml")["options"]["backbone"]
"""By name; report/test_command.py asserts that they are what composes."""
PUBLISHED = sorted(set(FAMILIES) - {"tiny"})


def small_input(name: str) -> torch.Tensor:
    side = {"vit_b_16": 224, "inception_v3": 96}.get(name, 64)
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def drawn(name: str) -> torch.nn.Module:
    """The whole network, in which every module speaks; its authors' own draws take seconds."""
    with torch.device("meta"):
        net = backbones.builder(name)(3)
    net.to_empty(device="cpu")
    for buffer in net.buffers():
        buffer.fill_(1)
    torch.manual_seed(0)
    backbones.stir(net)
    return net.eval()


def test_division_params_conf_and_cost_know_the_same_backbones() -> None:
    assert set(FAMILIES) == {path.stem for path in CONF.glob("*.yaml")} - {"other", "tiny_source"}
    assert set(FAMILIES) == set(cost.COST)
    for name in PUBLISHED:
        with torch.device("meta"):
            whole = torchvision_parts.whole(name, 3)
        assert type(whole).__module__ == f"torchvision.models.{FAMILIES[name]}"


LARGE = (
    "vgg16",
    "inception_v3",
    "vgg16_bn",
    "vit_b_16",
    "convnext_tiny",
    "efficientnet_b4",
    "resnet50",
    "densenet121",
)
EACH = [
    pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in sorted(FAMILIES)
]


@pytest.mark.parametrize("name", EACH)
def test_division_computes_what_the_whole_network_computes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # which rounds differently; see below
    monkeypatch.setattr(backbones, "fuse", lambda model: None)
    whole = drawn(name)
    divided = backbones.build(name, 3, weights=whole.state_dict())
    images = small_input(name)
    with torch.inference_mode():
        expected, features = whole(images), divided[:-1](images)
        scale = float(expected.std())
        torch.testing.assert_close(divided[-1](features), expected, rtol=0, atol=1e-4 * scale)
    assert features.shape == (2, cost.COST[name].features)
    assert [part for part, _ in divided.named_children()] == list(PARTS)
    assert sum(p.numel() for p in divided.parameters()) == sum(
        p.numel() for p in whole.parameters()
    )
    assert all(any(True for _ in part.parameters()) for part in divided.children()), (
        "every part has something to train"
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_preprocessing_and_address_are_those_of_the_published_weights(name: str) -> None:
    conf = COMPOSED[name]
    published = torchvision.models.get_model_weights(name).IMAGENET1K_V1
    transforms, ours = published.transforms(), conf["preprocessing"]
    assert conf["official_url"] == published.url
    assert [ours["resize_px"]] == transforms.resize_size
    assert [ours["crop_px"]] == transforms.crop_size
    assert InterpolationMode(ours["interpolation"]) == transforms.interpolation
    assert (ours["mean"], ours["std"]) == (transforms.mean, transforms.std)


def test_random_weights_come_from_the_seed_and_leave_the_chance_of_others_alone() -> None:
    before = torch.get_rng_state()
    first, same, other = (backbones.build("tiny", 2, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])


def test_new_head_has_the_classes_and_leaves_the_rest(tmp_path: Path) -> None:
    model = backbones.build("mobilenet_v2", 1000)
    before = {
        key: value.clone()
        for key, value in model.state_dict().items()
        if not key.startswith("head.")
    }
    backbones.new_head(model, 5, start="zero", seed=0, hidden=None, dropout=None)
    after = model.state_dict()
    assert model(torch.zeros(1, 3, 64, 64)).tolist() == [[0.0] * 5]
    assert all(torch.equal(after[key], value) for key, value in before.items())
    backbones.new_head(model, 5, start="random", seed=0, hidden=None, dropout=None)
    assert model.state_dict()["head.1.weight"].abs().sum() > 0


def test_head_with_a_hidden_layer_replaces_whatever_was_there() -> None:
    model = backbones.build("mobilenet_v2", 1000)
    for _ in range(
        2
    ):  # the second head is built on the features, not on the first one's hidden layer
        backbones.new_head(model, 5, start="zero", seed=0, hidden=256, dropout=0.4)
        kinds = [type(module).__name__ for module in model.get_submodule("head").children()]
        assert kinds == ["Linear", "ReLU", "Dropout", "Linear"]
        shapes = {
            key: list(value.shape)
            for key, value in model.state_dict().items()
            if key.startswith("head.")
        }
        assert shapes["head.0.weight"] == [256, 1280]
        assert shapes["head.3.weight"] == [5, 256]
    assert model.get_submodule("head.2").p == 0.4
    assert (
        model.get_parameter("head.0.weight").any()
        and not model.get_parameter("head.3.weight").any()
    )
    backbones.new_head(model, 5, start="random", seed=0, hidden=None, dropout=0.1)
    assert [type(module).__name__ for module in model.get_submodule("head").children()] == [
        "Dropout",
        "Linear",
    ]
    backbones.new_head(model, 5, start="random", seed=0, hidden=None, dropout=0.0)
    assert [type(module).__name__ for module in model.get_submodule("head").children()] == [
        "Linear"
    ]


def trained_statistics(model: torch.nn.Sequential) -> torch.nn.Sequential:
    """Norm layers as training leaves them: nothing in them is 0 or 1."""
    chance = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.data.copy_(0.5 + torch.rand(tensor.shape, generator=chance))
    return model


def unfused(
    name: str, weights: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> torch.nn.Sequential:
    with monkeypatch.context() as patch:
        patch.setattr(backbones, "fuse", lambda model: None)
        model = backbones.build(name, 3)
    model.load_state_dict(weights)
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["tiny", "resnet18", "resnet50", "mobilenet_v2", "efficientnet_b0", "densenet121"]
)
def test_fused_network_is_the_same_function_with_the_same_gradients(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trained_statistics(backbones.build(name, 3)).double()
    plain = unfused(name, model.state_dict(), monkeypatch).double()
    images, found = small_input(name).double(), {}
    for key, network in (("fused", model), ("plain", plain)):
        logits = network.eval()(images)
        logits.logsumexp(1).sum().backward()
        gradients = {key: value.grad for key, value in network.named_parameters()}
        found[key] = logits.detach(), gradients
    (fused, gradients), (expected, expected_gradients) = found["fused"], found["plain"]
    torch.testing.assert_close(fused, expected)
    for key, gradient in gradients.items():
        scale = float(expected_gradients[key].abs().max())
        torch.testing.assert_close(gradient, expected_gradients[key], rtol=1e-6, atol=1e-6 * scale)


def norm_calls(
    model: torch.nn.Sequential, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> int:
    calls, forward = [], torch.nn.BatchNorm2d.forward

    def counted(norm: torch.nn.BatchNorm2d, images: torch.Tensor) -> torch.Tensor:
        calls.append(norm)
        return forward(norm, images)

    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.BatchNorm2d, "forward", counted)
        model(images)
    return len(calls)


@pytest.mark.parametrize(
    "name", ["tiny", "resnet18", "mobilenet_v2", "efficientnet_b0", "densenet121"]
)
def test_only_norm_layers_in_training_mode_pass_over_the_activations(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, images = backbones.build(name, 3), small_input(name)
    norms = sum(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    before_a_convolution = {"densenet121": 62}.get(name, 0)
    assert norm_calls(model.eval(), images, monkeypatch) == before_a_convolution
    assert norm_calls(model.train(), images, monkeypatch) == norms


def test_in_training_mode_fusing_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained_statistics(backbones.build("resnet18", 3))
    plain = unfused("resnet18", model.state_dict(), monkeypatch)
    images = small_input("resnet18")
    assert torch.equal(model.train()(images), plain.train()(images))
    assert torch.equal(
        model.state_dict()["stem.1.running_mean"], plain.state_dict()["stem.1.running_mean"]
    )


def test_convolution_with_a_bias_of_its_own_keeps_it() -> None:
    # vgg16_bn has such; as a whole it is too large to compare here.
    layers = trained_statistics(
        torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    ).eval()
    images = torch.randn(2, 3, 8, 8)
    expected = layers(images)
    backbones.fuse(layers)
    torch.testing.assert_close(layers(images), expected)


def test_relu6_that_learns_gives_the_same_bits_and_keeps_no_copy() -> None:
    values = torch.tensor([-1.0, 0.0, -0.0, 1e-30, 3.0, 6.0, 6.5, torch.inf, torch.nan])
    found, kept = {}, []
    for key in ("plain", "fused"):
        layer = torch.nn.Sequential(torch.nn.ReLU6(inplace=True)).train()
        if key == "fused":
            backbones.fuse(layer)
        leaf = values.clone().requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: (kept.append(tensor.data_ptr()), tensor)[1], lambda tensor: tensor
        ):
            entering = leaf * 1
            leaving = layer(entering)
        assert leaving.data_ptr() == entering.data_ptr()
        leaving.backward(torch.arange(1.0, len(values) + 1))
        assert leaf.grad is not None
        found[key] = leaving.detach(), leaf.grad
        copies = [address for address in kept if address != leaving.data_ptr()]
        assert len(copies) == (key == "plain")
        kept.clear()
    for fused, plain in zip(found["fused"], found["plain"], strict=True):
        torch.testing.assert_close(fused, plain, rtol=0, atol=0, equal_nan=True)


def test_a_step_of_mobilenet_v2_has_the_same_bits_with_torchs_relu6() -> None:
    model, found = trained_statistics(backbones.build("mobilenet_v2", 3)).train(), []
    for module in model.modules():  # as the strategies train: dropout would draw
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.Dropout):
            module.eval()
    for _ in ("ours", "torch's"):
        model.zero_grad()
        model(small_input("mobilenet_v2")).logsumexp(1).sum().backward()
        found.append([value.grad for value in model.parameters()])
        for module in model.modules():
            if isinstance(module, torch.nn.ReLU6):
                module.eval()  # then it is torch's
    for ours, torchs in zip(*found, strict=True):
        assert ours is not None and torchs is not None and torch.equal(ours, torchs)
