"""How often the comparison of strategies is wrong, and how often it finds what is there.

Worlds are drawn in which the truth is known: a seed's model recognises an image where its skill
exceeds the image's difficulty, and both have parts that strategies share and parts that they do
not. Each candidate answers each draw; the table says how often any of the true nulls was rejected,
which share of the true differences was found, how often intervals and the set that may be best hold
the truth, and what it costs to follow the recommendation.

    python benchmarks/evidence.py --repeats 1000 > benchmarks/results/evidence.md
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, norm

from transferlab.evidence.crossed import Crossed, Read, alone, among_all, being_best, crossed
from transferlab.evidence.seeds import over_seeds

LEVEL, DRAWS = 0.05, 1000
EQUAL = (0.93,) * 10
THREE_WORSE = (0.93,) * 7 + (0.83,) * 3


@dataclass(frozen=True, kw_only=True)
class World:
    """A truth to draw from: standard deviations of what an answer is made of, in the same unit."""

    shares: tuple[float, ...]  # expected accuracy of every strategy
    seeds: int = 5
    images: int = 153
    seed: float = 0.05  # of the seeds' skill
    noisier: float = 1  # how many times more the first strategy's seeds vary
    shared: float = 1  # of the difficulty of an image for all strategies
    own: float = 0.4  # of it for one strategy
    rest: float = 1.2  # of what is a matter of strategy, seed and image together
    fails: float = 0  # share of seeds that fail outright
    classes: int = 2  # a seed that fails is right once in so many
    alike: bool = False  # whether an image that is missed is missed by all seeds, and few are

    @property
    def truth(self) -> np.ndarray:
        """Expected accuracy of every strategy, failing seeds included."""
        return np.array(self.shares) * (1 - self.fails) + self.fails / self.classes

    def draw(self, chance: np.random.Generator) -> np.ndarray:
        """Correctness of A strategies, float64 [A, S, N]."""
        size = len(self.shares), self.seeds, self.images
        if self.alike:
            missed = chance.random((size[0], 1, size[2])) > np.array(self.shares)[:, None, None]
            return np.broadcast_to(~missed, size).astype(float)
        seed = np.full((size[0], 1, 1), self.seed)
        seed[0] *= self.noisier
        total = np.sqrt(seed**2 + self.shared**2 + self.own**2 + self.rest**2)
        skill = total * norm.ppf(self.shares)[:, None, None]
        skill = skill + seed * chance.normal(size=(size[0], size[1], 1))
        skill = skill + self.shared * chance.normal(size=(1, 1, size[2]))
        skill = skill + self.own * chance.normal(size=(size[0], 1, size[2]))
        right = skill + self.rest * chance.normal(size=size) > 0
        failed = chance.random((size[0], size[1], 1)) < self.fails
        return np.where(failed, chance.random(size) < 1 / self.classes, right).astype(float)


IMAGES = {"rest": 0.3}
SEEDS = {"seed": 0.7, "own": 0.1, "rest": 0.1}
BOTH = {"seed": 0.01, "shared": 0.02, "own": 0.02, "rest": 1}
WORLDS = {
    "three of ten worse by 10 points": World(shares=THREE_WORSE),
    "the same, seeds vary more": World(shares=THREE_WORSE, seed=0.2),
    "the same, 20 images": World(shares=THREE_WORSE, images=20),
    "the same, 2 seeds": World(shares=THREE_WORSE, seeds=2),
    "all equal": World(shares=EQUAL),
    "all equal, images dominate": World(shares=EQUAL, **IMAGES),
    "all equal, no difficulty is shared": World(shares=EQUAL, shared=0, own=1, **IMAGES),
    "all equal, seeds dominate": World(shares=EQUAL, **SEEDS),
    "all equal, seed and image together": World(shares=EQUAL, **BOTH),
    "all equal, one seed in 20 fails, 2 classes": World(shares=EQUAL, fails=0.05),
    "all equal, one seed in 20 fails, 10 classes": World(shares=EQUAL, fails=0.05, classes=10),
    "all equal, one seed in 20 fails, 100 classes": World(shares=EQUAL, fails=0.05, classes=100),
    "all equal, two images are the difference": World(shares=(1 - 1 / 153,) * 10, alike=True),
    "all equal, one varies thrice as much": World(shares=EQUAL, seed=0.2, noisier=3),
    "all equal, one varies thrice as much, 2 seeds": World(
        shares=EQUAL, seed=0.2, noisier=3, seeds=2
    ),
    "all equal, 20 images": World(shares=EQUAL, images=20),
    "all equal, 20 images, seed and image together": World(shares=EQUAL, images=20, **BOTH),
    "all equal, 20 images, seeds dominate": World(shares=EQUAL, images=20, **SEEDS),
    "all equal, 1 seed": World(shares=EQUAL, seeds=1),
    "all equal, 2 seeds": World(shares=EQUAL, seeds=2),
    "all equal, 2 seeds dominate": World(shares=EQUAL, seeds=2, **SEEDS),
    "all equal, 10 seeds": World(shares=EQUAL, seeds=10),
    "all equal, 10 seeds dominate": World(shares=EQUAL, seeds=10, **SEEDS),
    "two equal": World(shares=EQUAL[:2]),
    "two equal, seeds dominate": World(shares=EQUAL[:2], **SEEDS),
    "two equal, 20 images": World(shares=EQUAL[:2], images=20),
    "a ladder of half points": World(shares=tuple(0.95 - 0.005 * step for step in range(10))),
    "the same, 2000 images": World(shares=THREE_WORSE, images=2000),
    "all equal, 2000 images": World(shares=EQUAL, images=2000),
    "all equal, 2000 images, seeds dominate": World(shares=EQUAL, images=2000, **SEEDS),
}


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One draw of a world, and what the comparison makes of it."""

    right: np.ndarray  # [A, S, N]
    given: Crossed
    single: Read
    every: Read


