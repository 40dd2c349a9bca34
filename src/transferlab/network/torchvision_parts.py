"""How torchvision's classifiers are divided into parts, family by family."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

Rows = list[list[nn.Module]]
"""The modules of each part, in the order in which an image passes them."""


def _resnet(net: Any) -> Rows:
    stem = [net.conv1, net.bn1, net.relu, net.maxpool]
    last = [net.layer4, net.avgpool, nn.Flatten()]
    return [stem, [net.layer1], [net.layer2], [net.layer3], last, [net.fc]]


def _mobilenet_v2(net: Any) -> Rows:
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return [*_cut(net.features, _strides(net.features), *tail), list(net.classifier)]


def _mobilenet_v3(net: Any) -> Rows:
    # Its classifier has a hidden layer that ImageNet taught: that belongs to the last stage.
    tail = [net.avgpool, nn.Flatten(), *net.classifier[:2]]
    return [*_cut(net.features, _strides(net.features), *tail), list(net.classifier[2:])]


def _mnasnet(net: Any) -> Rows:
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return [*_cut(net.layers, _strides(net.layers), *tail), list(net.classifier)]


def _efficientnet(net: Any) -> Rows:
    tail = [net.avgpool, nn.Flatten()]
    return [*_cut(net.features, _strides(net.features), *tail), list(net.classifier)]


def _convnext(net: Any) -> Rows:
    tail = [net.avgpool, *net.classifier[:2]]
    return [*_cut(net.features, (1, 2, 4, 6), *tail), list(net.classifier[2:])]


def _densenet(net: Any) -> Rows:
    tail = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return [*_cut(net.features, (4, 6, 8, 10), *tail), [net.classifier]]


def _vgg(net: Any) -> Rows:
    pools = [i for i, module in enumerate(net.features) if isinstance(module, nn.MaxPool2d)]
    tail = [net.avgpool, nn.Flatten(), *net.classifier[:6]]
    return [*_cut(net.features, [i + 1 for i in pools[:4]], *tail), list(net.classifier[6:])]


def _alexnet(net: Any) -> Rows:
    tail = [net.avgpool, nn.Flatten(), *net.classifier[:6]]
    return [*_cut(net.features, (3, 6, 8, 10), *tail), list(net.classifier[6:])]


def _regnet(net: Any) -> Rows:
    blocks = list(net.trunk_output)
    last = [blocks[3], net.avgpool, nn.Flatten()]
    return [[net.stem], *([block] for block in blocks[:3]), last, [net.fc]]


def _shufflenet(net: Any) -> Rows:
    last = [net.conv5, nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    stem = [net.conv1, net.maxpool]
    return [stem, [net.stage2], [net.stage3], [net.stage4], last, [net.fc]]


def _swin(net: Any) -> Rows:
    tail = [net.norm, net.permute, net.avgpool, nn.Flatten()]
    return [*_cut(net.features, (1, 2, 4, 6), *tail), [net.head]]


def _inception(net: Any) -> Rows:
    return [
        [Shifted(), net.Conv2d_1a_3x3, net.Conv2d_2a_3x3, net.Conv2d_2b_3x3, net.maxpool1],
        [net.Conv2d_3b_1x1, net.Conv2d_4a_3x3, net.maxpool2],
        [net.Mixed_5b, net.Mixed_5c, net.Mixed_5d],
        [net.Mixed_6a, net.Mixed_6b, net.Mixed_6c, net.Mixed_6d, net.Mixed_6e],
        [net.Mixed_7a, net.Mixed_7b, net.Mixed_7c, net.avgpool, nn.Flatten()],
        [net.dropout, net.fc],
    ]


def _googlenet(net: Any) -> Rows:
    fourth = [net.inception4a, net.inception4b, net.inception4c, net.inception4d, net.inception4e]
    return [
        [Shifted(), net.conv1, net.maxpool1],
        [net.conv2, net.conv3, net.maxpool2],
        [net.inception3a, net.inception3b, net.maxpool3],
        [*fourth, net.maxpool4],
        [net.inception5a, net.inception5b, net.avgpool, nn.Flatten()],
        [net.dropout, net.fc],
    ]


def _vit(net: Any) -> Rows:
    *stages, last = in_quarters(net.encoder.layers)
    return [[Tokens(net)], *stages, [*last, net.encoder.ln, FirstToken()], list(net.heads)]


DIVISIONS: dict[str, Callable[[Any], Rows]] = {
    "alexnet": _alexnet,
    "convnext": _convnext,
    "densenet": _densenet,
    "efficientnet": _efficientnet,
    "googlenet": _googlenet,
    "inception": _inception,
    "mnasnet": _mnasnet,
    "mobilenetv2": _mobilenet_v2,
    "mobilenetv3": _mobilenet_v3,
    "regnet": _regnet,
    "resnet": _resnet,
    "shufflenetv2": _shufflenet,
    "swin_transformer": _swin,
    "vgg": _vgg,
    "vision_transformer": _vit,
}
"""Module of torchvision -> how its networks are divided."""

EXTRAS: Mapping[str, Mapping[str, Any]] = {
    # Without auxiliary heads, which never answer (see `auxiliary`); the inputs shifted as the
    # published weights expect them.
    "inception_v3": {"aux_logits": False, "transform_input": True, "init_weights": True},
    "googlenet": {"aux_logits": False, "transform_input": True, "init_weights": True},
}
"""What a network is built with."""


def whole(name: str, outputs: int) -> nn.Module:
    """A classifier of torchvision with random weights.

    Raises:
        ValueError: torchvision has none of this name.
    """
    import torchvision  # 5 s of a core, which `tiny` does not need

    classifiers = torchvision.models.list_models(module=torchvision.models)
    if name not in classifiers:
        close = difflib.get_close_matches(name, classifiers, n=3)
        raise ValueError(
            f"backbone.name: expected a classifier of torchvision, got {name!r}. "
            f"{'Similar ones' if close else 'All'}: {', '.join(close or classifiers)}."
        )
    net: nn.Module = torchvision.models.get_model(
        name, num_classes=outputs, weights=None, **EXTRAS.get(name, {})
    )
    return net


def divided(net: nn.Module) -> Rows:
    """The modules of each part of a network of torchvision.

    Raises:
        ValueError: It is of a family whose parts are not known.
    """
    family = type(net).__module__.rpartition(".")[2]
    if family not in DIVISIONS:
        raise ValueError(
            f"backbone.name: expected a network of {', '.join(DIVISIONS)}, got one of {family}, "
            "whose parts are not known here. Choose another, or timm's."
        )
    return DIVISIONS[family](net)


def _strides(row: Iterable[nn.Module]) -> list[int]:
    """Where in a row the resolution halves, without the first time, the last four."""
    halves = [
        i
        for i, module in enumerate(row)
        if any(isinstance(it, nn.Conv2d) and it.stride[0] > 1 for it in module.modules())
    ]
    return halves[1:][-4:]


def _cut(row: Iterable[nn.Module], starts: Sequence[int], *tail: nn.Module) -> Rows:
    """Divide a row of modules into stem and four stages, the last with `tail` behind it."""
    modules = list(row)
    edges = [0, *starts, len(modules)]
    parts = [modules[start:end] for start, end in pairwise(edges)]
    return [*parts[:-1], [*parts[-1], *tail]]


def in_quarters(blocks: Iterable[nn.Module]) -> Rows:
    """The blocks of a transformer in four stages of about the same length."""
    row = list(blocks)
    edges = [round(len(row) * i / 4) for i in range(5)]
    return [row[start:end] for start, end in pairwise(edges)]


class Shifted(nn.Module):
    """From ImageNet's mean and deviation to 0.5 and 0.5, as torchvision's Inception networks shift
    their inputs.
    """

    MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, S, S] -> the same."""
        mean, std = (images.new_tensor(it).view(1, 3, 1, 1) for it in (self.MEAN, self.STD))
        return images * (std / 0.5) + (mean - 0.5) / 0.5


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
