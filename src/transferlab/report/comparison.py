"""The report's tables of numbers: the strategies, their controls, every pair, other measures."""

from collections.abc import Mapping

from ..evidence.records import Compared, Line, Pair, Short, between
from ..prediction.sample import AUGMENTED
from . import words
from .classes import of_classes
from .results import Findings, as_cheap, confidence_of, shared_by, those_finished
from .tuning import tried


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
    parts += tried(results)
    return "\n\n".join(part for part in parts if part)


def _strategies(results: Findings) -> str:
    confidence = confidence_of(results)
    header = [results.kind[0], "test accuracy", f"{confidence} over images"]
    header += [f"{confidence} over seeds", "balanced accuracy", "seeds", "training"]
    header += ["training time", "trainable parameters", "validation accuracy", "status"]
    best = results.recommended if len(results.summary) > 1 else None
    rows = [_strategy(name, row, name == best) for name, row in results.summary.items()]
    note = (
        "Test accuracy is the mean over seeds. The interval over images says what other images of "
        "the same kind might "
        "have given these models, the one over seeds what training again might have given on "
        "these very images. Balanced accuracy is the mean over classes of the share that is "
        "recognised, with its interval over images: "
        "no class counts more for being frequent. "
        "Training is counted in floating-point operations, which order the costs; its time, shared "
        f"work included, was measured on {words.escaped(shared_by(results, 'device'))}; both are "
        "of all seeds together."
    )
    return f"{words.table(header, rows, left=(0, 10))}\n\n{note}"


def _strategy(name: str, row: Line, recommended: bool) -> list[str]:
    return [
        f"**`{name}`**" if recommended else f"`{name}`",
        words.percent(row["accuracy"]),
        words.interval(row["accuracy_low"], row["accuracy_high"]),
        words.interval(row["accuracy_seeds_low"], row["accuracy_seeds_high"]),
        words.with_interval(row, "balanced_accuracy"),
        str(row["seeds"]),
        words.work(row["operations"]),
        words.duration(row["train_seconds"]),
        f"{row['trainable_parameters']:,}",
        words.percent(row["validation_accuracy"]),
        words.escaped(row["status"]),
    ]


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
    confidence, count = confidence_of(results), len(found["pairs"])
    header = [f"`{best}` and", "difference, points", f"{confidence} interval, this pair alone"]
    header += [f"all {count} pairs", "p, all pairs"] if count > 1 else ["p"]
    header += [f"right only `{best}` : only the other", f"`{best}` is", "`as good`"]
    rows = []
    for name in those_finished(results):
        if name != best:
            pair = between(found, best, name)
            every = [_ends(pair["low_all"], pair["high_all"])] if count > 1 else []
            numbers = [
                words.signed(pair["difference"]),
                _ends(pair["low"], pair["high"]),
                *every,
                words.p_value(pair["p_all"]),
                f"{pair['wins']} : {pair['losses']}",
            ]
            good = "yes" if pair["first_as_good"] else "not shown"
            rows.append([f"`{name}`", *numbers, _verdict(pair), good])
    columns = len(header)
    said = [
        words.table(header, rows, left=(0, columns - 2, columns - 1)),
        f"{_validated(results)} {_resolution(found)} `as good`: the pair's own interval excludes "
        f"that `{best}` loses more than {words.points(found['margin'])} (non-inferiority); what "
        "is too few is said of pairs that are further apart than that. "
        "The figure below and `metrics/comparison.json` hold every pair.",
    ]
    return "\n\n".join(said)


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


def _ends(low: float, high: float) -> str:
    return f"{words.signed(low)} to {words.signed(high)}"


def _validated(results: Findings) -> str:
    """Where the strategy stands that a choice by validation images would have taken."""
    found, able = results.comparison["recommended"], results.comparison["may_be_best"]
    assert found is not None
    top = found["best_validation"]
    if top is None:
        return "Nothing was set aside to validate on."
    share = words.percent(results.summary[top]["validation_accuracy"])
    decides = "nothing" if len(as_cheap(results)) == 1 else "only between equally cheap ones"
    if top == found["strategy"]:
        return f"It also validates best ({share}), which decides {decides}."
    place = "may be the best as well" if top in able else "is shown not to be the best"
    return f"`{top}` validates best ({share}) and {place}; validation decides {decides} here."


def _resolution(found: Compared) -> str:
    """How large a difference has to be to be seen."""
    least, *_, most = sorted([pair["detectable"] for pair in found["pairs"]] * 2)
    span = words.points(most)
    if words.points(least) != span:
        span = f"{words.points(least).split()[0]} to {span}, by pair,"
    images = words.counted(found["images"], "test image")
    return (
        f"With {images} and {words.counted(found['seeds'], 'seed')} about {span} "
        "apart can be told. Indistinguishable does not mean equal."
    )


def _fitted(results: Findings) -> str:
    """What the temperatures were fitted on."""
    if results.params["train"]["validation_fraction"]:
        return "fitted on the validation images of all seeds"
    return "which is 1 here: there are no validation images to fit it on"


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
    most = max((line["images"] for line in results.summary.values()), default=0)
    sampled = f" The accuracy over views is of {AUGMENTED:,} of the images, evenly spread."
    note = (
        f"Means over seeds with {confidence_of(results)} intervals over images (none where "
        "resampling them changes nothing); those over seeds "
        "stand in "
        "`metrics/numbers.json`. Log loss in nats; Brier summed over classes; ECE, the expected "
        "calibration error, "
        f"with {bins} of equal width. Scaled: after temperature scaling, one temperature per "
        f"strategy, {_fitted(results)}.{sampled if views and most > AUGMENTED else ''}"
    )
    return f"{words.table(header, rows, left=(0,))}\n\n{note}"
