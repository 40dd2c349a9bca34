"""Strategy record -> what trains in each phase: every parameter covered, every pattern used."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import nn

from ..params.learning.network import PARTS
from ..params.learning.strategies import GradientStrategy, first_match


@dataclass(frozen=True, kw_only=True)
class PhasePlan:
    """A phase ready for the loop.

    Args:
        name: As the strategy names it.
        epochs: How many.
        cut: Number of leading parts that are frozen; what they compute can be computed once.
        groups: Optimiser groups: params, lr, weight_decay.
    """

    name: str
    epochs: int
    cut: int
    groups: Sequence[dict[str, Any]]


def plan(
    model: nn.Sequential, strategy: GradientStrategy, max_epochs: int | None
) -> list[PhasePlan]:
    """The phases of a strategy for one model.

    Raises:
        ValueError: A part of the model is not covered by the table of rates.
    """
    shares = [phase.share for phase in strategy.phases.values()]
    lengths = phase_lengths(min(strategy.epochs, max_epochs or strategy.epochs), shares)
    return [
        PhasePlan(
            name=name,
            epochs=epochs,
            cut=first_trained(strategy, phase.rates),
            groups=groups(model, phase.rates, strategy),
        )
        for (name, phase), epochs in zip(strategy.phases.items(), lengths, strict=True)
    ]


def phase_lengths(epochs: int, shares: Sequence[float]) -> list[int]:
    """Divide whole epochs by shares, the rounding going to the last phases; a phase may end up with
    none.
    """
    edges = [round(epochs * sum(shares[:i]) / sum(shares)) for i in range(len(shares) + 1)]
    return [end - start for start, end in pairwise(edges)]


def cut(rates: dict[str, float | None]) -> int:
    """Number of leading parts that do not train."""
    return next(i for i, part in enumerate(PARTS) if rate_of(rates, part) is not None)


def first_trained(strategy: GradientStrategy, rates: dict[str, float | None]) -> int:
    """Number of leading parts whose output never changes in a phase: what is frozen, unless its
    norm layers see the batch.
    """
    return 0 if strategy.norm_statistics == "everywhere" else cut(rates)


def groups(
    model: nn.Sequential, rates: dict[str, float | None], strategy: GradientStrategy
) -> list[dict[str, Any]]:
    """One optimiser group per trained part and kind; weight decay is not for norm layers and
    biases.

    With `trains: norms` these are all that trains below the head (BitFit, arXiv 2106.10199, and
    Frankle et al., arXiv 2003.00152). The rule "only tensors with two or more dimensions decay" is
    the one of nanoGPT and of BiT.
    """
    found: list[dict[str, Any]] = []
    for part, module in model.named_children():
        rate = rate_of(rates, part)
        if rate is None:
            continue
        for decays in (True, False):
            tensors = [
                parameter for parameter in module.parameters() if (parameter.dim() >= 2) == decays
            ]
            if tensors and (trained_kind(strategy, part) or not decays):
                decay = strategy.weight_decay if decays else 0.0
                group = {"params": tensors, "lr": strategy.lr * rate, "weight_decay": decay}
                if strategy.decay_to == "start" and part != "head":
                    group |= {"weight_decay": 0.0, "pull": decay}
                found.append(group)
    return found


def trained_kind(strategy: GradientStrategy, part: str) -> bool:
    """Whether matrices and kernels of a part train where the part does."""
    return strategy.trains == "all" or part == "head"


def trainable_parameters(model: nn.Sequential, strategy: GradientStrategy) -> int:
    """Number of values that any of the phases may change."""
    rates = [phase.rates for phase in strategy.phases.values()]
    parts = {part for part in PARTS for table in rates if rate_of(table, part) is not None}
    return sum(
        p.numel()
        for part, module in model.named_children()
        if part in parts
        for p in module.parameters()
        if trained_kind(strategy, part) or p.dim() < 2
    )


def rate_of(rates: dict[str, float | None], part: str) -> float | None:
    """Multiplier of the learning rate of a part; None where it is frozen.

    Raises:
        ValueError: No pattern of the table covers it.
    """
    pattern = first_match(rates, part)
    if pattern is None:
        raise ValueError(
            f"rates: part '{part}' is not covered by {list(rates)}. Add it, or the pattern '*'."
        )
    return rates[pattern]