def votes(draw: Draw) -> np.ndarray:
    """McNemar's exact test of majority votes over seeds, Holm over the pairs."""
    won = draw.right.mean(axis=1) > 0.5
    first, second = won[draw.given.pairs[:, 0]], won[draw.given.pairs[:, 1]]
    wins, losses = (first & ~second).sum(axis=1), (second & ~first).sum(axis=1)
    p_values = 2 * binom.cdf(np.minimum(wins, losses), wins + losses, 0.5)
    return holm(p_values)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjusted by Holm's method; the library's collects garbage at every call."""
    order = np.argsort(p_values)
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1, steps)
    return adjusted


def signs(draw: Draw) -> np.ndarray:
    """Signs of each image's mean difference turned at random, Holm over the pairs; no seeds."""
    shares = draw.right.mean(axis=1)
    each = shares[draw.given.pairs[:, 0]] - shares[draw.given.pairs[:, 1]]
    turned = 2.0 * np.random.default_rng(0).integers(2, size=(2 * DRAWS, each.shape[1])) - 1
    drawn, seen = np.abs(turned @ each.T), np.abs(each.sum(axis=1))
    return holm((1 + (drawn >= seen - 1e-9).sum(axis=0)) / (1 + len(drawn)))


def one_step(draw: Draw) -> np.ndarray:
    """What the comparison does."""
    return draw.every.p_values


def steps(draw: Draw) -> np.ndarray:
    """The same draws; what was told apart leaves the maximum (Romano and Wolf, 2005)."""
    given = draw.given
    found = stepped(np.abs(given.statistics), np.abs(given.drawn))
    return np.maximum(found, draw.single.p_values)


def resampled(draw: Draw) -> np.ndarray:
    """Images drawn with replacement instead of signs turned; the same seeds' part; stepped."""
    given, chance = draw.given, np.random.default_rng(0)
    shares = draw.right.mean(axis=1) - draw.right.mean(axis=(1, 2))[:, None]
    weights = np.full(given.images, 1 / given.images)
    by_images = chance.multinomial(given.images, weights, size=DRAWS) @ shares.T / given.images
    first, second = given.pairs.T
    error = np.sqrt(given.over_images + given.over_seeds)
    student = chance.standard_t(over_seeds(draw.right)[1], size=(DRAWS, 1))
    drawn = (by_images[:, first] - by_images[:, second]) / error
    drawn += np.sqrt(given.over_seeds) / error * student
    return stepped(np.abs(given.differences / error), np.abs(drawn))


