"""The head of a network out of a file: the file's own, or one that is drawn in its stead; and what
it gives of an auxiliary one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..network import auxiliary
from .candidates import Candidate, Network
from .content import few, quoted

DRAWN = 100  # outputs of a head that no file gave; 1000 would be ImageNet's to `controls`

STAND_IN = "one was drawn that no strategy uses"

THEIRS = "AuxLogits."  # before the names of the auxiliary classifier in published files


def head_of(candidate: Candidate, network: Network) -> tuple[tuple[str, ...], list[str]]:
    """Names of the head's two tensors; or none, where the file has no such head, and why."""
    stands = [name for name in candidate.tensors if network.of_the_head(name)]
    if not stands:
        return (), [f"has no head, {STAND_IN}"]
    why = _unlike(candidate, network, stands)
    if why:
        return (), [f"left out a head {why} ({few(stands)}), {STAND_IN}"]
    return (network.weight, network.bias), []


def _unlike(candidate: Candidate, network: Network, stands: Sequence[str]) -> str | None:
    """Why a head is not a linear layer whose outputs are the network's."""
    if set(stands) != {network.weight, network.bias}:
        return "of another form"
    weight, bias = candidate.tensors[network.weight], candidate.tensors[network.bias]
    if bias.dim() != 1 or not len(bias) or weight.shape != (len(bias), network.features):
        return "of another shape"
    rest = {name: value for name, value in candidate.tensors.items() if name not in network.names}
    above = [
        name
        for name, value in {**rest, **candidate.beside}.items()
        if _takes(name, value, len(bias))
    ]
    # A classifier on top of ImageNet's thousand outputs trained these further: they mean no class.
    return f"below another layer, {quoted(above[0])}" if above else None


def _takes(name: str, value: Tensor, inputs: int) -> bool:
    """Whether a tensor is a linear layer's with so many inputs."""
    return f".{name}".endswith(".weight") and value.dim() == 2 and value.shape[1] == inputs


def drawn_head(network: Network) -> dict[str, Tensor]:
    """A head that is always the same: `engine` measures logits, and no strategy keeps it."""
    drawn = torch.Generator().manual_seed(0)
    weight = torch.randn(DRAWN, network.features, generator=drawn) / network.features**0.5
    return {network.weight: weight, network.bias: torch.zeros(DRAWN)}


def auxiliary_of(candidate: Candidate, backbone: str) -> dict[str, str]:
    """Names of an auxiliary classifier's tensors in a file -> its own; none unless all are there.

    Its last layer is not among them: it knows the file's classes and nothing else.
    """
    if backbone != auxiliary.NETWORK:
        return {}
    shapes = {f"{THEIRS}{name}": shape for name, shape in auxiliary.convolutions().items()}
    given = candidate.tensors
    fits = all(name in given and given[name].shape == shape for name, shape in shapes.items())
    return {name: name.removeprefix(THEIRS) for name in shapes} if fits else {}
