"""Results -> the Markdown of the report; every number of it stands in a file of the run."""

from collections.abc import Sequence

from ..evidence.records import Compared, LeastSplit, between
from . import words
from .method import caveats, method, provenance, settings
from .results import Results, confidence_of, shared_by, those_finished

SKIPPED_SHOWN = 20

CAPTIONS = {
    "accuracy": "Each line is the {confidence} interval of a strategy's mean test accuracy (the "
    "dot), each ring one "
    "seed; upright lines are the controls. Lines that overlap may still belong to strategies that "
    "can be told apart: "
    "the next figure compares them image by image.",
    "verdicts": "Every pair: accuracy of the row less that of the column, in points, with its "
    "{confidence} interval. "
    "Coloured and marked cells are pairs that can be told apart, by McNemar's test after Holm's "
    "adjustment and by the "
    "interval; all others are indistinguishable with these test images.",
    "cost": "Further left is cheaper (logarithmic), further up is better; whiskers are the "
    "{confidence} intervals. On "
    "the left the training time of all seeds together, on the right the parameters that training "
    "may change. A "
    "strategy below the stepped line is beaten by one that costs no more.",
    "curves": "Above: validation accuracy while training, mean of the seeds with their range as a "
    "band; the axis "
    "counts each strategy's own epochs. Below: loss on validation images (solid) and training "
    "images (dotted); where "
    "the solid line rises while the dotted one falls, the network learns its training images by "
    "heart.",
    "reliability": "When a strategy says 90 %, is it right in 90 % of the cases? Confidence "
    "against accuracy in {bins} "
    "of equal width, all seeds pooled; on the diagonal they agree. Solid: as trained; "
    "dashed: after its "
    "temperature was fitted on the validation images. The bars show how many images a bin holds.",
    "confusion": "Rows are the actual classes, columns what was predicted; numbers, where they "
    "fit, are test images "
    "per seed (mean over seeds), shades the share of the row. A faultless strategy has the "
    "diagonal alone.",
    "features": "What enters the head, for every test image, laid out in two dimensions by t-SNE "
    "with the same "
    "settings everywhere: for the starting weights, and for the first seed of each strategy that "
    "changed them. Only "
    "neighbourhoods mean something; distances, sizes and places of the clouds do not.",
    "gallery": "Test images that tell the strategies apart, no fair sample; beside each strategy "
    "the mean probability "
    "that its seeds gave to the true class.",
    "attributions": "Where the first seed of `{shown}` saw the class that it predicts (Grad-CAM, "
    "at the last layer "
    "with maps): its surest hits of each class, and its surest mistakes. A map shows where, not "
    "why.",
    "views": "Training images as a test would show them, and as `{viewed}` sees them in its first "
    "epochs. Every "
    "strategy draws the same views; those that train on the features of the test view see no "
    "others.",
    "learning_curve": "Test accuracy after training on parts of the training images, mean and "
    "range of the seeds: "
    "larger parts hold the smaller ones, and validation images are set aside inside each.",
}


def render(results: Results, figures: Sequence[str]) -> str:
    """The Markdown of the report; the same arguments give the same text.

    Args:
        results: What was read.
        figures: Names of the figures to show, of `CAPTIONS` and in its order.
    """
    sections = [
        _answer(results),
        _results(results),
        _figures(results, figures),
        _data(results),
        method(results),
        caveats(results),
        settings(results),
        provenance(results),
    ]
    return "\n\n".join(sections) + "\n"


def _answer(results: Results) -> str:
    """Title, and the answer in three sentences: which, how sure, at what cost."""
    names, best = list(results.summary), results.recommended
    subject = f"{words.escaped(results.dataset)}, {results.params['backbone']['name']}"
    title = (
        f"# `{names[0]}` on {subject}" if len(names) == 1 else f"# Which strategy for {subject}?"
    )
    if best is None:
        return (
            f"{title}\n\nNo strategy finished: {words.listed(names)} diverged. There is no answer."
        )
    if len(names) == 1:
        alone = "It is the only strategy of this run, so nothing is compared."
        return (
            f"{title}\n\n**`{best}` recognises {_measured(results, best)}.** {alone} "
            f"{_price(results, best)}"
        )
    return (
        f"{title}\n\n**Use `{best}`**: {_reason(results, best)}. It recognises "
        f"{_measured(results, best)}; "
        f"{_told_apart(results, best)}. {_price(results, best)}"
    )


