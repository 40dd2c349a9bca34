"""All the evidence of a comparison, and the strategy to use."""

from collections.abc import Mapping
from typing import Any

from ..params.compare import Compare
from .comparison import Tables, compare
from .numbers import control_numbers, details, finished, summarise, validation_scores
from .records import Compared, Evidence, Recommended, between


def evidence(
    predictions: Tables,
    *,
    validation: Tables,
    tta: Tables,
    controls: Tables,
    folds: Tables,
    facts: Mapping[str, Mapping[str, Any]],
    costs: Mapping[str, Mapping[str, Any]],
    settings: Compare,
) -> Evidence:
    """All that the predictions show: the contents of `metrics/numbers.json`, `summary.json` and
    `comparison.json`.

    Args:
        predictions: Checked tables of the test images by strategy, see `table.read_predictions`.
        validation: Of the validation images.
        tta: Of the test images with augmentation.
        controls: By control.
        folds: Of cross-validation, by strategy; none where it is off.
        facts: `facts.json` by strategy.
        costs: `costs.json` by strategy.
        settings: Confidence, resamples, margin and bins.
    """
    done, confidence, resamples = (
        finished(predictions, facts),
        settings.confidence,
        settings.resamples,
    )
    numbers = details(
        done,
        validation,
        tta,
        confidence=confidence,
        resamples=resamples,
        bins=settings.calibration_bins,
    )
    found, ranked = (
        compare(tables, confidence=confidence, resamples=resamples, margin=settings.margin)
        for tables in (done, folds)
    )
    scores = {name: validation_scores(facts[name]) for name in done}
    return {
        "numbers": numbers,
        "summary": summarise(predictions, facts, costs, numbers),
        "comparison": {
            **found,
            "recommended": recommend(
                found, scores, {name: costs[name]["train_seconds"] for name in done}
            ),
            "controls": control_numbers(controls, confidence),
            "cross_validation": {**ranked, "accuracy": control_numbers(folds, confidence)},
        },
    }


def recommend(
    comparison: Compared,
    validation: Mapping[str, Mapping[str, float]],
    seconds: Mapping[str, float],
) -> Recommended | None:
    """The cheapest strategy that is not shown to be worse than the one that validates best.

    Args:
        comparison: Of `compare`.
        validation: Mean `accuracy` and `loss` on the validation images by strategy that finished,
            see `numbers.validation_scores`; equal accuracies are decided by the lower loss.
        seconds: Training time by strategy, all seeds together.

    Returns:
        `strategy`; `best_validation`; then of the others, in the order of `validation`, those
        `told_apart_from_best` (better or worse), those `indistinguishable` from it, and those shown
        to be `as_good` (by non-inferiority, told apart or not). None when nothing finished.
    """
    if not validation:
        return None
    # Rounded, so that the order in which seeds are summed does not break a tie.
    best = max(
        validation,
        key=lambda name: (round(validation[name]["accuracy"], 9), -validation[name]["loss"]),
    )
    others = {name: between(comparison, name, best) for name in validation if name != best}
    candidates = [best, *(name for name, pair in others.items() if pair["verdict"] != "worse")]
    return {
        "strategy": min(candidates, key=lambda name: seconds[name]),
        "best_validation": best,
        "told_apart_from_best": [
            name for name, pair in others.items() if pair["verdict"] != "indistinguishable"
        ],
        "indistinguishable": [
            name for name, pair in others.items() if pair["verdict"] == "indistinguishable"
        ],
        "as_good": [name for name, pair in others.items() if pair["first_as_good"]],
    }
