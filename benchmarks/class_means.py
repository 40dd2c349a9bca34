"""How often the intervals of balanced accuracy and macro F1 hold the truth.

Test sets are drawn whose every class is recognised with a known chance; what is missed is taken for
any other class alike. Beside the intervals of the pipeline stand two others: percentiles of a
bootstrap of the images, and Wilson's intervals of the classes added up (MOVER: Zou and Donner,
"Construction of confidence intervals about effect measures", Statistics in Medicine 27 (2008),
1693-1702), for F1 by way of hits / (hits + mistakes), which is a share.

    nice python benchmarks/class_means.py
"""

import numpy as np

from transferlab.evidence.class_means import F1, RECALL, interval
from transferlab.evidence.intervals import wilson

LEVEL, DRAWS, RESAMPLES = 0.95, 300, 300
TAIL = [200, 120, 80, 50, 40, 30, 25, 20, 15, 12, 10, 8, 7, 6, 5, 4, 4, 3, 3, 3]
WORLDS = {
    "57 and 3 images, recalls 98 and 90 %": ([57, 3], [0.98, 0.9]),
    "57 and 3 images, 99 and 50 %": ([57, 3], [0.99, 0.5]),
    "190 and 10 images, 97 and 70 %": ([190, 10], [0.97, 0.7]),
    "6 and 6 images, 97 %": ([6, 6], [0.97] * 2),
    "77 and 76 images, 96 %": ([77, 76], [0.96] * 2),
    "5 classes of 100 to 3, 97 to 60 %": ([100, 30, 10, 5, 3], [0.97, 0.9, 0.8, 0.7, 0.6]),
    "9 classes of 50, one of 3, 95 and 60 %": ([50] * 9 + [3], [0.95] * 9 + [0.6]),
    "20 classes of 200 to 3, 98 to 60 %": (TAIL, np.linspace(0.98, 0.6, 20)),
    "30 classes of 30, 60 to 100 %": ([30] * 30, np.linspace(0.6, 1, 30)),
    "100 classes of 3, 90 %": ([3] * 100, [0.9] * 100),
    "100 classes of 1, 80 %": ([1] * 100, [0.8] * 100),
}


def confusion(recalls: np.ndarray) -> np.ndarray:
    """Chances of every answer to an image of every class, [K, K]."""
    count = len(recalls)
    chances = np.repeat((1 - recalls)[:, None] / (count - 1), count, axis=1)
    np.fill_diagonal(chances, recalls)
    return chances


def scores(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Recalls and F1 of counted answers [..., K, K], and the images of each; NaN where none is."""
    hits, own = np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1)
    both = own + counts.sum(axis=-2)
    with np.errstate(invalid="ignore"):
        return hits / own, 2 * hits / both, own, both


def bootstrap(counts: np.ndarray, measure: int, chance: np.random.Generator) -> np.ndarray:
    """Percentiles of resampled images."""
    drawn = chance.multinomial(counts.sum(), counts.ravel() / counts.sum(), size=RESAMPLES)
    means = np.nanmean(scores(drawn.reshape(-1, *counts.shape))[measure], axis=1)
    return np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])


def mover(values: np.ndarray, images: np.ndarray, measure: int) -> np.ndarray:
    """Distances of the classes' own intervals, added up as squares; F1 with its covariance."""
    shares, of = (values / (2 - values), images * (2 - values) / 2) if measure else (values, images)
    ends = np.array([wilson(share * n, n, LEVEL) for share, n in zip(shares, of, strict=True)]).T
    ends = 2 * ends / (1 + ends) if measure else ends
    halves = np.sqrt((1 + measure) * ((ends - values) ** 2).sum(axis=1)) / len(values)
    return values.mean() + halves * [-1, 1]


def held(counts: np.ndarray, truth: float, measure: int, chance: np.random.Generator) -> list[bool]:
    """Whether bootstrap, MOVER and the pipeline's interval hold the truth."""
    found = scores(counts)
    defined = found[2 + measure] > 0
    values, images = found[measure][defined], found[2 + measure][defined].astype(float)
    own = interval(values.mean(), images, (RECALL, F1)[measure], LEVEL)
    every = [bootstrap(counts, measure, chance), mover(values, images, measure), own]
    return [low - 1e-9 <= truth <= high + 1e-9 for low, high in every]


def main() -> None:
    """Print a row per world: of each measure how often each interval holds the truth."""
    header = [f"{measure}: {name}" for measure in ("balanced accuracy", "macro F1") for name in
              ("bootstrap", "MOVER", "**here**")]  # fmt: skip
    print("| " + " | ".join(["world", *header]) + " |\n| --- |" + " --: |" * len(header))
    for name, (images, recalls) in WORLDS.items():
        chance, own = np.random.default_rng(0), np.array(images)
        chances = confusion(np.array(recalls))
        truth = [float(np.mean(each)) for each in scores(own[:, None] * chances)[:2]]
        rows = []
        for _ in range(DRAWS):
            counts = np.array([chance.multinomial(*row) for row in zip(own, chances, strict=True)])
            rows.append([hit for at in (0, 1) for hit in held(counts, truth[at], at, chance)])
        print(f"| {name} | " + " | ".join(f"{share:.1%}" for share in np.mean(rows, axis=0)) + " |")


if __name__ == "__main__":
    main()
