"""All the evidence of a comparison, and the strategy to use."""

from collections.abc import Mapping, Sequence

from ..params.compare import Compare
from ..training.records import Costs, Facts
from .comparison import Tables, compare
from .headline import headline
from .numbers import control_numbers, details, finished, summarise, validation_scores
from .records import Comparison, Evidence, Front, Line, Recommended


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

    Raises:
        ValueError: The files of one strategy come from several devices.
    """
    require_one_device(facts, costs)
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
            found["may_be_best"], scores, {name: summary[name]["operations"] for name in done}
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


def require_one_device(facts: Mapping[str, Facts], costs: Mapping[str, Costs]) -> None:
    """Refuse a strategy whose files were made on different kinds of device: they are not of one
    training, and its seeds would differ by more than chance.
    """
    for name, fact in facts.items():
        if fact["device"] != costs[name]["device"]:
            raise ValueError(
                f"runs/{name}: expected facts.json and costs.json of one device, got "
                f"{fact['device']} and {costs[name]['device']}. Train all seeds on one of them: "
                f"dvc repro -f -s train@{name}"
            )


def recommend(
    may_be_best: Sequence[str],
    validation: Mapping[str, Mapping[str, float | None]],
    operations: Mapping[str, int],
) -> Recommended | None:
    """The cheapest strategy of the set that may be best.

    The set comes from the test images, and the cheapest of it is taken, not the one that scores
    best on them: what it recognises there stays close to what can be expected of it. Validation
    accuracy decides nothing, because a strategy of many epochs has had many tries at it; the one
    that validates best is named, so that a reader sees whether it is in the set.

    Args:
        may_be_best: Of `comparison.compare`.
        validation: Mean `accuracy` and `loss` on the validation images by strategy that finished,
            see `numbers.validation_scores`; equal accuracies are decided by the lower loss. None
            where nothing was set aside: then none is the best there, and the names decide.
        operations: Counted work of training by strategy, all seeds together: the same strategy is
            the cheapest on every machine and in every run, where seconds would let noise decide. Of
            equal ones the one that validates better.

    Returns:
        `strategy` and `best_validation`; None when nothing finished.
    """
    if not may_be_best:
        return None
    ranked = _ranked(validation)
    candidates = [name for name in ranked or sorted(validation) if name in may_be_best]
    return {
        "strategy": min(candidates, key=lambda name: operations[name]),
        "best_validation": ranked[0] if ranked else None,
    }


def _ranked(validation: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """By validation, the best first; nothing where nothing was set aside."""
    scores = {
        # Rounded, so that the order in which seeds are summed does not break a tie.
        name: (-round(score["accuracy"], 9), score["loss"])
        for name, score in validation.items()
        if score["accuracy"] is not None and score["loss"] is not None
    }
    return sorted(scores, key=lambda name: scores[name])


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
