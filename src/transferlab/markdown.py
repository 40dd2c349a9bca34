"""Results -> the Markdown of the report; every number of it stands in a file of the run."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import comparison, compose

WRITTEN = ("checked", "dataset.path_sha256", "backbone.weights_sha256")  # by composition, not by a person
SKIPPED_SHOWN = 20
NONE = "\N{EN DASH}"

CAPTIONS = {
    "accuracy": "Each line is the {confidence} interval of a strategy's mean test accuracy (the dot), each ring one "
    "seed; upright lines are the controls. Lines that overlap may still belong to strategies that can be told apart: "
    "the next figure compares them image by image.",
    "verdicts": "Every pair: accuracy of the row less that of the column, in points, with its {confidence} interval. "
    "Coloured and marked cells are pairs that can be told apart, by McNemar's test after Holm's adjustment and by the "
    "interval; all others are indistinguishable with these test images.",
    "cost": "Further left is cheaper (logarithmic), further up is better; whiskers are the {confidence} intervals. On "
    "the left the training time of all seeds together, on the right the parameters that training may change. A "
    "strategy below the stepped line is beaten by one that costs no more.",
    "curves": "Above: validation accuracy while training, mean of the seeds with their range as a band; the axis "
    "counts each strategy's own epochs. Below: loss on validation images (solid) and training images (dotted); where "
    "the solid line rises while the dotted one falls, the network learns its training images by heart.",
    "reliability": "When a strategy says 90 %, is it right in 90 % of the cases? Confidence against accuracy in {bins} "
    "bins of equal width, all seeds pooled; on the diagonal they agree. Solid: as trained; dashed: after its "
    "temperature was fitted on the validation images. The bars show how many images a bin holds.",
    "confusion": "Rows are the actual classes, columns what was predicted; numbers, where they fit, are test images "
    "per seed (mean over seeds), shades the share of the row. A faultless strategy has the diagonal alone.",
    "features": "What enters the head, for every test image, laid out in two dimensions by t-SNE with the same "
    "settings everywhere: for the starting weights, and for the first seed of each strategy that changed them. Only "
    "neighbourhoods mean something; distances, sizes and places of the clouds do not.",
    "gallery": "Test images that tell the strategies apart, no fair sample; beside each strategy the mean probability "
    "that its seeds gave to the true class.",
    "attributions": "Where the first seed of `{shown}` saw the class that it predicts (Grad-CAM, at the last layer "
    "with maps): its surest hits of each class, and its surest mistakes. A map shows where, not why.",
    "views": "Training images as a test would show them, and as `{viewed}` sees them in its first epochs. Every "
    "strategy draws the same views; those that train on the features of the test view see no others.",
    "learning_curve": "Test accuracy after training on parts of the training images, mean and range of the seeds: "
    "larger parts hold the smaller ones, and validation images are set aside inside each.",
}


@dataclass(frozen=True, kw_only=True)
class Results:
    """All that the Markdown is made of."""

    params: Mapping[str, Any]
    defaults: Mapping[str, Any]  # what `conf/` composes to without overrides
    baseline: str | None  # the commit that the run started from
    summary: Mapping[str, Mapping[str, Any]]  # metrics/summary.json
    numbers: Mapping[str, Mapping[str, Any]]  # metrics/numbers.json
    comparison: Mapping[str, Any]  # metrics/comparison.json
    facts: Mapping[str, Mapping[str, Any]]  # runs/<strategy>/facts.json
    counts: Sequence[Mapping[str, str]]  # data/processed/class_counts.csv
    skipped: Sequence[Mapping[str, str]]  # data/processed/skipped.csv
    alike: Sequence[Mapping[str, str]]  # data/processed/near_duplicates.csv
    archive: Mapping[str, Any]  # data/raw/archive.json
    start: Mapping[str, Any]  # data/weights/start.json

    @property
    def recommended(self) -> str | None:
        """Key of the strategy to use; None where nothing finished."""
        found = self.comparison["recommended"]
        return found and str(found["strategy"])

    @property
    def viewed(self) -> str | None:
        """The strategy whose training views are shown: the recommended one if it has any, else the first."""
        gradient = [name for name, section in self.params["strategies"].items() if section["learner"] == "gradient"]
        return self.recommended if self.recommended in gradient else next(iter(gradient), None)


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
        _method(results),
        _caveats(results),
        _settings(results),
        _provenance(results),
    ]
    return "\n\n".join(sections) + "\n"


# ---------------------------------------------------------------- the answer


def _answer(results: Results) -> str:
    """Title, and the answer in three sentences: which, how sure, at what cost."""
    names, best = list(results.summary), results.recommended
    subject = f"{_text(results.params['dataset']['name'])}, {results.params['backbone']['name']}"
    title = f"# `{names[0]}` on {subject}" if len(names) == 1 else f"# Which strategy for {subject}?"
    if best is None:
        return f"{title}\n\nNo strategy finished: {_list(names)} diverged. There is no answer."
    if len(names) == 1:
        alone = "It is the only strategy of this run, so nothing is compared."
        return f"{title}\n\n**`{best}` recognises {_measured(results, best)}.** {alone} {_price(results, best)}"
    return (
        f"{title}\n\n**Use `{best}`**: {_reason(results, best)}. It recognises {_measured(results, best)}; "
        f"{_told_apart(results, best)}. {_price(results, best)}"
    )


def _reason(results: Results, best: str) -> str:
    found, finished = results.comparison["recommended"], _finished(results)
    top = found["best_validation"]
    validated = f"the highest validation accuracy ({_percent(results.summary[top]['validation_accuracy'])}, mean of "
    validated += f"{_count(results.summary[top]['seeds'], 'seed')}{_tie(results, top)})"
    rank = f"of {len(finished)} strategies{'' if len(finished) == len(results.summary) else ' that finished'}"
    if best != top:
        return f"{rank} it is the cheapest that cannot be told from `{top}`, which has {validated}"
    cheaper = " and is the cheapest of those that cannot be told from it" if found["indistinguishable"] else ""
    return f"{rank} it has {validated}{cheaper}"


def _tie(results: Results, top: str) -> str:
    own = results.summary[top]["validation_accuracy"]
    equal = [
        n for n in _finished(results) if n != top and round(results.summary[n]["validation_accuracy"] - own, 9) == 0
    ]
    return f", as high as that of {_list(equal)} and with the lower loss" if equal else ""


def _measured(results: Results, name: str) -> str:
    row = results.summary[name]
    return (
        f"{_percent(row['accuracy'])} of the {row['images']} held-out test images ({_confidence(results)} interval "
        f"{_interval(row['accuracy_low'], row['accuracy_high'])})"
    )


def _told_apart(results: Results, best: str) -> str:
    groups: dict[str, list[str]] = {"better": [], "worse": [], "indistinguishable": []}
    for name in _finished(results):
        if name != best:
            groups[comparison.between(results.comparison, best, name)["verdict"]].append(name)
    said = [f"{verdict} than {_list(names)}" for verdict, names in groups.items() if names and verdict[0] != "i"]
    if groups["indistinguishable"]:
        said.append(f"with these images indistinguishable from {_list(groups['indistinguishable'])}")
    lost = [name for name, row in results.summary.items() if row["accuracy"] is None]
    not_ranked = f"; {_list(lost)} diverged and {_is(lost)} not ranked" if lost else ""
    return (f"it is {', '.join(said)}" if said else "nothing else finished") + not_ranked


def _price(results: Results, best: str) -> str:
    """One sentence on what it costs, and what the dearest does."""
    own, device = results.summary[best], _text(_shared(results, "device"))
    seeds = f"{_count(own['seeds'], 'seed')} together" if own["seeds"] > 1 else "one seed"
    said = f"Training it takes {_duration(own['train_seconds'])} ({seeds}, {device}) and changes "
    said += f"{own['trainable_parameters']:,} parameters"
    dearest = max(_finished(results), key=lambda name: results.summary[name]["train_seconds"])
    if dearest == best:
        return f"{said}."
    return f"{said}; `{dearest}`, the dearest, takes {_duration(results.summary[dearest]['train_seconds'])}."


# ---------------------------------------------------------------- tables


def _results(results: Results) -> str:
    titles = "\n".join(f"- `{name}`: {_text(fact['title'])}" for name, fact in results.facts.items())
    parts = ["## Results", _strategies(results), titles, _controls(results)]
    if len(_finished(results)) > 1:
        parts += ["### Compared on the same images and seeds", _pairs(results)]
    if results.comparison["cross_validation"]["accuracy"]:
        parts += ["### Cross-validation on all images", _folds(results)]
    if _finished(results):
        parts += ["### More than accuracy", _measures(results), _classes(results)]
    return "\n\n".join(part for part in parts if part)


def _strategies(results: Results) -> str:
    confidence, best = _confidence(results), results.recommended if len(results.summary) > 1 else None
    header = ["strategy", "test accuracy", f"{confidence} over images", f"{confidence} over seeds", "seeds"]
    header += ["training time", "trainable parameters", "validation accuracy", "status"]
    rows = []
    for name, row in results.summary.items():
        shares = [
            _percent(row["accuracy"]),
            _interval(row["accuracy_low"], row["accuracy_high"]),
            _interval(row["accuracy_seeds_low"], row["accuracy_seeds_high"]),
        ]
        cost = [str(row["seeds"]), _duration(row["train_seconds"]), f"{row['trainable_parameters']:,}"]
        shown = f"**`{name}`**" if name == best else f"`{name}`"
        rows.append([shown, *shares, *cost, _percent(row["validation_accuracy"]), _text(row["status"])])
    note = (
        "Test accuracy is the mean over seeds. The interval over images says what other images of the same kind might "
        "have given these models, the one over seeds what training again might have given on these very images. "
        f"Training time is that of all seeds together, shared work included, on {_text(_shared(results, 'device'))}."
    )
    return f"{_markdown(header, rows, left=(0, 8))}\n\n{note}"


def _controls(results: Results) -> str:
    names = {
        "majority": "always the class with most training images",
        "imagenet_head": "the starting weights with their own head, of whose 1000 classes those count that mean the "
        "same as a class here; nothing was trained",
    }
    rows = [
        (f"`{name}`", names[name], _percent(row["accuracy"]), _interval(row["accuracy_low"], row["accuracy_high"]))
        for name, row in results.comparison["controls"].items()
    ]
    header = ("control", "what it is", "test accuracy", f"{_confidence(results)} over images")
    return _markdown(header, rows, left=(0, 1)) if rows else ""


def _pairs(results: Results) -> str:
    found, best = results.comparison, results.recommended
    assert best is not None
    header = [f"`{best}` and", "difference, points", f"{_confidence(results)} interval", f"`{best}` better"]
    header += [f"right only `{best}` : only the other", "p (Holm)", f"`{best}` is", "`as good`"]
    rows = []
    for name in _finished(results):
        if name != best:
            pair = comparison.between(found, best, name)
            split = f"{pair['wins']} : {pair['losses']}"
            interval = f"{_signed(pair['low'])} to {_signed(pair['high'])}"
            verdict = f"**{pair['verdict']}**" if pair["verdict"] != "indistinguishable" else pair["verdict"]
            numbers = [_signed(pair["difference"]), interval, _percent(pair["probability"]), split, _p(pair["holm_p"])]
            rows.append([f"`{name}`", *numbers, verdict, "yes" if pair["first_as_good"] else "not shown"])
    single, first = found["least_split"], found["least_split_holm"]
    least = (
        f"These {found['images']} images can show little: McNemar's test needs {_split(single)} for one pair that was "
        f"chosen beforehand, and {_split(first)} for the clearest of these {_count(len(found['pairs']), 'pair')}. "
        "Indistinguishable does not mean equal."
    )
    margin = (
        f"`as good`: the interval excludes that `{best}` loses more than {_points(found['margin'])} "
        "(non-inferiority); `better` in the fourth column is the share of bootstrap draws in which it wins."
    )
    others = "The figure below and `metrics/comparison.json` hold every pair."
    return f"{_markdown(header, rows, left=(0, 6, 7))}\n\n{least} {margin} {others}"


def _split(least: Mapping[str, Any]) -> str:
    """Such as `a split of 6 images to none, 3.9 points`."""
    share = least["difference"]
    size = _points(share) if share is not None else "more than there are"
    return f"a split of {least['images']} images to none ({size})"


def _folds(results: Results) -> str:
    found, settings = results.comparison["cross_validation"], results.params["cross_validation"]
    rows = [
        (f"`{name}`", _percent(row["accuracy"]), _interval(row["accuracy_low"], row["accuracy_high"]))
        for name, row in found["accuracy"].items()
    ]
    apart = [pair for pair in found["pairs"] if pair["verdict"] != "indistinguishable"]
    said = "; ".join(
        f"`{pair['first']}` is {pair['verdict']} than `{pair['second']}` ({_signed(pair['difference'])} points, "
        f"{_signed(pair['low'])} to {_signed(pair['high'])})"
        for pair in apart
    )
    note = (
        f"Training and test images together, {found['images']:,}, in {settings['folds']} folds, repeated "
        f"{settings['repeats']} times; near-duplicates stay together, and every choice is made inside the other folds. "
        "It ranks, with a narrower interval; the accuracy to expect is the one on the held-out images above. "
        f"Told apart: {said or 'no pair'}."
    )
    header = ("strategy", "accuracy", f"{_confidence(results)} over images")
    return f"{_markdown(header, rows, left=(0,))}\n\n{note}"


MEASURES = {"macro_f1": "macro F1", "auroc": "AUROC", "nll": "log loss", "brier": "Brier", "ece": "ECE"}
MEASURES |= {"nll_scaled": "log loss, scaled", "ece_scaled": "ECE, scaled"}


def _measures(results: Results) -> str:
    views = results.params["evaluate"]["tta_views"]
    header = ["strategy", *MEASURES.values(), *([f"accuracy over {views} views"] if views else [])]
    rows = []
    for name, record in results.numbers.items():
        found = record["measures"]
        cells = [f"`{name}`", *(_with_ends(found[measure]) for measure in MEASURES)]
        augmented = found["tta_accuracy"]
        both = f"{_percent(augmented['mean'])} ({_interval(augmented['images_low'], augmented['images_high'])})"
        rows.append([*cells, *([both] if views else [])])
    bins = results.params["compare"]["calibration_bins"]
    note = (
        f"Means over seeds with {_confidence(results)} intervals over images; those over seeds stand in "
        "`metrics/numbers.json`. Log loss in nats; Brier summed over classes; ECE, the expected calibration error, "
        f"with {bins} bins of equal width. Scaled: after temperature scaling, one temperature per strategy, "
        "fitted on the validation images of all seeds."
    )
    return f"{_markdown(header, rows, left=(0,))}\n\n{note}"


def _classes(results: Results) -> str:
    best = results.recommended
    rows = [
        [_text(name), *(_number(row[key]) for key in ("precision", "recall", "f1")), str(row["support"])]
        for name, row in results.numbers[best]["classes"].items()  # type: ignore[index]
    ]
    header = (f"`{best}` by class", "precision", "recall", "F1", "test images")
    return _markdown(header, rows, left=(0,))


def _figures(results: Results, figures: Sequence[str]) -> str:
    values = {"confidence": _confidence(results), "bins": results.params["compare"]["calibration_bins"]}
    values |= {"shown": results.recommended, "viewed": results.viewed}
    shown = [f"![{name}](figures/{name}.png)\n\n{CAPTIONS[name].format(**values)}" for name in figures]
    return "\n\n".join(["## Figures", *shown])


def _data(results: Results) -> str:
    counts = [(_text(row["class"]), row["train"], row["test"]) for row in results.counts]
    train, test = (sum(int(row[split]) for row in results.counts) for split in ("train", "test"))
    skipped = [(_text(row["id"]), _text(row["reason"])) for row in results.skipped]
    parts = [
        f"## Data\n\n{train:,} training and {test:,} test images of {len(counts)} classes.",
        _markdown(("class", "train", "test"), counts, left=(0,)),
    ]
    if skipped:
        many = f"{len(skipped)} files of the archive are" if len(skipped) > 1 else "One file of the archive is"
        parts += [f"{many} not among them:", _markdown(("file", "reason"), skipped[:SKIPPED_SHOWN], left=(0, 1))]
    else:
        parts.append("No file of the archive was left out.")
    if len(skipped) > SKIPPED_SHOWN:
        parts.append(f"and {len(skipped) - SKIPPED_SHOWN} more, listed in `data/processed/skipped.csv`.")
    parts.append(_alike(results))
    return "\n\n".join([*parts, "![training images](figures/samples.png)\n\nTraining images of each class."])


def _alike(results: Results) -> str:
    """What was found of images that look the same."""
    across = [row for row in results.alike if row["split"] != row["other_split"]]
    if not results.alike:
        return "No two images look the same (perceptual hashes, within training and test and across)."
    shown = _markdown(
        ("image", "looks like", "bits that differ"),
        [(_text(row["id"]), _text(row["other"]), row["distance"]) for row in (across or results.alike)[:SKIPPED_SHOWN]],
        left=(0, 1),
    )
    said = f"{_count(len(results.alike), 'pair')} of images look the same (perceptual hashes), {len(across)} of them "
    said += "across training and test, which makes the test easier than it should be."
    return f"{said}\n\n{shown}" if across else f"{said.replace(', which makes the test easier than it should be', '')}"


# ---------------------------------------------------------------- method, caveats


def _method(results: Results) -> str:
    params, records = results.params, [seed for fact in results.facts.values() for seed in fact["seeds"].values()]
    fit, validation = (_span(record[key] for record in records) for key in ("fit_images", "validation_images"))
    aside, found = f"{100 * params['train']['validation_fraction']:g} %", results.comparison
    lines = [
        f"**Splits.** Every seed ({_list(params['seeds'], '')}) sets {aside} of each class's training images "
        f"aside: {fit} images to fit, {validation} to validate, the same for every strategy.",
        f"**Selection.** By validation alone: {_selection(params)}.",
        "**Tuning.** Every strategy had the same budget: one run of each seed with the one configuration that stands "
        "in `params.yaml`. No hyperparameter was searched for on these images beyond the choices named above.",
        "**Test.** The test images are evaluated once, with the models that were kept; no training reads them.",
        f"**Intervals.** Over images: Wilson's for shares at the mean over seeds, a bootstrap of images for the rest. "
        f"Over seeds: Student's. Of differences: a bootstrap of images and seeds, {found['resamples']:,} resamples, on "
        "the same images and seeds for both strategies. Other training images are in none of them.",
    ]
    if len(results.summary) > 1:
        lines += [
            "**Verdicts.** McNemar's exact test on predictions averaged over seeds, Holm's adjustment over all pairs "
            f"at {_percent(1 - found['confidence'])}, and the interval of the difference on the same side of 0; "
            "otherwise indistinguishable.",
            "**Recommendation.** The cheapest in training time of those that are not worse than the strategy with the "
            "highest mean validation accuracy. The test images decide only what can be told apart.",
        ]
    return "\n".join(["## Method\n", *(f"- {line}" for line in lines)])


def _selection(params: Mapping[str, Any]) -> str:
    sections, said = params["strategies"], []
    for measure, other in (("accuracy", "loss"), ("loss", "accuracy")):
        names = [name for name, section in sections.items() if section.get("select_by") == measure]
        if names:
            ties = f"(ties go to the {other})"
            said.append(f"the epoch that is kept has the best validation {measure} {ties} in {_list(names)}")
    solved = [name for name, s in sections.items() if s["learner"] == "logistic_regression" or s.get("probe")]
    if solved:
        said.append(f"C of the logistic regression in {_list(solved)} is cross-validated inside the images it fits")
    mixed = [name for name, section in sections.items() if section.get("interpolate")]
    if mixed:
        said.append(f"the share of the trained weights in {_list(mixed)} has the best validation score")
    return "; ".join(said)


def _caveats(results: Results) -> str:
    params, summary = results.params, results.summary
    optimistic = "Validation accuracy is that of each seed's best epoch, hence optimistic; test accuracy is not."
    caveats = [optimistic, *_about_weights(results)]
    if len(summary) > 1:
        caveats[:1] = [
            f"{optimistic} The more epochs a strategy has, the more so, which can tip a close recommendation."
        ]
    if params["dataset"]["textures"]:
        caveats.append("The images are drawn by a program; accuracies on them say nothing about photographs.")
    if len(params["seeds"]) == 1:
        caveats.append("With one seed nothing is known about what retraining would change.")
    if params["train"]["max_epochs"] is not None:
        most = params["train"]["max_epochs"]
        caveats.append(
            f"Training was capped at {most} epochs (`train.max_epochs`): a look, not what strategies can do."
        )
    for name, row in summary.items():
        if row["accuracy"] is None:
            caveats.append(
                f"`{name}` {_text(row['status'])}: its loss was no longer finite, so it has no accuracy here."
            )
    return "\n".join(["## Caveats\n", *(f"- {caveat}" for caveat in caveats)])


def _about_weights(results: Results) -> list[str]:
    """What the starting weights may already know."""
    backbone, dataset = results.params["backbone"], results.params["dataset"]
    if backbone["weights"] == "none":
        return ["The backbone starts from random weights everywhere: nothing was transferred."]
    if backbone["weights"] == "source":
        source, own = backbone["source"]["dataset"], (dataset["textures"] or {"classes": []})["classes"]
        if source["textures"] is None:
            return [f"The starting weights come from a source task inside the pipeline: {_text(source['name'])}."]
        drawn = source["textures"]
        both = [name for name in drawn["classes"] if name in own]
        apart = f"{_list(map(_text, both), '')} of them also classes here" if both else "none of them a class here"
        return [
            f"The starting weights come from a source task inside the pipeline: {len(drawn['classes'])} drawn classes "
            f"({_list(map(_text, drawn['classes']), '')}; {apart}), {drawn['train_per_class']} training images of each."
        ]
    if dataset["name"] != "hymenoptera":
        return []
    random = [name for name, section in results.params["strategies"].items() if section.get("start") == "random"]
    spared = f" {_list(random)} start{'s' * (len(random) == 1)} from random weights and cannot." if random else ""
    return [
        "hymenoptera is a small subset of ImageNet-1k (classes 310, ant, and 309, bee): a backbone pretrained on "
        f"ImageNet may have seen these very images, test images included.{spared} What transfer is worth here is "
        f"therefore an upper bound for images that no backbone has seen.{_own_head(results)}"
    ]


def _own_head(results: Results) -> str:
    row = results.comparison["controls"].get("imagenet_head")
    return f" Its own head, which saw none of this training, reaches {_percent(row['accuracy'])}." if row else ""


def _settings(results: Results) -> str:
    changed = differences(results.params, results.defaults)
    if not changed:
        return "## Settings\n\nAll as `conf/` gives them."
    # Indented and not fenced: no value can end such a block.
    lines = [
        f"    -S {shlex.quote(f'{key}={compose.override_value(value)}')}  # default: {compose.override_value(usual)}"
        for key, usual, value in changed
    ]
    lines = [" ".join(line.splitlines()) for line in lines]
    return "\n".join(["## Settings\n\nThat differ from what `conf/` gives:\n", *lines])


def differences(params: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Dotted keys whose value is not the default one, as (key, default, value).

    Another choice of strategies is one entry, `strategy`, because that is how a person makes it. What composition
    writes by itself is left out.
    """
    names, usual = list(params["strategies"]), list(defaults["strategies"])
    both = [name for name in names if name in usual]
    old, new = (
        {**side, "strategies": {name: side["strategies"][name] for name in both}} for side in (defaults, params)
    )
    choice = [("strategy", usual, names if len(names) > 1 else names[0])] if names != usual else []
    return choice + [item for item in compose.differences(old, new) if item[0] not in WRITTEN]


