"""What a training computes, counted: the same on every machine and at every hour, where seconds are
not.
"""

from collections.abc import Callable

import torch
from torch import nn

from ..network.augment import training_side
from ..params.learning.network import HEAD
from ..params.learning.recipe import Recipe
from ..params.learning.strategies import GradientStrategy
from ..training.strategies import first_trained, phase_lengths

Parts = list[int]
"""Operations of one image's way through each part of a network."""


def operations(recipe: Recipe, parts_at: Callable[[int], Parts], fit: int, validation: int) -> int:
    """Floating-point operations of one seed's training: a multiplication is one, an addition is
    one.

    What is frozen below the first part that trains is passed once per view and phase, by the images
    to fit; what lies above is passed in every epoch, and learning costs three times the pass: one
    forward, two back. The images to validate on pass in the test view: what is frozen once, the
    rest in every epoch. Whatever a cache, other seeds or a lack of memory spare or add is left out,
    as are the solver of a regression, the optimiser, and layers other than convolutions, linear
    layers and attention, and an auxiliary classifier: together they are small beside the passes,
    and the solver's rounds would depend on the machine.

    Args:
        recipe: The strategy, and what else its training depends on; settled.
        parts_at: Side of an image in pixels -> operations of each part, see `of_parts`.
        fit: Number of images to learn from.
        validation: Number of images to validate on.
    """
    strategy, tested = recipe.strategy, parts_at(recipe.preprocessing.crop_px)
    features = (fit + validation) * sum(tested[:HEAD])
    if not isinstance(strategy, GradientStrategy):
        return features + (fit + validation) * sum(tested[HEAD:])
    seen = parts_at(training_side(recipe.preprocessing, strategy.resolution))
    total = features if strategy.probe is not None else 0
    cuts = [first_trained(strategy, phase.rates) for phase in strategy.phases.values()]
    for first, epochs in zip(cuts, _epochs(recipe, strategy), strict=True):
        views = min(strategy.counted_views or epochs, epochs)
        total += fit * (views * sum(seen[:first]) + 3 * epochs * sum(seen[first:]))
        total += validation * (min(epochs, 1) * sum(tested[:first]) + epochs * sum(tested[first:]))
    shares = len(strategy.interpolate or ())
    lowest = min(cuts)
    mixed = min(shares, 1) * sum(tested[:lowest]) + shares * sum(tested[lowest:])
    return total + validation * mixed


def _epochs(recipe: Recipe, strategy: GradientStrategy) -> list[int]:
    """Of each phase."""
    most = min(strategy.epochs, recipe.train.max_epochs or strategy.epochs)
    return phase_lengths(most, [phase.share for phase in strategy.phases.values()])


@torch.no_grad()
def of_parts(model: nn.Sequential, side: int) -> Parts:
    """Operations of one image of `side` x `side` pixels in each part; the model ends in eval mode.

    Attention is counted as the matrix products that it is: torch's fused kernels hide them from
    its counter.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    fused = torch.backends.mha.get_fastpath_enabled()
    entering = torch.zeros(1, 3, side, side, device=next(model.parameters()).device)
    model.eval()
    found = []
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        for part in model:
            with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
                entering = part(entering)
            found.append(int(counter.get_total_flops()))
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return found
