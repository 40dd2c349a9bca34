"""Backbones: build one, divide it into ordered parts, give it a new head.

Every backbone becomes an `nn.Sequential` of the parts `stem, stage1 .. stage4, head`, so that a
strategy can say "the last stage and the head" without knowing the network. What stands before the
head ends in features [B, F]; the last module of the head is its linear layer.
"""

import functools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ..params.learning.network import FAMILIES, PARTS, origin_of
from . import timm_parts, torchvision_parts
from .device import Compute
from .neighbours import Neighbours
from .torchvision_parts import Rows

LIBRARIES: Mapping[str, Any] = {"timm": timm_parts, "torchvision": torchvision_parts}


def tiny(num_classes: int) -> nn.Module:
    """A small convolutional network for 64 px images, 0.2 million parameters."""

    def stage(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    widths = (3, 16, 32, 48, 96, 128)
    rows = [stage(a, b, stride=2 if a in (3, 16, 32, 48) else 1) for a, b in pairwise(widths)]
    rows[-1] += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(
        *(nn.Sequential(*row) for row in rows), nn.Sequential(nn.Linear(widths[-1], num_classes))
    )


def builder(name: str) -> Callable[[int], nn.Module]:
    """Number of logits -> the whole network as its authors wrote it, with random weights.

    Args:
        name: As `params.learning.network.is_backbone` knows it.
    """
    library, own = origin_of(name)
    if library == "tiny":
        return tiny
    return functools.partial(LIBRARIES[library].whole, own)


def divided(name: str, net: nn.Module) -> Rows:
    """The modules of each of a backbone's parts.

    Args:
        name: Of the backbone.
        net: The whole network as its authors wrote it; of a transformer of timm its rest is left.

    Raises:
        ValueError: The parts are not known.
    """
    library, _ = origin_of(name)
    if library == "tiny":
        return [list(part.children()) for part in net.children()]
    found: Rows = LIBRARIES[library].divided(net)
    return found


def in_parts(name: str, net: nn.Module) -> nn.Sequential:
    """A whole network divided into `PARTS`."""
    rows = (nn.Sequential(*row) for row in divided(name, net))
    parts: OrderedDict[str, nn.Module] = OrderedDict(zip(PARTS, rows, strict=True))
    return nn.Sequential(parts)


def build(
    name: str, outputs: int, seed: int = 0, weights: Mapping[str, Tensor] | None = None
) -> nn.Sequential:
    """A backbone divided into its parts, in eval mode.

    Args:
        name: Of the backbone.
        outputs: Number of logits.
        seed: Draws the random weights; nothing else of the process's chance is touched.
        weights: Its whole state dict under its authors' names (see `published`); None leaves the
            random weights.

    Raises:
        ValueError: There is no such network, or it cannot be divided.
    """
    if name not in FAMILIES:
        expect_same_function(name)
    if weights is None or name not in FAMILIES:  # others hold what no file of weights gives
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = builder(name)(outputs)
    else:  # drawing what the weights replace would take 3 s of vgg16
        with torch.device("meta"):
            net = builder(name)(outputs)
        net.to_empty(device="cpu")
    if weights is not None:
        given = OrderedDict(weights)
        given._metadata = net.state_dict()._metadata  # type: ignore[attr-defined]  # mnasnet's version
        net.load_state_dict(given)
    if name in FAMILIES:  # in others the order of registration need not be that of the pass
        fuse(net)
    return in_parts(name, net).eval()


@functools.cache
def expect_same_function(name: str) -> None:
    """Refuse a network of somebody else's whose parts, one after the other, are not the whole.

    Raises:
        ValueError: They are not, or they are not known.
    """
    with torch.random.fork_rng(), torch.device("cpu"), torch.no_grad():
        torch.manual_seed(0)
        net = builder(name)(3).eval()
        stir(net)
        images = torch.rand(1, 3, *_sides(net))
        expected = net(images)
        parts = in_parts(name, net)
        try:
            features = parts[:-1](images)
            apart = (parts[-1](features) - expected).abs().max() / expected.std()
            same = features.dim() == 2 and bool(apart < 1e-3)
        except (RuntimeError, TypeError, AttributeError):
            same = False
    if not same or not all(any(True for _ in part.parameters()) for part in parts):
        raise ValueError(
            f"backbone.name: expected a network whose parts stand one behind the other, and {name} "
            "computes something else than its parts do in a row. Choose another."
        )


@torch.no_grad()
def stir(net: nn.Module) -> None:
    """Draw parameters that let every module speak: as drawn by their authors, some are zero, others
    so small that attention is even.
    """
    for parameter in net.parameters():
        if parameter.dim() > 1:
            inputs = parameter.numel() / len(parameter) if len(parameter) > 1 else 1
            parameter.normal_(std=(2 / inputs) ** 0.5)
        else:
            parameter.uniform_(0.5, 1.5)


def _sides(net: nn.Module) -> tuple[int, int]:
    """Height and width that a network was made for."""
    if hasattr(net, "_pos_embed"):  # takes any, and the small one sooner
        return 224, 224
    made_for = getattr(net, "pretrained_cfg", {}).get("input_size", (3, 224, 224))
    return made_for[-2], made_for[-1]


def below(model: nn.Sequential, cut: int) -> nn.Sequential:
    """The first `cut` parts."""
    parts = model[:cut]
    assert isinstance(parts, nn.Sequential)
    return parts


def move(model: nn.Sequential, compute: Compute) -> nn.Sequential:
    """Move a model to its device, its convolutions in the memory format chosen there."""
    # torch's stubs know no format
    model.to(compute.device, memory_format=compute.layout)  # type: ignore[call-overload]
    return model


def fuse(model: nn.Module) -> None:
    """Let convolutions take over the BatchNorm behind them whenever it is in eval mode, in place.

    Then `norm(conv(x))` is one convolution with scaled weights and a bias of its own: the same
    function with the same gradients of the same parameters, without passes of the norm layer over
    the activations, forward and backward. In training mode nothing changes. In every network here a
    convolution that is followed by a BatchNorm of its own width, in the order in which their block
    registers them, is also followed by it in the block's `forward`; the tests compare all of them.

    A ReLU6 in place that learns keeps what it made, and not a copy of what it was given as torch's.
    """
    for block in model.modules():
        if isinstance(block, nn.ReLU6) and block.inplace:
            block.forward = functools.partial(_relu6, block)  # type: ignore[method-assign]
        for convolution, norm in pairwise(list(block.children())):
            if not (isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
                continue
            if norm.num_features == convolution.out_channels:
                convolution.forward = functools.partial(_convolve, convolution, norm)  # type: ignore[method-assign]
                norm.forward = functools.partial(_norm, norm)  # type: ignore[method-assign]


def _convolve(convolution: nn.Conv2d, norm: nn.BatchNorm2d, images: Tensor) -> Tensor:
    weight, bias = convolution.weight, convolution.bias
    if not norm.training:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        mean = norm.running_mean if bias is None else norm.running_mean - bias
        weight, bias = weight * scale[:, None, None, None], norm.bias - scale * mean
    out: Tensor = convolution._conv_forward(images, weight, bias)
    return out


def _norm(norm: nn.BatchNorm2d, images: Tensor) -> Tensor:
    out: Tensor = nn.BatchNorm2d.forward(norm, images) if norm.training else images
    return out


class _ReLU6(torch.autograd.Function):
    """ReLU6 in place, with the slope that its result tells: where it is 0 or 6 there is none."""

    @staticmethod
    def forward(context: Any, images: Tensor) -> Tensor:
        context.mark_dirty(images.clamp_(0, 6))
        context.save_for_backward(images)
        return images

    @staticmethod
    def backward(context: Any, slope: Tensor) -> Tensor:
        (result,) = context.saved_tensors
        found: Tensor = torch.ops.aten.hardtanh_backward(slope, result, 0.0, 6.0)
        return found


def _relu6(module: nn.ReLU6, images: Tensor) -> Tensor:
    if not (module.training and images.requires_grad):
        return nn.ReLU6.forward(module, images)
    out: Tensor = _ReLU6.apply(images)  # type: ignore[no-untyped-call]
    return out


def new_head(
    model: nn.Sequential,
    outputs: int,
    *,
    start: str,
    seed: int,
    hidden: int | None,
    dropout: float | None,
    neighbours: int | None = None,
) -> None:
    """Replace the head, or only its linear layer where nothing else is asked for.

    Args:
        model: Changed in place.
        outputs: Number of classes C; the new head maps features [B, F] to logits [B, C].
        start: Of the last layer: "random" (torch's default, drawn by `seed`), else zero: every
            class equally likely.
        seed: Draws what is random.
        hidden: Width of a layer with ReLU before the last one; None: there is none.
        dropout: Probability before the last layer; None: as the backbone has it, none behind a
            hidden layer.
        neighbours: How many training images vote in place of a linear layer; None: there is one.
    """
    head = model.get_submodule("head")
    assert isinstance(head, nn.Sequential)
    old = next(module for module in head if isinstance(module, nn.Linear | Neighbours))
    place = next(model.parameters()).device
    if neighbours is not None:
        votes = Neighbours(old.in_features, outputs, neighbours)
        model.set_submodule("head", nn.Sequential(votes.to(place)))
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        before: list[nn.Module] = [nn.Linear(old.in_features, hidden), nn.ReLU()] if hidden else []
        last = nn.Linear(hidden or old.in_features, outputs)
    if start != "random":
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    if hidden is None and dropout is None:
        head[-1] = last.to(place)
    else:
        before += [nn.Dropout(dropout)] if dropout else []
        model.set_submodule("head", nn.Sequential(*before, last).to(place))


IMAGENET_CLASSES = 1000
