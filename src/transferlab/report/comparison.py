"""The report's tables of numbers: the strategies, their controls, every pair, other measures."""

from collections.abc import Mapping

from ..evidence.records import Compared, LeastSplit, Pair, Short, between
from . import words
from .classes import of_classes
from .results import Findings, confidence_of, shared_by, those_finished


def numbers_of(results: Findings) -> str:
    """The strategies with their controls, compared, and measured otherwise."""
    titles = "\n".join(
        f"- `{name}`: {words.escaped(fact['title'])}" for name, fact in results.facts.items()
    )
    parts = ["## Results", _strategies(results), titles, _controls(results)]
    if len(those_finished(results)) > 1:
        parts += ["### Compared on the same images and seeds", _pairs(results)]
    if results.comparison["cross_validation"]["accuracy"]:
        parts += ["### Cross-validation on all images", _folds(results)]
    if those_finished(results):
        parts += ["### More than accuracy", _measures(results), *of_classes(results)]
    return "\n\n".join(part for part in parts if part)


def _strategies(results: Findings) -> str:
    confidence, best = (
        confidence_of(results),
        results.recommended if len(results.summary) > 1 else None,
    )
    header = [
        results.kind[0],
        "test accuracy",
        f"{confidence} over images",
        f"{confidence} over seeds",
        "balanced accuracy",
        "seeds",
    ]
    header += ["training", "training time", "trainable parameters", "validation accuracy", "status"]
    rows = []
    for name, row in results.summary.items():
        shares = [
            words.percent(row["accuracy"]),
            words.interval(row["accuracy_low"], row["accuracy_high"]),
            words.interval(row["accuracy_seeds_low"], row["accuracy_seeds_high"]),
            words.with_interval(row, "balanced_accuracy"),
        ]
        cost = [
            str(row["seeds"]),
            words.work(row["operations"]),
            words.duration(row["train_seconds"]),
            f"{row['trainable_parameters']:,}",
        ]
        shown = f"**`{name}`**" if name == best else f"`{name}`"
        rows.append(
            [
                shown,
                *shares,
                *cost,
                words.percent(row["validation_accuracy"]),
                words.escaped(row["status"]),
            ]
        )
    note = (
        "Test accuracy is the mean over seeds. The interval over images says what other images of "
        "the same kind might "
        "have given these models, the one over seeds what training again might have given on "
        "these very images. Balanced accuracy is the mean over classes of the share that is "
        "recognised, with its interval over images: no class counts more for being frequent. "
        "Training is counted in floating-point operations, which order the costs; its time, shared "
        f"work included, was measured on {words.escaped(shared_by(results, 'device'))}; both are "
        "of all seeds together."
    )
    return f"{words.table(header, rows, left=(0, 10))}\n\n{note}"


def _controls(results: Findings) -> str:
    names = {
        "majority": "always the class with most training images",
        "imagenet_head": "the starting weights with their own head, of whose 1000 classes those "
        "count that mean the "
        "same as a class here; nothing was trained",
    }
    rows = [
        (
            f"`{name}`",
            names.get(name, words.NONE),
            words.percent(row["accuracy"]),
            words.interval(row["accuracy_low"], row["accuracy_high"]),
            words.percent(row["balanced_accuracy"]),
        )
        for name, row in results.comparison["controls"].items()
    ]
    header = (
        *("control", "what it is", "test accuracy", f"{confidence_of(results)} over images"),
        "balanced accuracy",
    )
    return words.table(header, rows, left=(0, 1)) if rows else ""


def _pairs(results: Findings) -> str:
    found, best = results.comparison, results.recommended
    assert best is not None
    header = [
        f"`{best}` and",
        "difference, points",
        f"{confidence_of(results)} interval",
        f"`{best}` better",
    ]
    header += [f"right only `{best}` : only the other", "p (Holm)", f"`{best}` is", "`as good`"]
    rows = []
    for name in those_finished(results):
        if name != best:
            pair = between(found, best, name)
            split = f"{pair['wins']} : {pair['losses']}"
            interval = f"{words.signed(pair['low'])} to {words.signed(pair['high'])}"
            numbers = [
                words.signed(pair["difference"]),
                interval,
                words.percent(pair["probability"]),
                split,
                words.p_value(pair["holm_p"]),
            ]
            rows.append(
                [
                    f"`{name}`",
                    *numbers,
                    _verdict(pair),
                    "yes" if pair["first_as_good"] else "not shown",
                ]
            )
    margin = (
        f"`as good`: the interval excludes that `{best}` loses more than "
        f"{words.points(found['margin'])} "
        "(non-inferiority); what is too few is said of pairs that are further apart than that; "
        "`better` in the fourth column is the share of bootstrap draws in "
        "which it wins."
    )
    others = "The figure below and `metrics/comparison.json` hold every pair."
    return f"{words.table(header, rows, left=(0, 6, 7))}\n\n{_least(found)} {margin} {others}"