def _reason(results: Results, best: str) -> str:
    found, finished = results.comparison["recommended"], those_finished(results)
    assert found is not None
    top = found["best_validation"]
    validated = (
        "the highest validation accuracy "
        f"({words.percent(results.summary[top]['validation_accuracy'])}, mean of "
    )
    validated += f"{words.counted(results.summary[top]['seeds'], 'seed')}{_tie(results, top)})"
    rank = (
        f"of {words.counted(len(finished), 'strategy', 'strategies')}"
        f"{'' if len(finished) == len(results.summary) else ' that finished'}"
    )
    if best != top:
        return f"{rank} it is the cheapest that cannot be told from `{top}`, which has {validated}"
    cheaper = (
        " and is the cheapest of those that cannot be told from it"
        if found["indistinguishable"]
        else ""
    )
    return f"{rank} it has {validated}{cheaper}"


def _tie(results: Results, top: str) -> str:
    own = results.summary[top]["validation_accuracy"]
    equal = [
        n
        for n in those_finished(results)
        if n != top and _equal(results.summary[n]["validation_accuracy"], own)
    ]
    return f", as high as that of {words.listed(equal)} and with the lower loss" if equal else ""


def _equal(one: float | None, other: float | None) -> bool:
    """Whether two shares are the same but for the order in which seeds are summed."""
    return one is not None and other is not None and round(one - other, 9) == 0


def _measured(results: Results, name: str) -> str:
    row = results.summary[name]
    images = words.counted(row["images"], "held-out test image")
    return (
        f"{words.percent(row['accuracy'])} of the {images} "
        f"({confidence_of(results)} interval "
        f"{words.interval(row['accuracy_low'], row['accuracy_high'])})"
    )


def _told_apart(results: Results, best: str) -> str:
    groups: dict[str, list[str]] = {"better": [], "worse": [], "indistinguishable": []}
    for name in those_finished(results):
        if name != best:
            groups[between(results.comparison, best, name)["verdict"]].append(name)
    said = [
        f"{verdict} than {words.listed(names)}"
        for verdict, names in groups.items()
        if names and verdict[0] != "i"
    ]
    if groups["indistinguishable"]:
        said.append(
            f"with these images indistinguishable from {words.listed(groups['indistinguishable'])}"
        )
    lost = [name for name, row in results.summary.items() if row["accuracy"] is None]
    not_ranked = (
        f"; {words.listed(lost)} diverged and {words.agreeing(len(lost), 'is', 'are')} not ranked"
        if lost
        else ""
    )
    return (f"it is {', '.join(said)}" if said else "nothing else finished") + not_ranked


def _price(results: Results, best: str) -> str:
    """One sentence on what it costs, and what the dearest does."""
    own, device = results.summary[best], words.escaped(shared_by(results, "device"))
    seeds = f"{words.counted(own['seeds'], 'seed')} together" if own["seeds"] > 1 else "one seed"
    said = (
        f"Training it takes {words.duration(own['train_seconds'])} ({seeds}, {device}) and changes "
    )
    said += f"{own['trainable_parameters']:,} parameters"
    dearest = max(those_finished(results), key=lambda name: results.summary[name]["train_seconds"])
    if dearest == best:
        return f"{said}."
    return (
        f"{said}; `{dearest}`, the dearest, takes "
        f"{words.duration(results.summary[dearest]['train_seconds'])}."
    )


def _results(results: Results) -> str:
    titles = "\n".join(
        f"- `{name}`: {words.escaped(fact['title'])}" for name, fact in results.facts.items()
    )
    parts = ["## Results", _strategies(results), titles, _controls(results)]
    if len(those_finished(results)) > 1:
        parts += ["### Compared on the same images and seeds", _pairs(results)]
    if results.comparison["cross_validation"]["accuracy"]:
        parts += ["### Cross-validation on all images", _folds(results)]
    if those_finished(results):
        parts += ["### More than accuracy", _measures(results), _classes(results)]
    return "\n\n".join(part for part in parts if part)


def _strategies(results: Results) -> str:
    confidence, best = (
        confidence_of(results),
        results.recommended if len(results.summary) > 1 else None,
    )
    header = [
        "strategy",
        "test accuracy",
        f"{confidence} over images",
        f"{confidence} over seeds",
        "seeds",
    ]
    header += ["training time", "trainable parameters", "validation accuracy", "status"]
    rows = []
    for name, row in results.summary.items():
        shares = [
            words.percent(row["accuracy"]),
            words.interval(row["accuracy_low"], row["accuracy_high"]),
            words.interval(row["accuracy_seeds_low"], row["accuracy_seeds_high"]),
        ]
        cost = [
            str(row["seeds"]),
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
        "these very images. "
        "Training time is that of all seeds together, shared work included, on "
        f"{words.escaped(shared_by(results, 'device'))}."
    )
    return f"{words.table(header, rows, left=(0, 8))}\n\n{note}"


