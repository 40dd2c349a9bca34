"""Strategies so far below the others that an axis for all would press the others flat."""

from collections.abc import Mapping
from itertools import pairwise

GAP = 10.0  # points at least between them and the others
TIMES = 2.0  # what the others spread over


def outlying(accuracies: Mapping[str, float]) -> list[str]:
    """The few below the widest gap, if most strategies lie above it and close together.

    Args:
        accuracies: Per cent by strategy.
    """
    names = sorted(accuracies, key=lambda name: -accuracies[name])
    values = [accuracies[name] for name in names]
    gaps = [high - low for high, low in pairwise(values)]
    if not gaps:
        return []
    above = gaps.index(max(gaps)) + 1
    spread = values[0] - values[above - 1]
    apart = max(gaps) > max(GAP, TIMES * spread) and above > len(names) - above
    return names[above:] if apart else []
