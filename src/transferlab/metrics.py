"""Predictions tables to numbers with intervals.

The predictions table is the narrow waist of the pipeline: torch ended before it, pandas is enough from here on.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = ("strategy", "seed", "id", "label", "predicted")
"""Of a predictions table, before one column `p_<class>` for each class."""

SUM_TOLERANCE = 1e-4  # float32 softmax over many classes, written with fewer digits
SMALLEST = 1e-12  # a probability below it counts as this, since the logarithm of 0 is infinite
TEMPERATURES = (0.05, 20.0)  # what the fit chooses from
MEASURE_RESAMPLES = 1000  # of one strategy's measures at most; only the comparison of strategies uses more
CELLS = 2_000_000  # of a chunk of resamples times images: 16 MB as float64

FLAT = {
    "accuracy": ("accuracy", "mean"),
    "accuracy_low": ("accuracy", "images_low"),
    "accuracy_high": ("accuracy", "images_high"),
    "accuracy_sd": ("accuracy", "sd"),
    "accuracy_seeds_low": ("accuracy", "seeds_low"),
    "accuracy_seeds_high": ("accuracy", "seeds_high"),
    **{
        measure: (measure, "mean")
        for measure in ("macro_f1", "auroc", "nll", "brier", "ece", "ece_scaled", "tta_accuracy")
    },
}
"""Key of a strategy's summary -> measure of its details and which of that measure's numbers."""

RECORD = ("mean", "images_low", "images_high", "seeds_low", "seeds_high", "sd")
"""Of every measure, see `details`."""

LARGEST = {"nll": math.inf, "nll_scaled": math.inf, "brier": 2.0}  # the other measures end at 1

Measure = Callable[[np.ndarray], np.ndarray]
"""Weights of images float64 [R, N] -> value for every resample and seed float64 [R, S]."""


def read_tables(folder: Path, names: Iterable[str], classes: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The checked tables `<name>.csv` of a folder by name; only validation images differ from seed to seed."""
    same = folder.name != "validation"
    return {name: read_predictions(folder / f"{name}.csv", classes, same_images=same) for name in names}


def read_predictions(path: Path, classes: Sequence[str], *, same_images: bool = True) -> pd.DataFrame:
    """Read and check one strategy's predictions table.

    A table without rows is allowed: a strategy whose seeds all diverged at once predicted nothing.

    Args:
        path: `<strategy>.csv`, rows sorted by seed.
        classes: Class names in the order of the probability columns.
        same_images: Whether every seed has to have the same images; each has its own validation split.

    Raises:
        ValueError: the first line that is not what evaluation writes.
    """
    chances = [f"p_{name}" for name in classes]
    # As text first: a class may be called "NA" or "01", and each bad cell has to be shown as it stands.
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(table.columns) != [*COLUMNS, *chances]:
        raise ValueError(
            f"{path.name}: expected the columns {', '.join([*COLUMNS, *chances])}, got {', '.join(table.columns)}. "
            f"{_again(path)}"
        )
    _require(table["strategy"] == path.stem, path, table, f"strategy {path.stem}", "strategy")
    _require(table["seed"].str.fullmatch("[0-9]+"), path, table, "a whole number as seed", "seed")
    for column in ("label", "predicted"):
        _require(table[column].isin(list(classes)), path, table, f"a {column} in {list(classes)}", column)
    for column in chances:
        number = pd.to_numeric(table[column], errors="coerce")
        _require(number.between(0, 1), path, table, f"a probability in {column}", column)
        table[column] = number.astype(float)
    table["seed"] = table["seed"].astype(int)
    _check_probabilities(path, table, chances)
    _require(~table.duplicated(["seed", "id"]), path, table, "every id once per seed", "id")
    if same_images:
        _check_seeds(path, table)
    return table


def _check_probabilities(path: Path, table: pd.DataFrame, chances: list[str]) -> None:
    """Rows sum to 1, and `predicted` is the most probable class."""
    values = table[chances].to_numpy(float)
    table = table.assign(sum=values.sum(axis=1))
    _require((table["sum"] - 1).abs() <= SUM_TOLERANCE, path, table, "probabilities that sum to 1", "sum")
    place = pd.Index(chances).get_indexer(pd.Index("p_" + table["predicted"]))
    largest = values[np.arange(len(table)), place] >= values.max(axis=1, initial=0)
    _require(pd.Series(largest), path, table, "the most probable class as predicted", "predicted")