def _controls(results: Results) -> str:
    names = {
        "majority": "always the class with most training images",
        "imagenet_head": "the starting weights with their own head, of whose 1000 classes those "
        "count that mean the "
        "same as a class here; nothing was trained",
    }
    rows = [
        (
            f"`{name}`",
            names[name],
            words.percent(row["accuracy"]),
            words.interval(row["accuracy_low"], row["accuracy_high"]),
        )
        for name, row in results.comparison["controls"].items()
    ]
    header = ("control", "what it is", "test accuracy", f"{confidence_of(results)} over images")
    return words.table(header, rows, left=(0, 1)) if rows else ""


def _pairs(results: Results) -> str:
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
            verdict = (
                f"**{pair['verdict']}**"
                if pair["verdict"] != "indistinguishable"
                else pair["verdict"]
            )
            numbers = [
                words.signed(pair["difference"]),
                interval,
                words.percent(pair["probability"]),
                split,
                words.p_value(pair["holm_p"]),
            ]
            rows.append(
                [f"`{name}`", *numbers, verdict, "yes" if pair["first_as_good"] else "not shown"]
            )
    margin = (
        f"`as good`: the interval excludes that `{best}` loses more than "
        f"{words.points(found['margin'])} "
        "(non-inferiority); `better` in the fourth column is the share of bootstrap draws in "
        "which it wins."
    )
    others = "The figure below and `metrics/comparison.json` hold every pair."
    return f"{words.table(header, rows, left=(0, 6, 7))}\n\n{_least(found)} {margin} {others}"


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


def _folds(results: Results) -> str:
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


def _measures(results: Results) -> str:
    views = results.params["evaluate"]["tta_views"]
    over = f"accuracy over {words.counted(views, 'view')}"
    header = ["strategy", *MEASURES.values(), *([over] if views else [])]
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


def _classes(results: Results) -> str:
    best = results.recommended
    rows = [
        [
            words.escaped(name),
            *(words.number(row[key]) for key in ("precision", "recall", "f1")),
            str(row["support"]),
        ]
        for name, row in results.numbers[best]["classes"].items()  # type: ignore[index]
    ]
    header = (f"`{best}` by class", "precision", "recall", "F1", "test images")
    return words.table(header, rows, left=(0,))


def _figures(results: Results, figures: Sequence[str]) -> str:
    values: dict[str, str | None] = {
        "confidence": confidence_of(results),
        "bins": words.counted(results.params["compare"]["calibration_bins"], "bin"),
    }
    values |= {"shown": results.recommended, "viewed": results.viewed}
    shown = [
        f"![{name}](figures/{name}.png)\n\n{CAPTIONS[name].format(**values)}" for name in figures
    ]
    return "\n\n".join(["## Figures", *shown])


def _data(results: Results) -> str:
    counts = [(words.escaped(row["class"]), row["train"], row["test"]) for row in results.counts]
    train, test = (sum(int(row[split]) for row in results.counts) for split in ("train", "test"))
    skipped = [(words.escaped(row["id"]), words.escaped(row["reason"])) for row in results.skipped]
    parts = [
        f"## Data\n\n{train:,} training and {words.counted(test, 'test image')} of "
        f"{words.counted(len(counts), 'class', 'classes')}.",
        words.table(("class", "train", "test"), counts, left=(0,)),
    ]
    if skipped:
        many = (
            f"{words.counted(len(skipped), 'file')} of the archive "
            f"{words.agreeing(len(skipped), 'is', 'are')}"
        )
        parts += [
            f"{many} not among them:",
            words.table(("file", "reason"), skipped[:SKIPPED_SHOWN], left=(0, 1)),
        ]
    else:
        parts.append("No file of the archive was left out.")
    if len(skipped) > SKIPPED_SHOWN:
        parts.append(
            f"and {len(skipped) - SKIPPED_SHOWN} more, listed in `data/processed/skipped.csv`."
        )
    parts.append(_alike(results))
    return "\n\n".join(
        [*parts, "![training images](figures/samples.png)\n\nTraining images of each class."]
    )


def _alike(results: Results) -> str:
    """What was found of images that look the same."""
    across = [row for row in results.alike if row["split"] != row["other_split"]]
    if not results.alike:
        return (
            "No two images look the same (perceptual hashes, within training and test and across)."
        )
    shown = words.table(
        ("image", "looks like", "bits that differ"),
        [
            (words.escaped(row["id"]), words.escaped(row["other"]), row["distance"])
            for row in (across or results.alike)[:SKIPPED_SHOWN]
        ],
        left=(0, 1),
    )
    said = (
        f"{words.counted(len(results.alike), 'pair')} of images "
        f"{words.agreeing(len(results.alike), 'looks', 'look')} the same (perceptual "
        f"hashes), {len(across)} of them "
    )
    said += "across training and test, which makes the test easier than it should be."
    return (
        f"{said}\n\n{shown}"
        if across
        else f"{said.replace(', which makes the test easier than it should be', '')}"
    )