LACKING: Mapping[Short, str] = {
    "seeds": "too few seeds",
    "images": "too few images",
    "both": "too few of both",
}


def _verdict(pair: Pair) -> str:
    """Told apart, or what is too few for that."""
    if pair["verdict"] != "indistinguishable":
        return f"**{pair['verdict']}**"
    return pair["verdict"] + (f" ({LACKING[pair['short']]})" if pair["short"] else "")


def _least(found: Compared) -> str:
    """What so few images can show at all; with a single pair there is nothing to adjust for."""
    images, pairs = found["images"], len(found["pairs"])
    needed = _split(found["least_split"])
    if pairs > 1:
        needed += (
            f" for one pair that was chosen beforehand, and {_split(found['least_split_holm'])} "
            f"for the clearest of these {words.counted(pairs, 'pair')}"
        )
    return (
        f"{words.agreeing(images, 'This', 'These')} {words.counted(images, 'image')} can show "
        f"little: McNemar's test needs {needed}. Indistinguishable does not mean equal."
    )


def _split(least: LeastSplit) -> str:
    """Such as `a split of 6 images to none, 3.9 points`."""
    share = least["difference"]
    size = words.points(share) if share is not None else "more than there are"
    return f"a split of {words.counted(least['images'], 'image')} to none ({size})"


def _folds(results: Findings) -> str:
    found, settings = results.comparison["cross_validation"], results.params["cross_validation"]
    rows = [
        (
            f"`{name}`",
            words.percent(row["accuracy"]),
            words.interval(row["accuracy_low"], row["accuracy_high"]),
        )
        for name, row in found["accuracy"].items()
    ]
    apart = [pair for pair in found["pairs"] if pair["verdict"] != "indistinguishable"]
    said = "; ".join(
        f"`{pair['first']}` is {pair['verdict']} than `{pair['second']}` "
        f"({words.signed(pair['difference'])} points, "
        f"{words.signed(pair['low'])} to {words.signed(pair['high'])})"
        for pair in apart
    )
    note = (
        f"Training and test images together, {found['images']:,}, in {settings['folds']} folds, "
        f"repeated {words.counted(settings['repeats'], 'time')}; near-duplicates stay together, "
        "and every choice is made inside the other folds. "
        "It ranks, with a narrower interval; the accuracy to expect is the one on the held-out "
        "images above. "
        f"Told apart: {said or 'no pair'}."
    )
    header = ("strategy", "accuracy", f"{confidence_of(results)} over images")
    return f"{words.table(header, rows, left=(0,))}\n\n{note}"


MEASURES = {
    "macro_f1": "macro F1",
    "auroc": "AUROC",
    "nll": "log loss",
    "brier": "Brier",
    "ece": "ECE",
}
MEASURES |= {"nll_scaled": "log loss, scaled", "ece_scaled": "ECE, scaled"}


def _measures(results: Findings) -> str:
    views = results.params["evaluate"]["tta_views"]
    over = f"accuracy over {words.counted(views, 'view')}"
    header = [results.kind[0], *MEASURES.values(), *([over] if views else [])]
    rows = []
    for name, record in results.numbers.items():
        found = record["measures"]
        cells = [f"`{name}`", *(words.with_ends(found[measure]) for measure in MEASURES)]
        augmented = found["tta_accuracy"]
        both = (
            f"{words.percent(augmented['mean'])} "
            f"({words.interval(augmented['images_low'], augmented['images_high'])})"
        )
        rows.append([*cells, *([both] if views else [])])
    bins = words.counted(results.params["compare"]["calibration_bins"], "bin")
    note = (
        f"Means over seeds with {confidence_of(results)} intervals over images; those over seeds "
        "stand in "
        "`metrics/numbers.json`. Log loss in nats; Brier summed over classes; ECE, the expected "
        "calibration error, "
        f"with {bins} of equal width. Scaled: after temperature scaling, one temperature per "
        "strategy, "
        "fitted on the validation images of all seeds."
    )
    return f"{words.table(header, rows, left=(0,))}\n\n{note}"