def _provenance(results: Results) -> str:
    archive, start = results.archive, results.start
    rows = [
        ("commit at the start", f"`{results.baseline}`" if results.baseline else "none"),
        ("images", f"{_text(archive['name'])} from {_text(archive['origin'])}"),
        ("images, sha256", f"`{archive['sha256']}`, verified by {_text(archive['verified_by'])}"),
        ("images, sha256 of the contents", f"`{archive['contents_sha256']}`"),
        ("weights", f"{_text(start['backbone'])}, {_text(start['weights'])}: {_text(start['origin'])}"),
        ("weights, sha256", f"`{start['sha256']}`"),
        (
            "weights, sha256 of the source file",
            f"`{start['source_file_sha256']}`" if start["source_file_sha256"] else NONE,
        ),
        ("weights, from the file", _from_file(start["file"]) if start["file"] else NONE),
        ("device", _text(_shared(results, "device"))),
        ("threads", _shared(results, "threads")),
        ("precision", _shared(results, "precision")),
        ("memory format", _text(_shared(results, "memory_format"))),
        ("versions", _text(_shared(results, "versions"))),
    ]
    models = "The hash of every model, and the parameters that made it, stand in `runs/<strategy>/facts.json`."
    return f"## Provenance\n\n{_markdown(('what', 'value'), rows, left=(0, 1))}\n\n{models}"


