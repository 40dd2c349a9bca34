"""Whoever has torchvision alone can use the model."""

import pytest
import torch

from transferlab.delivery.torchvision_names import state_dict_of
from transferlab.network import backbones, torchvision_parts
from transferlab.params.learning.network import FAMILIES

SIDES = {"vit_b_16": 224, "inception_v3": 96}
FAST = ("resnet18", "mobilenet_v2", "mobilenet_v3_small", "densenet121")
REST = [name for name in FAMILIES if name not in (*FAST, "tiny")]


@pytest.mark.parametrize(
    "name", [*FAST, *(pytest.param(name, marks=pytest.mark.drill) for name in REST)]
)
def test_torchvisions_network_gives_the_same_logits(name: str) -> None:
    """With a head that has a dropout before its layer where torchvision's has none, and none where
    it has one.
    """
    net = backbones.build(name, 3, seed=1)
    has = any(isinstance(module, torch.nn.Dropout) for module in net.get_submodule("head"))
    backbones.new_head(net, 3, start="random", seed=2, hidden=None, dropout=0.0 if has else 0.5)
    theirs = torchvision_parts.whole(name, 3).eval()
    found = state_dict_of(name, net.state_dict(), 3)
    assert found is not None
    theirs.load_state_dict(found)
    side = SIDES.get(name, 64)
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(theirs(images), net.eval()(images), rtol=1e-4, atol=1e-5)


def test_a_head_with_a_hidden_layer_is_not_torchvisions() -> None:
    net = backbones.build("mobilenet_v3_small", 3)
    backbones.new_head(net, 3, start="zero", seed=0, hidden=8, dropout=None)
    assert state_dict_of("mobilenet_v3_small", net.state_dict(), 3) is None


def test_the_small_network_is_not_torchvisions() -> None:
    assert state_dict_of("tiny", backbones.build("tiny", 3).state_dict(), 3) is None


def test_head_of_neighbours_has_no_place_in_torchvisions_network() -> None:
    net = backbones.build("mobilenet_v3_small", 3)
    backbones.new_head(net, 3, start="zero", seed=0, hidden=None, dropout=None, neighbours=5)
    assert state_dict_of("mobilenet_v3_small", net.state_dict(), 3) is None


def test_network_of_timm_has_no_names_of_torchvision() -> None:
    assert state_dict_of("timm/resnet18", {"head.0.weight": torch.zeros(3, 8)}, 3) is None
