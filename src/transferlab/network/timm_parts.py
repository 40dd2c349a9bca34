"""How networks of timm are divided into parts: by their feature information."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from .torchvision_parts import Rows, in_quarters

INSTALL = "Run: pip install timm==1.0.31"


def whole(name: str, outputs: int) -> nn.Module:
    """A network of timm with random weights; a vision transformer takes images of any size.

    Args:
        name: As timm has it, without `timm/`.
        outputs: Number of logits.

    Raises:
        ValueError: timm is not installed, or has no network of this name.
    """
    try:
        import timm
    except ImportError as error:
        raise ValueError(f"backbone.name: timm/{name} needs timm ({error}). {INSTALL}") from error
    if not timm.is_model(name):
        close = ", ".join(timm.list_models(f"*{name.split('.', maxsplit=1)[0][:8]}*")[:5])
        raise ValueError(
            f"backbone.name: expected a network of timm, got {name!r}. "
            f"{f'Similar ones: {close}.' if close else 'All: timm.list_models().'}"
        )
    net: nn.Module
    try:  # only transformers know these words
        net = timm.create_model(
            name, num_classes=outputs, dynamic_img_size=True, dynamic_img_pad=True
        )
    except TypeError:
        net = timm.create_model(name, num_classes=outputs)
    return net


def divided(net: Any) -> Rows:
    """The modules of each part, as far as they stand in a row.

    Raises:
        ValueError: The network says too little of its stages, or has no single linear head.
    """
    classifier = getattr(net, "pretrained_cfg", {}).get("classifier")
    linear = net.get_submodule(classifier) if isinstance(classifier, str) else None
    if not isinstance(linear, nn.Linear) or linear.bias is None:
        raise _unknown(net, "a head that is one linear layer")
    if hasattr(net, "_pos_embed"):
        if not hasattr(net, "pool_include_prefix"):  # its blocks want the positions, too
            raise _unknown(net, "blocks that take tokens alone")
        return _transformer(net, linear)
    return _row(net, str(classifier), linear)


def _unknown(net: Any, wanted: str) -> ValueError:
    return ValueError(
        f"backbone.name: expected {wanted}, which timm's {type(net).__name__} has not. "
        "Choose another network."
    )


def _transformer(net: Any, linear: nn.Linear) -> Rows:
    """A VisionTransformer: tokens, its blocks in four stages, what is pooled, the head."""
    if net.attn_pool is not None:
        raise _unknown(net, "pooling by the class token or by the mean")
    pool = Pooled(net.global_pool, net.num_prefix_tokens, net.pool_include_prefix)
    *stages, last = in_quarters(net.blocks)
    tail = [net.norm, pool, net.fc_norm]
    head = [net.head_drop, linear]
    # What is left of the network makes tokens of images.
    net.blocks, net.norm = nn.Sequential(), nn.Identity()
    net.fc_norm, net.head_drop, net.head = nn.Identity(), nn.Identity(), nn.Identity()
    return [[Tokens(net)], *stages, [*last, *tail], head]


class Tokens(nn.Module):
    """The beginning of timm's VisionTransformer: images [B, 3, S, S] -> tokens [B, N, D]."""

    def __init__(self, net: Any):
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, N, D]."""
        tokens: Tensor = self.net.forward_features(images)
        return tokens


class Pooled(nn.Module):
    """Tokens [B, N, D] -> features [B, D], as the network pools them."""

    def __init__(self, kind: str, prefix: int, with_prefix: bool):
        super().__init__()
        self.kind, self.prefix, self.with_prefix = kind, prefix, with_prefix

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, N, D] -> [B, D]."""
        from timm.layers.pool1d import global_pool_nlc

        out: Tensor = global_pool_nlc(
            tokens,
            pool_type=self.kind,
            num_prefix_tokens=self.prefix,
            reduce_include_prefix=self.with_prefix,
        )
        return out


def _row(net: Any, classifier: str, linear: nn.Linear) -> Rows:
    """A network whose modules stand in a row, cut behind its features."""
    information = getattr(net, "feature_info", None) or []
    stages = [it["module"] for it in getattr(information, "info", information)][-5:]
    if len(stages) < 4:
        raise _unknown(net, "four stages in its feature information")
    row = _opened(net, "", [*stages, classifier])
    names = [name for name, _ in row]
    end = names.index(classifier)
    if len(stages) == 4:  # the stem is what stands before the first stage
        stem = next((i for i, name in enumerate(names) if name == stages[0]), 0) - 1
    else:
        stem = _last(names, stages[0])
    edges = [0, stem + 1, *(_last(names, stage) + 1 for stage in stages[-4:-1])]
    if sorted(set(edges)) != edges:
        raise _unknown(net, "stages one behind the other")
    modules = [module for _, module in row[:end]]
    last = len(modules) - 1 if isinstance(modules[-1], nn.Dropout) else len(modules)
    edges.append(last)
    parts = [modules[a:b] for a, b in pairwise(edges)]
    return [*parts, [*modules[last:], linear]]


def _opened(module: nn.Module, name: str, wanted: Sequence[str]) -> list[tuple[str, nn.Module]]:
    """Names and modules in the order of registration, those around a wanted one opened."""
    found: list[tuple[str, nn.Module]] = []
    for key, child in module.named_children():
        path = f"{name}.{key}" if name else key
        around = any(it.startswith(f"{path}.") for it in wanted)
        found += _opened(child, path, wanted) if around else [(path, child)]
    return found


def _last(names: Sequence[str], stage: str) -> int:
    """Where a stage ends; it may have been opened."""
    return max(
        (i for i, name in enumerate(names) if name == stage or name.startswith(f"{stage}.")),
        default=-1,
    )