def stepped(seen: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """P-values [P] among all pairs, from the largest statistic down."""
    order = np.argsort(-seen)
    largest = np.maximum.accumulate(drawn[:, order[::-1]], axis=1)[:, ::-1]
    found = np.empty(len(seen))
    found[order] = np.maximum.accumulate((largest >= seen[order]).mean(axis=0))
    return found


CANDIDATES: dict[str, Callable[[Draw], np.ndarray]] = {
    "votes": votes,
    "signs": signs,
    "resampled": resampled,
    "steps": steps,
    "one step": one_step,
}


def rejections(true: np.ndarray, p_values: np.ndarray, seen: np.ndarray) -> dict[str, float]:
    """Whether a true null was rejected, and the share of true differences [P] that was found."""
    null, told = np.abs(true) < 1e-12, p_values <= LEVEL
    found = (told & (np.sign(seen) == np.sign(true)))[~null]
    return {
        "wrong": float(told[null].any()) if null.any() else math.nan,
        "found": float(found.mean()) if len(found) else math.nan,
    }


def held(truth: np.ndarray, true: np.ndarray, draw: Draw) -> dict[str, float]:
    """Whether intervals and the set hold the truth, and what following it costs.

    Costs of training are in no relation to the strategies' skill here: each of the set is as often
    the cheapest.
    """
    missed = np.abs(draw.given.differences - true) - 1e-12
    best = np.array([being_best(draw.given, place) for place in range(len(truth))]) > LEVEL
    lost, seen = truth.max() - truth[best], draw.right.mean(axis=(1, 2))
    return {
        "alone": float((missed <= draw.single.halves).mean()),
        "all": float((missed <= draw.every.halves).all()),
        "best": float(best[truth == truth.max()].mean()),
        "size": float(best.sum()),
        "over 1": float((lost > 0.01 + 1e-9).mean()),
        "over 2": float((lost > 0.02 + 1e-9).mean()),
        "optimism": float((seen - truth)[best].mean()),
    }


def tried(world: World, repeats: int) -> dict[str, float]:
    """Means over draws of a world, by what is counted."""
    rows = [one(world, np.random.default_rng([1, repeat])) for repeat in range(repeats)]
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def one(world: World, chance: np.random.Generator) -> dict[str, float]:
    """What is counted of one draw."""
    right = world.draw(chance)
    given = crossed(right, DRAWS)
    single = alone(given, 1 - LEVEL)
    draw = Draw(right=right, given=given, single=single, every=among_all(given, single, 1 - LEVEL))
    true = world.truth[given.pairs[:, 0]] - world.truth[given.pairs[:, 1]]
    row = held(world.truth, true, draw)
    for name, candidate in CANDIDATES.items():
        found = rejections(true, candidate(draw), given.differences)
        row |= {f"{name}: {key}": value for key, value in found.items()}
    return row


COUNTED = [f"{name}: {key}" for name in CANDIDATES for key in ("wrong", "found")]
HELD = {
    "alone": "interval alone",
    "all": "all intervals",
    "best": "best in the set",
    "over 1": "over 1 point lost",
    "over 2": "over 2",
    "optimism": "optimism",
}


def main() -> None:
    """Print a row per world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--world", default="", help="only those whose name holds this")
    given = parser.parse_args()
    print("| " + " | ".join(["world", *COUNTED, *HELD.values(), "size of the set"]) + " |")
    print("| --- |" + " --: |" * (len(COUNTED) + len(HELD) + 1))
    for name, world in WORLDS.items():
        if given.world in name:
            found = tried(world, given.repeats)
            cells = [f"{found[key]:.1%}" for key in [*COUNTED, *HELD]]
            cells.append(f"{found['size']:.1f}")
            print(f"| {name} | " + " | ".join(cells).replace("nan%", "–") + " |", flush=True)


if __name__ == "__main__":
    main()