def _check_seeds(path: Path, table: pd.DataFrame) -> None:
    """Every seed has the same images with the same labels in the same order."""
    seeds = table["seed"].unique()
    for seed in seeds[1:]:
        first, other = (table.loc[table["seed"] == value, ["id", "label"]].to_numpy() for value in (seeds[0], seed))
        if not np.array_equal(first, other):
            raise ValueError(
                f"{path.name}: expected the same ids and labels in the same order for every seed, "
                f"got others for seed {seed} than for seed {seeds[0]}. {_again(path)}"
            )


def _require(good: "pd.Series[bool]", path: Path, table: pd.DataFrame, expected: str, column: str) -> None:
    if not good.all():
        row = int(np.argmin(good))
        place = f"{path.name}, line {row + 2} (seed {table['seed'].iloc[row]}, {table['id'].iloc[row]})"
        got = table[column].tolist()[row]
        raise ValueError(f"{place}: expected {expected}, got {got!r}. {_again(path)}")


def _again(path: Path) -> str:
    stage = {"controls": "controls", "cross_validation": f"cross_validate@{path.stem}"}
    return f"Run: dvc repro --force {stage.get(path.parent.name, f'evaluate@{path.stem}')}"


def wilson(successes: float, n: int, confidence: float) -> tuple[float, float]:
    """Score interval of a share; it stays within 0 and 1 and needs no large `n`.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209-212.

    Args:
        successes: Between 0 and `n`; need not be whole, because it may be a mean over seeds.
        n: Number of trials, at least 1.
        confidence: Coverage, such as 0.95.

    Returns:
        Lower and upper end.
    """
    if not (n >= 1 and 0 <= successes <= n and 0 < confidence < 1):
        raise ValueError(
            f"wilson: expected 0 <= successes <= n, n >= 1, 0 < confidence < 1, got {successes}, {n}, {confidence}."
        )
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = ((centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    # At the ends the formula is exactly 0 or 1; floats miss it by an ulp.
    return (0.0 if successes == 0 else low), (1.0 if successes == n else high)


def seed_accuracies(table: pd.DataFrame) -> dict[int, float]:
    """Share of images that each seed's model got right."""
    right = (table["label"] == table["predicted"]).groupby(table["seed"]).mean()
    return {int(seed): float(share) for seed, share in right.items()}  # type: ignore[call-overload]


def confusion_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Long table `seed, actual, predicted, images` of the pairs that occur."""
    counts = table.groupby(["seed", "label", "predicted"]).size()
    return counts.rename("images").reset_index().rename(columns={"label": "actual"})


# ---------------------------------------------------------------- one strategy's answers as arrays


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What the models of one strategy said about the same N images, one model for each of S seeds."""

    classes: tuple[str, ...]  # K names
    seeds: tuple[int, ...]  # ascending
    labels: np.ndarray  # int64 [N], places in `classes`
    predicted: np.ndarray  # int64 [S, N], places in `classes`
    probabilities: np.ndarray  # float64 [S, N, K], rows sum to 1

    @property
    def right(self) -> np.ndarray:
        """Whether the prediction is the label, bool [S, N]."""
        return np.asarray(self.predicted == self.labels)

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the predicted class, float64 [S, N]."""
        return np.take_along_axis(self.probabilities, self.predicted[..., None], axis=2)[..., 0]


def outcomes(table: pd.DataFrame) -> Outcomes:
    """A checked table, see `read_predictions`, of at least one seed as arrays.

    Raises:
        ValueError: The table has no rows.
    """
    if table.empty:
        raise ValueError("outcomes: expected a table with rows, got none. Leave out strategies that did not finish.")
    names = [column for column in table.columns if column not in COLUMNS]
    places = pd.Index([name.removeprefix("p_") for name in names])
    rows = table.sort_values("seed", kind="stable")
    seeds = tuple(rows["seed"].unique().tolist())
    labels, predicted = (
        places.get_indexer(pd.Index(rows[column])).reshape(len(seeds), -1) for column in ("label", "predicted")
    )
    return Outcomes(
        classes=tuple(places),
        seeds=seeds,
        labels=labels[0],
        predicted=predicted,
        probabilities=rows[names].to_numpy(float).reshape(*predicted.shape, len(names)),
    )


# ---------------------------------------------------------------- measures, with a weight for every image


def accuracy(given: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Share of right predictions, between 0 and 1."""
    return _weighted_mean(given.right, weights)


def negative_log_likelihood(given: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Mean of -log(probability of the label), in nats; probabilities below `SMALLEST` count as that."""
    truth = given.probabilities[:, np.arange(len(given.labels)), given.labels]
    return _weighted_mean(-np.log(np.clip(truth, SMALLEST, None)), weights)


def brier(given: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Squared error of the probabilities, summed over classes and averaged over images: between 0 and 2.

    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78 (1950), 1-3. With
    two classes this is twice what is sometimes called the Brier score, the squared error of one class alone.
    """
    errors = given.probabilities - np.eye(len(given.classes))[given.labels]
    return _weighted_mean((errors**2).sum(axis=2), weights)


def macro_f1(given: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Mean over classes of 2 hits / (predicted + support), between 0 and 1.

    A class that is neither a label nor predicted (a resample may lose one) is left out of the mean.
    """
    hits, predicted, support = _class_counts(given, weights)
    return _mean_of_defined(_ratio(2 * hits, predicted + support), axis=2)


def auroc(given: Outcomes, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, between 0 and 1: one class against the rest, averaged over classes.

    With two classes it is the area of the second, the same as that of the first. A class without images or with all
    of them (a resample may lose one) has no area and is left out of the mean; NaN where no class has one.
    """
    classes = range(len(given.classes)) if len(given.classes) > 2 else (1,)
    areas = [
        [_roc_area(chances[:, place], given.labels == place, weights) for place in classes]
        for chances in given.probabilities
    ]
    return _mean_of_defined(np.array(areas), axis=1).T


def calibration_error(given: Outcomes, weights: np.ndarray, *, bins: int) -> np.ndarray:
    """Expected calibration error: mean distance between confidence and accuracy over bins, weighted by their images.

    Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015; for several classes by
    the probability of the predicted class, as in Guo et al., "On calibration of modern neural networks", ICML 2017.

    Args:
        given: The predictions.
        weights: Of the images, [R, N].
        bins: Of equal width, each with its upper end and without its lower one.
    """
    excess = np.eye(bins)[_bin_of(given, bins)] * (given.confidence - given.right)[..., None]
    return np.asarray(np.abs(_weighted_sum(excess, weights)).sum(axis=2) / weights.sum(axis=1, keepdims=True))


def _bin_of(given: Outcomes, bins: int) -> np.ndarray:
    """Number of the bin of confidence, int64 [S, N]."""
    return np.asarray(np.searchsorted(_edges(bins)[1:-1], given.confidence))


def _edges(bins: int) -> np.ndarray:
    return np.linspace(0, 1, bins + 1)


def _class_counts(given: Outcomes, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of images per class that are hits and that are predicted so, [R, S, K], and that are so, [R, 1, K]."""
    truth, predicted = (np.eye(len(given.classes))[codes] for codes in (given.labels, given.predicted))
    return _weighted_sum(predicted * truth, weights), _weighted_sum(predicted, weights), (weights @ truth)[:, None]


def _roc_area(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Chance [R] that a positive image scores above a negative one, ties half: Mann and Whitney's U over its maximum.

    Args:
        scores: [N].
        positive: bool [N].
        weights: [R, N].
    """
    negatives, hits = np.flatnonzero(~positive), np.flatnonzero(positive)
    negatives = negatives[np.argsort(scores[negatives])]
    below = np.pad(np.cumsum(weights[:, negatives], axis=1), ((0, 0), (1, 0)))
    first, last = (np.searchsorted(scores[negatives], scores[hits], side=side) for side in ("left", "right"))
    wins = np.einsum("rp,rp->r", weights[:, hits], below[:, first] + below[:, last]) / 2
    return _ratio(wins, weights[:, hits].sum(axis=1) * below[:, -1])


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[S, N] and [R, N] -> [R, S]."""
    return np.asarray(weights @ values.T / weights.sum(axis=1, keepdims=True))


def _weighted_sum(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[S, N, K] and [R, N] -> [R, S, K]."""
    return np.asarray(np.tensordot(weights, values, axes=(1, 1)))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Their ratio, NaN where the denominator is 0."""
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    return np.asarray(np.divide(numerator, denominator, out=np.full(shape, np.nan), where=denominator != 0))


def _mean_of_defined(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(axis=axis), defined.sum(axis=axis))


# ---------------------------------------------------------------- temperature


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature, within `TEMPERATURES`, that gives these images the lowest negative log-likelihood.

    Guo et al., "On calibration of modern neural networks", ICML 2017. Images without a mistake are fitted the better
    the lower it is, so the lower bound is what a faultless validation split gives.

    Args:
        probabilities: [N, K].
        labels: int64 [N].
    """
    from scipy.optimize import minimize_scalar

    each = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        truth = scale(probabilities, math.exp(log_temperature))[each, labels]
        return float(-np.log(np.clip(truth, SMALLEST, None)).mean())

    bounds = tuple(math.log(end) for end in TEMPERATURES)
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)


def scale(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities [..., K] as if the logits had been divided by the temperature.

    A log-probability is the logit less what all classes of the row share, so dividing it and normalising is the same.
    """
    from scipy.special import softmax

    return np.asarray(softmax(np.log(np.clip(probabilities, SMALLEST, None)) / temperature, axis=-1))


def temperature_of(name: str, validation: pd.DataFrame, seeds: Sequence[int]) -> float:
    """One temperature for the models of all given seeds, fitted on the validation images of each of them together.

    The images of one seed are few, and hold too few mistakes to fit one on: of those without any the lowest
    temperature would seem the best, so where there is none at all it is 1.

    Args:
        name: Key of the strategy.
        validation: Its table of validation images, see `read_predictions`.
        seeds: Those that need one.

    Raises:
        ValueError: A seed without validation images.
    """
    found = set(validation["seed"])
    if not set(seeds) <= found:
        raise ValueError(
            f"validation/{name}.csv: expected the seeds {list(seeds)}, got {sorted(found)}. "
            f"Run: dvc repro --force evaluate@{name}"
        )
    own = [outcomes(validation[validation["seed"] == seed]) for seed in seeds]
    if all(given.right.all() for given in own):
        return 1.0
    return fit_temperature(
        np.concatenate([given.probabilities[0] for given in own]), np.concatenate([given.labels for given in own])
    )


# ---------------------------------------------------------------- intervals


def resampled(images: int, resamples: int) -> Iterator[np.ndarray]:
    """How often each image is drawn in each of many samples with replacement: always the same table, in chunks.

    Args:
        images: N, size of a sample.
        resamples: Number of samples.

    Yields:
        Counts as float64 [R, N], of at most `CELLS` cells unless one row has more; rows sum to N.
    """
    chance = np.random.default_rng(0)
    rows = max(1, CELLS // images)
    for done in range(0, resamples, rows):
        count = min(rows, resamples - done)
        cells = chance.integers(images, size=(count, images)) + images * np.arange(count)[:, None]
        yield np.bincount(cells.ravel(), minlength=cells.size).reshape(cells.shape).astype(float)


def percentiles(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    """Lower and upper end of the middle share `confidence` of draws [R]."""
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _over_images(
    draws: np.ndarray, mean: float, *, confidence: float, mirrored: bool
) -> tuple[float | None, float | None]:
    """Bootstrap interval over images, from what resamples gave for the mean over seeds.

    Percentiles as a rule. A mean of distances (`ece`) is too large in a small sample, and twice too large in a
    resample of it, so percentiles would miss a well calibrated strategy altogether: there they are mirrored at the
    estimate (the "basic" interval: Davison and Hinkley, "Bootstrap methods and their application", 1997, section 5.2),
    which takes the excess off; cut at 0 and stretched to the estimate.
    """
    defined = draws[~np.isnan(draws)]
    if not len(defined):
        return None, None
    low, high = percentiles(defined, confidence)
    return (max(0.0, min(mean, 2 * mean - high)), max(mean, 2 * mean - low)) if mirrored else (low, high)


def _over_seeds(values: np.ndarray, confidence: float, largest: float) -> tuple[float | None, float | None]:
    """Student's interval of the mean of values [S], cut to what the measure can be; none with one seed."""
    if len(values) == 1 or np.isnan(values).any():
        return None, None
    from scipy.stats import t

    mean = float(values.mean())
    half = float(t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1)) / math.sqrt(len(values))
    return max(0.0, mean - half), min(largest, mean + half)


# ---------------------------------------------------------------- numbers of one strategy


def details(
    predictions: Mapping[str, pd.DataFrame],
    validation: Mapping[str, pd.DataFrame],
    tta: Mapping[str, pd.DataFrame],
    *,
    confidence: float,
    resamples: int,
    bins: int,
) -> dict[str, dict[str, Any]]:
    """The numbers of `metrics/numbers.json`, one record per strategy that finished.

    `measures` holds for each measure the mean over seeds and two intervals of it. `images_low` and `images_high` take
    the test images as the sample: what other images of the same kind would have given these models. They are Wilson's
    for accuracies (an image's share of seeds that got it right varies at most as a coin does, Bhatia and Davis 2000,
    so the interval is, if anything, too wide) and a bootstrap over images for the rest. `seeds_low` and `seeds_high`
    are Student's, with the seeds as the sample: what training again would have given on these very images; so is
    `sd`, the standard deviation over seeds.

    `classes` and both `reliability` tables, before and after temperature scaling, are described at their functions.
    What does not exist is None: spread of one seed, bins without images, test-time augmentation that is off.

    Args:
        predictions: Checked tables of strategies that finished, see `finished`.
        validation: Tables of the validation images by strategy, for the temperatures.
        tta: Tables with test-time augmentation by strategy, without rows where it is off.
        confidence: Coverage of the intervals.
        resamples: Of the bootstrap; at most `MEASURE_RESAMPLES` are used.
        bins: Of the calibration error and the reliability tables.

    Raises:
        ValueError: a seed without validation images.
    """
    samples = min(resamples, MEASURE_RESAMPLES)
    return {
        name: _details(name, table, validation[name], tta[name], confidence=confidence, resamples=samples, bins=bins)
        for name, table in predictions.items()
    }


def _details(
    name: str,
    table: pd.DataFrame,
    validation: pd.DataFrame,
    tta: pd.DataFrame,
    *,
    confidence: float,
    resamples: int,
    bins: int,
) -> dict[str, Any]:
    given = outcomes(table)
    temperature = temperature_of(name, validation, given.seeds)
    # A temperature never changes which class is the most probable.
    scaled = replace(given, probabilities=scale(given.probabilities, temperature))
    return {
        "measures": {
            **_share(given, confidence, "accuracy"),
            **_measured(_measures(given, scaled, bins), len(given.labels), confidence, resamples),
            **_share(None if tta.empty else outcomes(tta), confidence, "tta_accuracy"),
        },
        "temperature": temperature,
        "classes": class_report(given),
        "reliability": reliability(given, bins),
        "reliability_scaled": reliability(scaled, bins),
        "bins": bins,
    }


def _measures(given: Outcomes, scaled: Outcomes, bins: int) -> dict[str, Measure]:
    """All measures whose interval over images is a bootstrap."""
    return {
        "macro_f1": partial(macro_f1, given),
        "auroc": partial(auroc, given),
        "nll": partial(negative_log_likelihood, given),
        "brier": partial(brier, given),
        "ece": partial(calibration_error, given, bins=bins),
        "nll_scaled": partial(negative_log_likelihood, scaled),
        "ece_scaled": partial(calibration_error, scaled, bins=bins),
    }


def _measured(
    measures: Mapping[str, Measure], images: int, confidence: float, resamples: int
) -> dict[str, dict[str, float | None]]:
    """Every measure's record; all see the same resamples."""
    draws: dict[str, list[np.ndarray]] = {name: [] for name in measures}
    for weights in resampled(images, resamples):
        for name, measure in measures.items():
            draws[name].append(measure(weights).mean(axis=1))
    records = {}
    for name, measure in measures.items():
        values = measure(np.ones((1, images)))[0]
        ends = _over_images(
            np.concatenate(draws[name]),
            float(values.mean()),
            confidence=confidence,
            mirrored=name.startswith("ece"),
        )
        records[name] = _record(values, ends, confidence, LARGEST.get(name, 1.0))
    return records


def _share(given: Outcomes | None, confidence: float, name: str) -> dict[str, dict[str, float | None]]:
    """An accuracy's record under its name, of None where there are no predictions."""
    if given is None:
        return {name: dict.fromkeys(RECORD)}
    values = given.right.mean(axis=1)
    images = len(given.labels)
    ends = wilson(float(values.mean()) * images, images, confidence)
    return {name: _record(values, ends, confidence, 1.0)}


def _record(
    values: np.ndarray, over_images: tuple[float | None, float | None], confidence: float, largest: float
) -> dict[str, float | None]:
    """The six numbers of a measure from its values [S], one per seed."""
    spread = float(values.std(ddof=1)) if len(values) > 1 else None
    numbers = (float(values.mean()), *over_images, *_over_seeds(values, confidence, largest), spread)
    return dict(zip(RECORD, map(_or_none, numbers), strict=True))


def _or_none(value: float | None) -> float | None:
    """NaN, which JSON does not know, as None."""
    return None if value is None or math.isnan(value) else float(value)


def class_report(given: Outcomes) -> dict[str, dict[str, float | None]]:
    """Precision, recall, F1 (means over seeds, between 0 and 1) and support (images) of each class.

    A ratio 0 / 0, as the precision of a class that a seed never predicted, is left out of the mean; None if all are.
    """
    hits, predicted, support = (counts[0] for counts in _class_counts(given, np.ones((1, len(given.labels)))))
    ratios = {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, predicted + support),
    }
    means = {key: _mean_of_defined(values, axis=0) for key, values in ratios.items()}
    return {
        name: {**{key: _or_none(values[place]) for key, values in means.items()}, "support": int(support[0, place])}
        for place, name in enumerate(given.classes)
    }


def reliability(given: Outcomes, bins: int) -> list[dict[str, float | None]]:
    """Confidence against accuracy in bins of equal width, all seeds pooled.

    Args:
        given: The predictions.
        bins: As for `calibration_error`.

    Returns:
        For each bin `low` and `high`, its ends; `images`, mean per seed; `confidence`, mean probability of the
        predicted class, and `accuracy`, both None in an empty bin.
    """
    edges, place = _edges(bins), _bin_of(given, bins).ravel()
    counts, confidence, right = (
        np.bincount(place, weights=values, minlength=bins)
        for values in (None, given.confidence.ravel(), given.right.ravel())
    )
    columns = {
        "low": edges[:-1],
        "high": edges[1:],
        "images": counts / len(given.seeds),
        "confidence": _ratio(confidence, counts),
        "accuracy": _ratio(right, counts),
    }
    return [{key: _or_none(values[row]) for key, values in columns.items()} for row in range(bins)]


def control_numbers(tables: Mapping[str, pd.DataFrame], confidence: float) -> dict[str, dict[str, float | None]]:
    """Accuracy with Wilson's interval over images, and macro F1, of predictions that nothing was trained for.

    Args:
        tables: Checked tables by control.
        confidence: Coverage of the interval.
    """
    found = {name: outcomes(table) for name, table in tables.items()}
    return {name: _control(given, confidence) for name, given in found.items()}


def _control(given: Outcomes, confidence: float) -> dict[str, float | None]:
    accuracy = _share(given, confidence, "accuracy")["accuracy"]
    return {
        "accuracy": accuracy["mean"],
        "accuracy_low": accuracy["images_low"],
        "accuracy_high": accuracy["images_high"],
        "macro_f1": float(macro_f1(given, np.ones((1, len(given.labels)))).mean()),
    }


# ---------------------------------------------------------------- one line per strategy


def finished(
    predictions: Mapping[str, pd.DataFrame], facts: Mapping[str, Mapping[str, Any]]
) -> dict[str, pd.DataFrame]:
    """The tables of those strategies of which no seed diverged.

    Args:
        predictions: Checked tables by strategy, see `read_predictions`.
        facts: `facts.json` by strategy.

    Raises:
        ValueError: seeds that the facts do not know, or that were trained and not evaluated.
    """
    for name, table in predictions.items():
        _check_trained(name, table, facts[name])
    return {name: table for name, table in predictions.items() if not _diverged(facts[name])}


def _check_trained(name: str, table: pd.DataFrame, facts: Mapping[str, Any]) -> None:
    trained, evaluated = {int(seed) for seed in facts["seeds"]}, set(table["seed"])
    # A diverged seed may have kept an earlier epoch, or nothing that could predict.
    if not trained - _diverged(facts).keys() <= evaluated <= trained:
        raise ValueError(
            f"{name}.csv: expected the seeds that were trained, {sorted(trained)}, got {sorted(evaluated)}. "
            f"Run: dvc repro --force evaluate@{name}"
        )


def validation_scores(facts: Mapping[str, Any]) -> dict[str, float]:
    """Mean over seeds of `accuracy` and `loss` on the validation images, from a finished strategy's `facts.json`."""
    seeds = facts["seeds"].values()
    return {key: float(np.mean([seed[f"validation_{key}"] for seed in seeds])) for key in ("accuracy", "loss")}


def summarise(
    predictions: Mapping[str, pd.DataFrame],
    facts: Mapping[str, Mapping[str, Any]],
    costs: Mapping[str, Mapping[str, Any]],
    numbers: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, Any]]:
    """The numbers of `metrics/summary.json`, one flat record per strategy.

    `accuracy` is the mean over seeds. `accuracy_low` and `accuracy_high` take the images as the sample,
    `accuracy_seeds_low` and `accuracy_seeds_high` the seeds, as does `accuracy_sd`; see `details`. All measures are
    None for a strategy with a diverged seed.

    Args:
        predictions: Checked tables by strategy, see `read_predictions`.
        facts: `facts.json` by strategy.
        costs: `costs.json` by strategy.
        numbers: `details` of the strategies that finished.

    Raises:
        ValueError: tables of different images.
    """
    images = len(common_ids(predictions))
    return {
        name: {
            **_line(numbers.get(name), facts[name]),
            "seeds": len(facts[name]["seeds"]),
            "images": images,
            "train_seconds": costs[name]["train_seconds"],
            "trainable_parameters": facts[name]["trainable_parameters"],
            "status": status(facts[name]),
        }
        for name in predictions
    }


def _line(numbers: Mapping[str, Any] | None, facts: Mapping[str, Any]) -> dict[str, float | None]:
    if numbers is None:
        return dict.fromkeys([*FLAT, "validation_accuracy"])
    measures = {key: numbers["measures"][measure][number] for key, (measure, number) in FLAT.items()}
    return {**measures, "validation_accuracy": validation_scores(facts)["accuracy"]}


def status(facts: Mapping[str, Any]) -> str:
    """`finished`, or where training stopped: `diverged at epoch 2 (seed 1, lr 0.01)`."""
    rate = facts["params"]["strategy"].get("lr")
    where = [f"epoch {epoch} (seed {seed}, lr {rate})" for seed, epoch in _diverged(facts).items()]
    return f"diverged at {', '.join(where)}" if where else "finished"


def _diverged(facts: Mapping[str, Any]) -> dict[int, int]:
    """Seed to the epoch at which its loss stopped being finite."""
    return {int(s): record["diverged_epoch"] for s, record in facts["seeds"].items() if record["status"] == "diverged"}


def common_ids(predictions: Mapping[str, pd.DataFrame]) -> list[str]:
    """The test images, which must be the same in every table: strategies are compared image by image.

    Args:
        predictions: Checked tables by strategy; those without rows are passed over.

    Raises:
        ValueError: Two tables hold different images, or the same in another order.
    """
    tables = {name: table for name, table in predictions.items() if len(table)}
    ids = {name: table.loc[table["seed"] == table["seed"].iloc[0], "id"].tolist() for name, table in tables.items()}
    first, expected = next(iter(ids.items()), ("", []))
    for name, found in ids.items():
        if found != expected:
            odd = sorted(set(expected) ^ set(found))
            raise ValueError(
                f"the two tables have different ids: {first} and {name} "
                f"{f'do not share {odd[0]!r}' if odd else 'hold them in another order'}. "
                f"Run: dvc repro --force evaluate@{first} evaluate@{name}"
            )
    return list(expected)
