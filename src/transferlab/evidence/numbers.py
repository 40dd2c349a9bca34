"""Predictions tables to numbers with intervals.

The predictions table is the narrow waist of the pipeline: torch ended before it, pandas is enough
from here on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from ..pipeline import heartbeat
from ..prediction.reading import common_ids
from ..training.records import Costs, Facts
from .class_means import F1, RECALL, interval
from .intervals import over_images, over_seeds, resampled, wilson
from .measures import (
    Measure,
    Outcomes,
    auroc,
    balanced_accuracy,
    brier,
    calibration_error,
    class_images,
    class_report,
    confusions,
    macro_f1,
    negative_log_likelihood,
    or_none,
    outcomes,
    reliability,
)
from .records import Control, Line, Measured, Measures, Numbers
from .temperature import LARGEST, rescaled, temperature_of

MEASURE_RESAMPLES = (
    1000  # of one strategy's measures at most; only the comparison of strategies uses more
)

CONFUSIONS = 20  # pairs of classes of a strategy; predictions hold them all


def details(
    predictions: Mapping[str, pd.DataFrame],
    validation: Mapping[str, pd.DataFrame],
    tta: Mapping[str, pd.DataFrame],
    *,
    confidence: float,
    resamples: int,
    bins: int,
) -> dict[str, Numbers]:
    """The numbers of `metrics/numbers.json`, one record per strategy that finished.

    `measures` holds for each measure the mean over seeds and two intervals of it. `images_low` and
    `images_high` take the test images as the sample: what other images of the same kind would have
    given these models. They are Wilson's for accuracies (an image's share of seeds that got it
    right varies at most as a coin does, Bhatia and Davis 2000, so the interval is, if anything, too
    wide), of the same kind for means over classes (`class_means.interval`: resamples of three
    images know nothing of a fourth), and a bootstrap over images for the rest. `seeds_low` and
    `seeds_high` are Student's, with the seeds as the sample: what training again would have given
    on these very images; so is `sd`, the standard deviation over seeds.

    `classes`, `confusions` and both `reliability` tables, before and after temperature scaling, are
    described at their functions. What does not exist is None: spread of one seed, bins without
    images, test-time augmentation that is off.

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
        name: _details(
            name,
            table,
            validation[name],
            tta[name],
            confidence=confidence,
            resamples=samples,
            bins=bins,
        )
        for name, table in heartbeat.each(predictions.items(), "strategies", len(predictions))
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
) -> Numbers:
    given = outcomes(table)
    temperature = temperature_of(name, validation, given.seeds)
    # A temperature never changes which class is the most probable.
    scaled = replace(given, probabilities=rescaled(given.probabilities, temperature))
    return {
        "measures": {
            **_share(given, confidence, "accuracy"),
            **_over_classes(given, confidence),
            **_measured(_measures(given, scaled, bins), len(given.labels), confidence, resamples),
            **_share(None if tta.empty else outcomes(tta), confidence, "tta_accuracy"),
        },
        "temperature": temperature,
        "classes": class_report(given),
        "confusions": confusions(given, CONFUSIONS),
        "reliability": reliability(given, bins),
        "reliability_scaled": reliability(scaled, bins),
        "bins": bins,
    }


def _measures(given: Outcomes, scaled: Outcomes, bins: int) -> dict[str, Measure]:
    """All measures whose interval over images is a bootstrap."""
    return {
        "auroc": partial(auroc, given),
        "nll": partial(negative_log_likelihood, given),
        "brier": partial(brier, given),
        "ece": partial(calibration_error, given, bins=bins),
        "nll_scaled": partial(negative_log_likelihood, scaled),
        "ece_scaled": partial(calibration_error, scaled, bins=bins),
    }


def _measured(
    measures: Mapping[str, Measure], images: int, confidence: float, resamples: int
) -> dict[str, Measured]:
    """Every measure's record; all see the same resamples."""
    draws: dict[str, list[np.ndarray]] = {name: [] for name in measures}
    for weights in resampled(images, resamples):
        for name, measure in measures.items():
            draws[name].append(measure(weights).mean(axis=1))
    records = {}
    for name, measure in measures.items():
        values = measure(np.ones((1, images)))[0]
        ends = over_images(
            np.concatenate(draws[name]),
            float(values.mean()),
            confidence=confidence,
            mirrored=name.startswith("ece"),
        )
        records[name] = _record(values, ends, confidence, LARGEST.get(name, 1.0))
    return records


NOTHING: Measured = {
    "mean": None,
    "images_low": None,
    "images_high": None,
    "seeds_low": None,
    "seeds_high": None,
    "sd": None,
}


def _share(given: Outcomes | None, confidence: float, name: str) -> dict[str, Measured]:
    """An accuracy's record under its name, of None where there are no predictions."""
    if given is None:
        return {name: NOTHING}
    values = given.right.mean(axis=1)
    images = len(given.labels)
    ends = wilson(float(values.mean()) * images, images, confidence)
    return {name: _record(values, ends, confidence, 1.0)}


def _over_classes(given: Outcomes, confidence: float) -> dict[str, Measured]:
    """Records of the measures that are means over classes."""
    once = np.ones((1, len(given.labels)))
    own, predicted = class_images(given)
    means = {
        "balanced_accuracy": (balanced_accuracy(given, once)[0], own, RECALL),
        "macro_f1": (macro_f1(given, once)[0], own + predicted, F1),
    }
    return {
        name: _record(
            values,
            interval(float(values.mean()), images[images > 0], score, confidence),
            confidence,
            1.0,
        )
        for name, (values, images, score) in means.items()
    }


