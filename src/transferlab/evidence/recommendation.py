"""All the evidence of a comparison, and the strategy to use."""

from collections.abc import Mapping

from ..params.compare import Compare
from ..training.records import Costs, Facts
from .comparison import Tables, compare
from .headline import headline
from .numbers import control_numbers, details, finished, summarise, validation_scores
from .records import Compared, Comparison, Evidence, Front, Line, Recommended, between


def evidence(
    predictions: Tables,
    *,
    validation: Tables,
    tta: Tables,
    controls: Tables,
    folds: Tables,
    facts: Mapping[str, Facts],
    costs: Mapping[str, Costs],
    settings: Compare,
) -> Evidence:
    """All that the predictions show: the contents of the files of `metrics/` by name.

    Args:
        predictions: Checked tables of the test images by strategy, see `reading.read_predictions`.
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
    summary = summarise(predictions, facts, costs, numbers)
    comparison: Comparison = {
        **found,
        "recommended": recommend(
            found, scores, {name: summary[name]["operations"] for name in done}
        ),
        "front": fronts(summary),
        "controls": control_numbers(controls, confidence),
        "cross_validation": {**ranked, "accuracy": control_numbers(folds, confidence)},
    }
    return {
        "numbers": numbers,
        "summary": summary,
        "comparison": comparison,
        "headline": headline(summary, comparison),
    }


def recommend(
    comparison: Compared,
    validation: Mapping[str, Mapping[str, float]],
    operations: Mapping[str, int],
) -> Recommended | None:
    """The cheapest strategy that is not shown to be worse than the one that validates best.

    Args:
        comparison: Of `compare`.
        validation: Mean `accuracy` and `loss` on the validation images by strategy that finished,
            see `numbers.validation_scores`; equal accuracies are decided by the lower loss.
        operations: Counted work of training by strategy, all seeds together: the same strategy is
            the cheapest on every machine and in every run, where seconds would let noise decide.

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
        "strategy": min(candidates, key=lambda name: operations[name]),
        "best_validation": best,
        "told_apart_from_best": [
            name for name, pair in others.items() if pair["verdict"] != "indistinguishable"
        ],
        "indistinguishable": [
            name for name, pair in others.items() if pair["verdict"] == "indistinguishable"
        ],
        "as_good": [name for name, pair in others.items() if pair["first_as_good"]],
    }


def fronts(summary: Mapping[str, Line]) -> Front:
    """For each kind of cost the strategies that are worth it on the test images.

    Args:
        summary: Of `numbers.summarise`; strategies without an accuracy are left out.
    """
    gains = {
        name: line["accuracy"] for name, line in summary.items() if line["accuracy"] is not None
    }
    return {
        "operations": front({name: summary[name]["operations"] for name in gains}, gains),
        "trainable_parameters": front(
            {name: summary[name]["trainable_parameters"] for name in gains}, gains
        ),
    }


def front(costs: Mapping[str, float], gains: Mapping[str, float]) -> list[str]:
    """Names of what nothing beats, by rising cost: all that is no dearer gains less, or is the
    same.
    """
    chosen: list[str] = []
    for name in sorted(costs, key=lambda name: (costs[name], -gains[name])):
        best = chosen[-1] if chosen else None
        same = best is not None and (costs[name], gains[name]) == (costs[best], gains[best])
        if best is None or gains[name] > gains[best] or same:
            chosen.append(name)
    return chosen
