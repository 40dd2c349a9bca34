"""Backbones: build one, divide it into ordered parts, give it a new head.

Every backbone becomes an `nn.Sequential` of the parts `stem, stage1 .. stage4, head`, so that a
strategy can say "the last stage and the head" without knowing the network. What stands before the
head ends in features [B, F]; the last module of the head is its linear layer.
"""

import functools
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..params.learning.network import FAMILIES, PARTS
from .device import Compute

Rows = list[list[nn.Module]]


def _resnet(net: Any) -> Rows:
    stem = [net.conv1, net.bn1, net.relu, net.maxpool]
    return [
        stem,
        [net.layer1],
        [net.layer2],
        [net.layer3],
        [net.layer4, net.avgpool, nn.Flatten()],
        [net.fc],
    ]


def _mobilenet_v2(net: Any) -> Rows:
    return [
        *_cut(net.features, (2, 4, 7, 14), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        list(net.classifier),
    ]


def _mobilenet_v3(net: Any) -> Rows:
    # Its classifier has a hidden layer that ImageNet taught: that belongs to the last stage.
    tail = [net.avgpool, nn.Flatten(), *net.classifier[:2]]
    return [*_cut(net.features, (1, 2, 4, 9), *tail), list(net.classifier[2:])]


def _efficientnet(net: Any) -> Rows:
    return [*_cut(net.features, (2, 3, 4, 6), net.avgpool, nn.Flatten()), list(net.classifier)]


def _convnext(net: Any) -> Rows:
    return [
        *_cut(net.features, (1, 2, 4, 6), net.avgpool, *net.classifier[:2]),
        list(net.classifier[2:]),
    ]


def _densenet(net: Any) -> Rows:
    tail = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return [*_cut(net.features, (4, 6, 8, 10), *tail), [net.classifier]]


def _vgg(net: Any) -> Rows:
    tail = [net.avgpool, nn.Flatten(), *net.classifier[:6]]
    return [*_cut(net.features, (7, 14, 24, 34), *tail), list(net.classifier[6:])]


def _vit(net: Any) -> Rows:
    layers = list(net.encoder.layers)
    stages = [layers[start : start + 3] for start in (0, 3, 6, 9)]
    return [[Tokens(net)], *stages[:3], [*stages[3], net.encoder.ln, FirstToken()], list(net.heads)]


def _tiny(net: Any) -> Rows:
    return [list(part) for part in net]


def _cut(row: Iterable[nn.Module], starts: tuple[int, int, int, int], *tail: nn.Module) -> Rows:
    """Divide a row of modules into stem and four stages, the last with `tail` behind it."""
    modules = list(row)
    edges = [0, *starts, len(modules)]
    parts = [modules[start:end] for start, end in pairwise(edges)]
    return [*parts[:-1], [*parts[-1], *tail]]


class Tokens(nn.Module):
    """The beginning of torchvision's VisionTransformer: images [B, 3, S, S] -> tokens [B, N + 1,
    D].
    """

    def __init__(self, net: Any):
        super().__init__()
        self.project, self.drop = net.conv_proj, net.encoder.dropout
        self.class_token: Tensor = net.class_token
        self.position: Tensor = net.encoder.pos_embedding

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, N + 1, D]."""
        patches = self.project(images)
        first = self.class_token.expand(len(images), -1, -1)
        tokens = torch.cat([first, patches.flatten(2).transpose(1, 2)], dim=1)
        out: Tensor = self.drop(tokens + self.positions(patches.shape[-1]))
        return out

    def positions(self, side: int) -> Tensor:
        """Embeddings of the positions [1, side * side + 1, D], resampled where the images have
        another size.
        """
        first, grid = self.position[:, :1], self.position[:, 1:]
        own = math.isqrt(grid.shape[1])
        if own == side:
            return self.position
        # Two products instead of `interpolate` in two dimensions, whose gradient is not
        # deterministic on CUDA.
        mix = interpolate(torch.eye(own, device=grid.device)[None], side, mode="linear")[0]
        square = grid.view(own, own, -1)
        return torch.cat(
            [first, torch.einsum("ijd,ia,jb->abd", square, mix, mix).flatten(0, 1)[None]], dim=1
        )


class FirstToken(nn.Module):
    """Tokens [B, N, D] -> the class token [B, D]."""

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, N, D] -> [B, D]."""
        return tokens[:, 0]


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


DIVISIONS: Mapping[str, Callable[[Any], Rows]] = {
    "tiny": _tiny,
    "resnet": _resnet,
    "mobilenet_v2": _mobilenet_v2,
    "mobilenet_v3": _mobilenet_v3,
    "efficientnet": _efficientnet,
    "convnext": _convnext,
    "densenet": _densenet,
    "vgg": _vgg,
    "vit": _vit,
}
"""Family -> how its networks are divided."""


def divided(name: str, net: nn.Module) -> Rows:
    """The modules of each of a backbone's parts.

    Args:
        name: A key of `FAMILIES`.
        net: The whole network as its authors wrote it.
    """
    return DIVISIONS[FAMILIES[name]](net)


def build(
    name: str, outputs: int, seed: int = 0, weights: Mapping[str, Tensor] | None = None
) -> nn.Sequential:
    """A backbone divided into its parts, in eval mode.

    Args:
        name: A key of `FAMILIES`.
        outputs: Number of logits.
        seed: Draws the random weights; nothing else of the process's chance is touched.
        weights: Its whole state dict under torchvision's names (see `published`); None leaves the
            random weights.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = builder(name)(outputs)
    if weights is not None:
        net.load_state_dict(dict(weights))
    fuse(net)
    rows = (nn.Sequential(*row) for row in divided(name, net))
    parts: OrderedDict[str, nn.Module] = OrderedDict(zip(PARTS, rows, strict=True))
    return nn.Sequential(parts).eval()


def builder(name: str) -> Callable[[int], nn.Module]:
    """Number of logits -> the whole network as its authors wrote it, with random weights."""
    if name == "tiny":
        return tiny
    import torchvision  # 5 s of a core, which `tiny` does not need

    return lambda outputs: torchvision.models.get_model(name, num_classes=outputs, weights=None)


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
    """
    for block in model.modules():
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


def new_head(
    model: nn.Sequential,
    outputs: int,
    *,
    start: str,
    seed: int,
    hidden: int | None,
    dropout: float | None,
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
    """
    head = model.get_submodule("head")
    assert isinstance(head, nn.Sequential)
    old = next(module for module in head if isinstance(module, nn.Linear))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        before: list[nn.Module] = [nn.Linear(old.in_features, hidden), nn.ReLU()] if hidden else []
        last = nn.Linear(hidden or old.in_features, outputs)
    if start != "random":
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    if hidden is None and dropout is None:
        head[-1] = last.to(old.weight.device)
    else:
        before += [nn.Dropout(dropout)] if dropout else []
        model.set_submodule("head", nn.Sequential(*before, last).to(old.weight.device))


IMAGENET_CLASSES = 1000