def _record(
    values: np.ndarray,
    ends: tuple[float | None, float | None],
    confidence: float,
    largest: float,
) -> Measured:
    """The six numbers of a measure from its values [S], one per seed, and the ends of its interval
    over images.
    """
    spread = float(values.std(ddof=1)) if len(values) > 1 else None
    images_low, images_high = ends
    seeds_low, seeds_high = over_seeds(values, confidence, largest)
    return {
        "mean": or_none(float(values.mean())),
        "images_low": or_none(images_low),
        "images_high": or_none(images_high),
        "seeds_low": or_none(seeds_low),
        "seeds_high": or_none(seeds_high),
        "sd": or_none(spread),
    }


def control_numbers(tables: Mapping[str, pd.DataFrame], confidence: float) -> dict[str, Control]:
    """Accuracy with Wilson's interval over images, balanced accuracy and macro F1, of predictions
    that nothing was trained for.

    Args:
        tables: Checked tables by control.
        confidence: Coverage of the interval.
    """
    found = {name: outcomes(table) for name, table in tables.items()}
    return {name: _control(given, confidence) for name, given in found.items()}


def _control(given: Outcomes, confidence: float) -> Control:
    accuracy, once = (
        _share(given, confidence, "accuracy")["accuracy"],
        np.ones((1, len(given.labels))),
    )
    return {
        "accuracy": accuracy["mean"],
        "accuracy_low": accuracy["images_low"],
        "accuracy_high": accuracy["images_high"],
        "balanced_accuracy": float(balanced_accuracy(given, once).mean()),
        "macro_f1": float(macro_f1(given, once).mean()),
    }


def finished(
    predictions: Mapping[str, pd.DataFrame], facts: Mapping[str, Facts]
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


def _check_trained(name: str, table: pd.DataFrame, facts: Facts) -> None:
    trained, evaluated = {int(seed) for seed in facts["seeds"]}, set(table["seed"])
    # A diverged seed may have kept an earlier epoch, or nothing that could predict.
    if not trained - _diverged(facts).keys() <= evaluated <= trained:
        raise ValueError(
            f"{name}.csv: expected the seeds that were trained, {sorted(trained)}, got "
            f"{sorted(evaluated)}. "
            f"Run: dvc repro -f -s evaluate@{name}"
        )


def validation_scores(facts: Facts) -> dict[str, float | None]:
    """Mean over seeds of `accuracy` and `loss` on the validation images, from a finished strategy's
    `facts.json`; None where nothing was set aside.
    """
    seeds = facts["seeds"].values()
    return {
        "accuracy": _mean(seed["validation_accuracy"] for seed in seeds),
        "loss": _mean(seed["validation_loss"] for seed in seeds),
    }


def _mean(scores: Iterable[float | None]) -> float | None:
    """Of seeds that finished, each of which has one, or none has."""
    given = [score for score in scores if score is not None]
    return float(np.mean(given)) if given else None


def summarise(
    predictions: Mapping[str, pd.DataFrame],
    facts: Mapping[str, Facts],
    costs: Mapping[str, Costs],
    numbers: Mapping[str, Numbers],
) -> dict[str, Line]:
    """The numbers of `metrics/summary.json`, one flat record per strategy.

    `accuracy` is the mean over seeds. `accuracy_low` and `accuracy_high` take the images as the
    sample, `accuracy_seeds_low` and `accuracy_seeds_high` the seeds, as does `accuracy_sd`; see
    `details`. All measures are None for a strategy with a diverged seed.

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
            "operations": sum(seed["operations"] for seed in facts[name]["seeds"].values()),
            "train_seconds": costs[name]["train_seconds"],
            "trainable_parameters": facts[name]["trainable_parameters"],
            "status": status(facts[name]),
        }
        for name in predictions
    }


def _line(numbers: Numbers | None, facts: Facts) -> Measures:
    """The flat measures; None where there are no numbers, because a seed diverged."""
    found = numbers["measures"] if numbers else {}
    accuracy, balanced = (found.get(name, NOTHING) for name in ("accuracy", "balanced_accuracy"))
    return {
        "accuracy": accuracy["mean"],
        "accuracy_low": accuracy["images_low"],
        "accuracy_high": accuracy["images_high"],
        "accuracy_sd": accuracy["sd"],
        "accuracy_seeds_low": accuracy["seeds_low"],
        "accuracy_seeds_high": accuracy["seeds_high"],
        "balanced_accuracy": balanced["mean"],
        "balanced_accuracy_low": balanced["images_low"],
        "balanced_accuracy_high": balanced["images_high"],
        "macro_f1": found.get("macro_f1", NOTHING)["mean"],
        "auroc": found.get("auroc", NOTHING)["mean"],
        "nll": found.get("nll", NOTHING)["mean"],
        "brier": found.get("brier", NOTHING)["mean"],
        "ece": found.get("ece", NOTHING)["mean"],
        "ece_scaled": found.get("ece_scaled", NOTHING)["mean"],
        "tta_accuracy": found.get("tta_accuracy", NOTHING)["mean"],
        "validation_accuracy": validation_scores(facts)["accuracy"] if numbers else None,
    }


def status(facts: Facts) -> str:
    """`finished`, or where training stopped: `diverged at epoch 2 (seed 1, lr 0.01)`."""
    rate = facts["params"]["strategy"].get("lr")
    where = [f"epoch {epoch} (seed {seed}, lr {rate})" for seed, epoch in _diverged(facts).items()]
    return f"diverged at {', '.join(where)}" if where else "finished"


def _diverged(facts: Facts) -> dict[int, int]:
    """Seed to the epoch at which its loss stopped being finite."""
    return {
        int(seed): record["diverged_epoch"]
        for seed, record in facts["seeds"].items()
        if record["status"] == "diverged" and record["diverged_epoch"] is not None
    }