def _from_file(file: Mapping[str, Any]) -> str:
    """How the weights came out of a file of others."""
    used = f"{file['tensors_used']} of {file['tensors_held']} tensors of {file['name']}"
    return _text("; ".join([used, *file["undone"]]))


def _shared(results: Results, key: str) -> str:
    """A fact of all strategies, or each value with the strategies it belongs to."""
    groups: dict[str, list[str]] = {}
    for name, fact in results.facts.items():
        value = fact[key]
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)
        groups.setdefault(text, []).append(name)
    if len(groups) == 1:
        return next(iter(groups))
    return "; ".join(f"{text} ({', '.join(names)})" for text, names in groups.items())


# ---------------------------------------------------------------- words and numbers


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int]) -> str:
    """A table whose columns are aligned right, except those of `left`."""
    marks = ["---" if i in left else "--:" for i in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, marks, *rows))


def _text(value: Any) -> str:
    """Foreign text that stays text, whatever Markdown or HTML it holds."""
    line = " ".join(str(value).split())
    # Entities are shown as characters but mean nothing to Markdown; an underscore inside a word is harmless as it is.
    return re.sub(r"(?<!\w)_|_(?!\w)|[^\w\s.,/()%:;+-]", lambda sign: f"&#{ord(sign[0])};", line)


def _list(items: Iterable[Any], mark: str = "`") -> str:
    """`a`, `b` and `c`."""
    words = [f"{mark}{item}{mark}" for item in items]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _is(items: Sequence[Any]) -> str:
    return "is" if len(items) == 1 else "are"


def _finished(results: Results) -> list[str]:
    return [name for name, row in results.summary.items() if row["accuracy"] is not None]


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.1f} %"


def _interval(low: float | None, high: float | None) -> str:
    return NONE if low is None or high is None else f"{100 * low:.1f} to {_percent(high)}"


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _with_ends(record: Mapping[str, Any]) -> str:
    """Such as `0.958 (0.917 to 0.989)`."""
    ends = (_number(record[end]) for end in ("images_low", "images_high"))
    return f"{_number(record['mean'])} ({' to '.join(ends)})"


def _signed(share: float) -> str:
    """Points with their sign."""
    return f"{100 * share:+.1f}".replace("-", "\N{MINUS SIGN}")


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _confidence(results: Results) -> str:
    return f"{100 * results.params['compare']['confidence']:g} %"


def _span(values: Iterable[int]) -> str:
    """One number, or the ends of several."""
    low, *rest = sorted(set(values))
    return f"{low} to {rest[-1]}" if rest else str(low)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
