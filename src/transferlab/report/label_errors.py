"""Images whose label may be wrong, by what models say that did not train on them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..evidence import measures


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An image in which models see another class than its label as clearly as in its own images."""

    id: str
    label: str
    suggested: str
    label_probability: float  # mean over the models
    suggested_probability: float


def candidates(table: pd.DataFrame) -> list[Candidate]:
    """Candidates for label errors by confident learning, the clearest first.

    A class is confidently seen in an image where its probability, the mean over the models, reaches
    its mean over the images of that label; a candidate is an image whose most probable such class
    is not its label. They are ranked by how far the label's probability lies below the other one
    (Northcutt, Jiang and Chuang, "Confident learning", Journal of Artificial Intelligence Research
    70 (2021), 1373-1411, sections 3.1 and 3.2; its library is under a licence that does not go with
    this project's).

    Args:
        table: Checked predictions of models that trained on none of these images, of one seed or
            more.
    """
    if table.empty:
        return []
    given = measures.outcomes(table)
    chances = given.probabilities.mean(axis=0)
    counts = np.bincount(given.labels, minlength=len(given.classes))
    own = chances[np.arange(len(chances)), given.labels]
    sums = np.bincount(given.labels, weights=own, minlength=len(given.classes))
    usual = np.where(counts, sums / np.maximum(counts, 1), np.inf)
    confident = np.where(chances >= usual, chances, -1.0)
    seen = confident.argmax(axis=1)
    rows = np.flatnonzero((confident.max(axis=1) >= 0) & (seen != given.labels))
    ids = list(dict.fromkeys(table["id"]))
    found = [
        Candidate(
            id=str(ids[row]),
            label=given.classes[given.labels[row]],
            suggested=given.classes[seen[row]],
            label_probability=float(chances[row, given.labels[row]]),
            suggested_probability=float(chances[row, seen[row]]),
        )
        for row in rows
    ]
    return sorted(found, key=lambda it: (it.label_probability - it.suggested_probability, it.id))
