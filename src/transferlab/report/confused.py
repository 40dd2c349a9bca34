"""Which classes a figure shows where there are too many for all."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

ALL = 16  # classes at most that are shown together
SOME = 15  # of more: those that are confused most


def most_confused(
    predictions: Mapping[str, pd.DataFrame], classes: Sequence[str], best: str | None
) -> list[str]:
    """All classes where they are few; else those that are confused most, neighbours being confused
    with each other.

    Args:
        predictions: Checked tables by strategy.
        classes: In their order.
        best: The strategy whose mistakes count before those of others.
    """
    if len(classes) <= ALL:
        return list(classes)
    counts = {name: confusions(table, classes) for name, table in predictions.items()}
    every = np.sum(list(counts.values()), axis=0)
    if not every.any():
        return list(classes[:SOME])
    first = counts[best] if best else every
    # a mistake of the others never outweighs one of the best
    weight = first * (1 + every.sum()) + every
    taken = weight.sum(axis=0) + weight.sum(axis=1)
    kept = np.sort(np.argsort(-taken, kind="stable")[:SOME])
    return [classes[place] for place in kept[_clustered(every[np.ix_(kept, kept)])]]


def confusions(table: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Images of each class (row) that were taken for another (column), per seed, [K, K]; the
    diagonal is empty.
    """
    places = pd.Index(classes)
    actual, predicted = (places.get_indexer(pd.Index(table[it])) for it in ("label", "predicted"))
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (actual, predicted), 1 / max(table["seed"].nunique(), 1))
    np.fill_diagonal(counts, 0)
    return counts


def _clustered(counts: np.ndarray) -> np.ndarray:
    """An order in which those that are confused stand together: average linkage, leaves ordered
    (Bar-Joseph et al., "Fast optimal leaf ordering for hierarchical clustering", 2001).
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    both = counts + counts.T
    apart = 1 - both / (both.max() or 1)
    np.fill_diagonal(apart, 0)
    tree = linkage(squareform(apart, checks=False), "average", optimal_ordering=True)
    return np.asarray(leaves_list(tree))
