"""A network in parts, by the names that torchvision gives the same tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..network import backbones
from ..params.learning.network import origin_of


def state_dict_of(
    name: str, tensors: Mapping[str, Tensor], classes: int
) -> dict[str, Tensor] | None:
    """What `get_model(name, num_classes=classes).load_state_dict` takes.

    None for a network that is not torchvision's, and where the head is not one linear layer, as
    that of torchvision's network is.

    Args:
        name: Of the backbone.
        tensors: Of all parts, `stem..head`.
        classes: Number of classes.
    """
    head = sorted({key.rpartition(".")[0] for key in tensors if key.startswith("head.")})
    linear = len(head) == 1 and f"{head[0]}.weight" in tensors
    if origin_of(name)[0] != "torchvision" or not linear:
        return None
    names = _names(name, classes)
    # The head may lack the dropout in front of its linear layer, which then has another number.
    return {
        theirs: tensors[f"{head[0]}.{key.rpartition('.')[2]}" if key.startswith("head.") else key]
        for key, theirs in names.items()
    }


def _names(name: str, classes: int) -> dict[str, str]:
    """Our name -> torchvision's, of every tensor: the divided network shares those of the whole."""
    with torch.device("meta"):
        net = backbones.builder(name)(classes)
    theirs = {id(tensor): key for key, tensor in _state(net).items()}
    parts = backbones.in_parts(name, net)
    names = {key: theirs[id(tensor)] for key, tensor in _state(parts).items()}
    assert len(names) == len(theirs)
    return names


def _state(module: nn.Module) -> dict[str, Tensor]:
    """The tensors themselves by name; `state_dict` would give others that share their memory."""
    state: dict[str, Tensor] = module.state_dict(keep_vars=True)
    return state
