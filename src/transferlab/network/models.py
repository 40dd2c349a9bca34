"""Models on disk: the starting weights once, and per training only the tensors that it may have
changed.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..pipeline import disk
from ..pipeline.files import atomic_path, file_hash
from .neighbours import make_room


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Digest of names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def tensors_of(model: nn.Module, parts: Iterable[str]) -> dict[str, Tensor]:
    """Copies, on the CPU, of all parameters and buffers of the named parts."""
    wanted = tuple(f"{part}." for part in parts)
    return {
        name: value.detach().cpu().clone()
        for name, value in model.state_dict().items()
        if name.startswith(wanted)
    }


def save(tensors: Mapping[str, Tensor], path: Path, facts: dict[str, str] | None = None) -> str:
    """Write tensors as safetensors, with facts in its header, atomically; gives the file's sha256.

    Raises:
        OSError: They cannot be written there, and why.
    """
    with atomic_path(path) as part:
        try:
            save_file({name: value.contiguous() for name, value in tensors.items()}, part, facts)
        except SafetensorError as error:
            raise disk.behind(error) from error
    return file_hash(path)


def read(path: Path, sha256: str) -> dict[str, Tensor]:
    """Read tensors whose file has the recorded hash.

    Raises:
        ValueError: It has another one: the file, or DVC's copy of it, was damaged.
    """
    found = file_hash(path)
    if found != sha256:
        raise ValueError(
            f"{path}: expected sha256 {sha256[:12]}..., got {found[:12]}.... The file is damaged "
            "or from another run. "
            f"Delete it, and its copy under .dvc/cache, then run: dvc repro"
        )
    return load_file(path)


def overlay(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put trained tensors over the starting weights, in place.

    Raises:
        ValueError: They belong to another network or number of classes.
    """
    make_room(model, tensors)
    known = model.state_dict()
    wrong = [
        name
        for name, value in tensors.items()
        if name not in known or known[name].shape != value.shape
    ]
    if wrong:
        raise ValueError(
            f"model: expected tensors of this backbone and these classes, got '{wrong[0]}'. Train "
            "anew."
        )
    for name, value in tensors.items():
        known[name].copy_(value)
