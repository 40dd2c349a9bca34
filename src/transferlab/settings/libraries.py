"""What torchvision and timm say of their networks, for backbones that have no file of their own."""

import functools
import math
import re
from typing import Any

from ..params.learning.network import OTHER


def by_weights(weights: str, first: Any, second: Any) -> Any:
    """Resolver: what goes with the second version of published weights, else with the first."""
    return second if weights == "imagenet_v2" else first


def published(name: str, weights: str, key: str) -> Any:
    """Resolver: one thing that the library says of a network.

    Args:
        name: torchvision/<name> or timm/<name>.
        weights: As `backbone.weights` has them; other than imagenet_v2 all mean the first ones.
        key: url, or one of the section `backbone.preprocessing`.

    Raises:
        ValueError: The library is not there, or has no such network or weights.
    """
    from omegaconf import OmegaConf

    value = said_of(name, weights)[key]
    return OmegaConf.create(value) if isinstance(value, list) else value


@functools.cache
def said_of(name: str, weights: str) -> dict[str, Any]:
    """All that the library says: the arguments and errors are those of `published`."""
    other = OTHER.fullmatch(name)
    if other is None:
        raise ValueError(
            f"backbone.name: expected torchvision/<name> or timm/<name>, got {name!r}. The others "
            f"are chosen by their own file: -S backbone={name}"
        )
    return _by_torchvision(other[2], weights) if other[1] == "torchvision" else _by_timm(other[2])


def _by_torchvision(name: str, weights: str) -> dict[str, Any]:
    import torchvision

    try:
        versions = list(torchvision.models.get_model_weights(name))
    except ValueError as error:
        raise ValueError(
            f"backbone.name: expected a classifier of torchvision, got {name!r}."
        ) from error
    wanted = "IMAGENET1K_V2" if weights == "imagenet_v2" else "IMAGENET1K_V1"
    found = next((it for it in versions if it.name == wanted), None)
    if found is None:
        raise ValueError(
            f"backbone.weights: expected one of {', '.join(it.name for it in versions)}, which "
            f"torchvision has of {name}, got {weights!r} ({wanted})."
        )
    seen = found.transforms()
    return {
        "url": found.url,
        "top1": found.meta["_metrics"]["ImageNet-1K"]["acc@1"],
        "resize_px": seen.resize_size[0],
        "crop_px": seen.crop_size[0],
        "resize": "shorter",
        "interpolation": seen.interpolation.value,
        "mean": list(seen.mean),
        "std": list(seen.std),
    }


def _by_timm(name: str) -> dict[str, Any]:
    try:
        import timm
        from timm.data import resolve_data_config
    except ImportError as error:
        raise ValueError(
            f"backbone.name: timm/{name} needs timm. Run: pip install timm==1.0.31"
        ) from error
    if not timm.is_model(name):
        raise ValueError(f"backbone.name: expected a network of timm, got {name!r}.")
    given = timm.models.get_pretrained_cfg(name).to_dict()
    seen = resolve_data_config({}, pretrained_cfg=given)
    side, url = seen["input_size"][-1], str(given.get("url") or "")
    return {
        # of others no digest is known
        "top1": None,
        "url": url if re.search(r"-[0-9a-f]{8}\.\w+$", url) else None,
        "resize_px": max(side, math.floor(side / seen["crop_pct"])),
        "crop_px": side,
        "resize": "squash" if seen["crop_mode"] == "squash" else "shorter",
        "interpolation": "bilinear" if seen["interpolation"] == "bilinear" else "bicubic",
        "mean": list(seen["mean"]),
        "std": list(seen["std"]),
    }
