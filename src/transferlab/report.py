"""JSON and CSV in, Markdown and figures out; every number of the report stands in a file that it read."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import compose, files, metrics, plots
from .data import load_images

CURVES = ("validation_accuracy", "validation_loss", "train_loss")
WRITTEN = ("checked", "dataset.path_sha256", "backbone.weights_sha256")  # by composition, not by a person
SKIPPED_SHOWN = 20
NONE = "\N{EN DASH}"

CAPTIONS = {
    "accuracy": "Each line is the {confidence} interval of a strategy's mean test accuracy (the dot), each ring one "
    "seed. Lines that overlap cannot be told apart by these intervals alone.",
    "cost": "Further left is cheaper (logarithmic, all seeds together), further up is better; whiskers are the "
    "{confidence} intervals.",
    "curves": "Above: validation accuracy while training, mean of the seeds with their range as a band; the axis "
    "counts each strategy's own epochs. Below: loss on validation images (solid) and training images (dotted); where "
    "the solid line rises while the dotted one falls, the network learns its training images by heart.",
    "confusion": "Rows are the actual classes, columns what was predicted; numbers, where they fit, are test images "
    "per seed (mean over seeds), shades the share of the row. A faultless strategy has the diagonal alone.",
    "predictions": "The {wrong} test images that were mistaken most often, then {right} that everything had right: a "
    "look at the extremes, no fair sample. \N{CHECK MARK} all seeds right; \N{BALLOT X} none, with the class that most "
    "of them saw; \N{CIRCLE WITH LEFT HALF BLACK} the number of seeds that were right.",
}


@dataclass(frozen=True, kw_only=True)
class Results:
    """All that the Markdown is made of."""

    params: Mapping[str, Any]
    defaults: Mapping[str, Any]  # what `conf/` composes to without overrides
    baseline: str | None  # the commit that the run started from
    summary: Mapping[str, Mapping[str, Any]]  # metrics/summary.json
    facts: Mapping[str, Mapping[str, Any]]  # runs/<strategy>/facts.json
    counts: Sequence[Mapping[str, str]]  # data/processed/class_counts.csv
    skipped: Sequence[Mapping[str, str]]  # data/processed/skipped.csv
    archive: Mapping[str, Any]  # data/raw/archive.json
    start: Mapping[str, Any]  # data/weights/start.json


def write_report(root: Path, params: Mapping[str, Any], defaults: Mapping[str, Any], baseline: str | None) -> None:
    """Write `reports/` below `root`: report.md, its figures, and the tables that `dvc plots` draws.

    Args:
        root: Checkout that holds data/, metrics/, predictions/ and runs/.
        params: `params.yaml`; its strategies are shown, in its order, and no others.
        defaults: What `conf/` composes to without overrides.
        baseline: The commit that the run started from.

    Raises:
        ValueError: A model was trained with other parameters, classes or weights than those of now.
    """
    results = read_results(root, params, defaults, baseline)
    processed, reports = root / "data/processed", root / "reports"
    classes = files.read_json(processed / "classes.json")["classes"]
    predictions = {
        name: metrics.read_predictions(root / f"predictions/{name}.csv", classes) for name in params["strategies"]
    }
    histories = {name: pd.read_csv(root / f"runs/{name}/history.csv") for name in params["strategies"]}
    seeds = {name: metrics.seed_accuracies(table) for name, table in predictions.items()}
    examples = plots.examples(predictions)
    figures = {
        "accuracy": plots.accuracy(results.summary, seeds),
        "cost": plots.cost(results.summary),
        "curves": plots.curves(histories),
        "confusion": plots.confusion(predictions, classes),
        "predictions": plots.prediction_grid(_images(processed / "test", classes, examples), examples),
    }
    for name, figure in figures.items():
        plots.save(figure, reports / f"figures/{name}.png")
    with files.atomic(reports / "figures/samples.png", "wb") as file:
        file.write((processed / "samples.png").read_bytes())
    write_curves(reports / "curves.csv", histories)
    write_confusion(reports / "confusion.csv", predictions)
    files.write_text(reports / "report.md", render(results, examples))


def read_results(root: Path, params: Mapping[str, Any], defaults: Mapping[str, Any], baseline: str | None) -> Results:
    """Read what the Markdown is made of; see `write_report`."""
    names, processed = list(params["strategies"]), root / "data/processed"
    classes = files.read_json(processed / "classes.json")["classes"]
    start = files.read_json(root / "data/weights/start.json")
    facts = {name: files.read_json(root / f"runs/{name}/facts.json") for name in names}
    for name in names:
        require_same(name, facts[name], {**params, "classes": classes, "start_sha256": start["sha256"]})
    summary = files.read_json(root / "metrics/summary.json")
    if list(summary) != names:
        raise ValueError(f"metrics/summary.json: expected {names}, got {list(summary)}. Run: dvc repro compare")
    return Results(
        params=params,
        defaults=defaults,
        baseline=baseline,
        summary=summary,
        facts=facts,
        counts=files.read_csv(processed / "class_counts.csv"),
        skipped=files.read_csv(processed / "skipped.csv"),
        archive=files.read_json(root / "data/raw/archive.json"),
        start=start,
    )


def require_same(name: str, facts: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse a model that was trained with other parameters, on other classes or from other weights than those of now.

    Args:
        name: Key of the strategy.
        facts: Its `facts.json`.
        now: `params.yaml` with two more keys, `classes` and `start_sha256`.
    """
    data = ("classes", "start_sha256")
    used = {**facts["params"], **{key: facts[key] for key in data}}
    expected = {key: now["strategies"][name] if key == "strategy" else now[key] for key in used}
    for key, before, after in compose.differences(used, expected):
        says = "data/ has" if key in data else "params.yaml says"
        raise ValueError(
            f"Model '{name}' was trained with {key}={_hydra(before)} but {says} {_hydra(after)}. "
            f"Run: dvc repro --force train@{name}"
        )


def _images(folder: Path, classes: Sequence[str], examples: Sequence[plots.Example]) -> list[np.ndarray]:
    images = load_images(folder, classes)
    places = {id: place for place, id in enumerate(images.ids)}
    for example in examples:
        if example.id not in places:
            raise ValueError(f"predictions: expected ids of {folder.name} images, got {example.id!r}. Run: dvc repro")
    return [images[places[example.id]] for example in examples]


# ---------------------------------------------------------------- tables for `dvc plots`


def write_curves(path: Path, histories: Mapping[str, pd.DataFrame]) -> None:
    """Write the histories as a long table `strategy, seed, epoch, measure, value`, finite values only."""
    rows = (
        {
            "strategy": name,
            "seed": row["seed"],
            "epoch": row["epoch"],
            "measure": measure,
            "value": f"{row[measure]:.6g}",
        }
        for name, history in histories.items()
        for measure in CURVES
        for row in history[np.isfinite(history[measure].astype(float))].to_dict("records")
    )
    files.write_csv(path, ("strategy", "seed", "epoch", "measure", "value"), rows)


def write_confusion(path: Path, predictions: Mapping[str, pd.DataFrame]) -> None:
    """Write the confusions as a long table `strategy, seed, actual, predicted, images`, of the pairs that occur."""
    rows = (
        {"strategy": name, "seed": seed, "actual": _cell(actual), "predicted": _cell(predicted), "images": images}
        for name, table in predictions.items()
        for seed, actual, predicted, images in metrics.confusion_counts(table).itertuples(index=False)
    )
    files.write_csv(path, ("strategy", "seed", "actual", "predicted", "images"), rows)


def _cell(text: str) -> str:
    """Text that a spreadsheet does not run as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


# ---------------------------------------------------------------- Markdown


def render(results: Results, examples: Sequence[plots.Example]) -> str:
    """The Markdown of the report; the same arguments give the same text.

    Args:
        results: What was read.
        examples: The images of the prediction grid.
    """
    wrong = sum(any(said.right < said.seeds for said in example.verdicts.values()) for example in examples)
    sections = [
        _answer(results),
        _table(results),
        _figures(results, wrong, len(examples) - wrong),
        _data(results),
        _method(results),
        _caveats(results),
        _settings(results),
        _provenance(results),
    ]
    return "\n\n".join(sections) + "\n"


def recommended(results: Results) -> str | None:
    """The strategy with the highest mean validation accuracy; the lower validation loss decides between equals."""
    finished = [name for name, row in results.summary.items() if row["accuracy"] is not None]
    return max(finished, key=lambda name: _validation(results, name), default=None)


def _validation(results: Results, name: str) -> tuple[float, float]:
    """Mean validation accuracy over seeds, and the negative of the mean loss."""
    seeds = results.facts[name]["seeds"].values()
    # Rounded, so that the order in which seeds are summed does not break a tie.
    accuracy = round(float(np.mean([seed["validation_accuracy"] for seed in seeds])), 9)
    return accuracy, -float(np.mean([seed["validation_loss"] for seed in seeds]))


def _answer(results: Results) -> str:
    """Title, and the answer in at most three sentences."""
    names, best = list(results.summary), recommended(results)
    subject = f"{_text(results.params['dataset']['name'])}, {results.params['backbone']['name']}"
    title = f"# `{names[0]}` on {subject}" if len(names) == 1 else f"# Which strategy for {subject}?"
    if best is None:
        return f"{title}\n\nNo strategy finished: {_list(names)} diverged. There is no answer."
    row = results.summary[best]
    measured = (
        f"{_percent(row['accuracy'])} of the {row['images']} held-out test images "
        f"({_confidence(results)} interval {100 * row['accuracy_low']:.1f} to {_percent(row['accuracy_high'])}, "
        f"{100 * (row['accuracy_high'] - row['accuracy_low']):.1f} points wide)"
    )
    seeds = f"as a mean over {row['seeds']} seeds" if row["seeds"] > 1 else "with one seed"
    if len(names) == 1:
        alone = "It is the only strategy of this run, so nothing is compared."
        return f"{title}\n\n**`{best}` recognises {measured}**, {seeds}. {alone}"
    finished = sum(row["accuracy"] is not None for row in results.summary.values())
    chosen = (
        f"of {finished} strategies{'' if finished == len(names) else ' that finished'} it has the highest validation "
        f"accuracy, {_percent(_validation(results, best)[0])} {seeds}{_tie(results, best)}; the test images had no say "
        "in that"
    )
    return f"{title}\n\n**Use `{best}`**: {chosen}. It recognises {measured}. {_others(results, best)}"


def _tie(results: Results, best: str) -> str:
    finished = [name for name, row in results.summary.items() if row["accuracy"] is not None and name != best]
    equal = [name for name in finished if _validation(results, name)[0] == _validation(results, best)[0]]
    return f" (as high as that of {_list(equal)}, with the lower validation loss)" if equal else ""


def _others(results: Results, best: str) -> str:
    """One sentence on how the intervals of the others lie."""
    own = results.summary[best]
    groups: dict[str, list[str]] = {"overlap": [], "below": [], "above": [], "diverged": []}
    for name, row in results.summary.items():
        if row["accuracy"] is None:
            groups["diverged"].append(name)
        elif name != best:
            below, above = row["accuracy_high"] < own["accuracy_low"], row["accuracy_low"] > own["accuracy_high"]
            groups["below" if below else "above" if above else "overlap"].append(name)
    said = []
    if groups["overlap"]:
        said.append(f"by these intervals alone it cannot be told apart from {_list(groups['overlap'])}")
    for side in ("below", "above"):
        if groups[side]:
            several = "s of" if len(groups[side]) > 1 else " of"
            said.append(
                f"the interval{several} {_list(groups[side])} lie{'s' * (len(groups[side]) == 1)} {side} its own"
            )
    if groups["diverged"]:
        said.append(
            f"{_list(groups['diverged'])} diverged and {'is' if len(groups['diverged']) == 1 else 'are'} not ranked"
        )
    sentence = "; ".join(said)
    return f"{sentence[0].upper()}{sentence[1:]}." if sentence else ""


def _table(results: Results) -> str:
    header = ["strategy", "test accuracy", f"{_confidence(results)} interval", "sd over seeds", "seeds"]
    header += ["training time", "trainable parameters", "validation accuracy", "status"]
    best = recommended(results) if len(results.summary) > 1 else None
    rows = []
    for name, row in results.summary.items():
        accuracy, interval, validation = NONE, NONE, NONE
        if row["accuracy"] is not None:
            accuracy, validation = _percent(row["accuracy"]), _percent(_validation(results, name)[0])
            interval = f"{100 * row['accuracy_low']:.1f} to {_percent(row['accuracy_high'])}"
        spread = NONE if row["accuracy_sd"] is None else f"{100 * row['accuracy_sd']:.1f} points"
        shown = f"**`{name}`**" if name == best else f"`{name}`"
        cost = [str(row["seeds"]), _duration(row["train_seconds"]), f"{row['trainable_parameters']:,}"]
        rows.append([shown, accuracy, interval, spread, *cost, validation, _text(row["status"])])
    note = (
        "Test accuracy is the mean over seeds, and its interval is about the test images; sd, the standard deviation, "
        "is about retraining with another seed. Training time is that of all seeds together, shared work included, on "
        f"{_text(_shared(results, 'device'))}."
    )
    titles = "\n".join(f"- `{name}`: {_text(fact['title'])}" for name, fact in results.facts.items())
    return f"## Results\n\n{_markdown(header, rows, left=(0, 8))}\n\n{note}\n\n{titles}"


def _figures(results: Results, wrong: int, right: int) -> str:
    values = {"confidence": _confidence(results), "wrong": wrong, "right": right}
    figures = [f"![{name}](figures/{name}.png)\n\n{text.format(**values)}" for name, text in CAPTIONS.items()]
    return "\n\n".join(["## Figures", *figures])


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
    return "\n\n".join([*parts, "![training images](figures/samples.png)\n\nTraining images of each class."])


def _method(results: Results) -> str:
    params, records = results.params, [seed for fact in results.facts.values() for seed in fact["seeds"].values()]
    fit, validation = (_span(record[key] for record in records) for key in ("fit_images", "validation_images"))
    aside = f"{100 * params['train']['validation_fraction']:g} %"
    images = max(row["images"] for row in results.summary.values())
    best = "The recommended strategy has the highest mean validation accuracy. " if len(results.summary) > 1 else ""
    return "\n".join(
        [
            "## Method\n",
            f"- **Splits.** Every seed ({_list(params['seeds'], '')}) sets {aside} of each class's training images "
            f"aside: {fit} images to fit, {validation} to validate, the same for every strategy.",
            f"- **Selection.** By validation alone: {_selection(params)}. {best}Nothing else was tuned in this run.",
            "- **Test.** The test images are evaluated once, with the models that were kept; no training reads them.",
            "- **Interval.** Wilson's score interval of a share, at the mean over seeds, with the test images "
            f"({images}, each {_points(images)}) as the sample: what other images of the same kind might have given. "
            "Neither other training images nor other seeds are counted in it.",
        ]
    )


def _selection(params: Mapping[str, Any]) -> str:
    learners = {section["learner"] for section in params["strategies"].values()}
    measure = params["train"]["select_by"]
    other = {"accuracy": "loss", "loss": "accuracy"}[measure]
    said = {
        "gradient": f"the epoch that is kept has the best validation {measure} (ties go to the {other})",
        "logistic_regression": "the penalty of a logistic regression is cross-validated inside the images it fits",
    }
    return "; ".join(text for learner, text in said.items() if learner in learners)


def _caveats(results: Results) -> str:
    params, summary = results.params, results.summary
    optimistic = "Validation accuracy is that of each seed's best epoch, hence optimistic; test accuracy is not."
    caveats = [optimistic, *_about_weights(results)]
    if len(summary) > 1:
        caveats[:1] = [
            "Strategies whose intervals overlap are not thereby equal: all were tested on the same images, and a "
            "paired comparison, which this report does not make, can see finer differences.",
            f"{optimistic} The more epochs a strategy has, the more so, which can tip a close recommendation.",
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
        f"ImageNet may have seen these very images, test images included.{spared}"
    ]


def _settings(results: Results) -> str:
    changed = differences(results.params, results.defaults)
    if not changed:
        return "## Settings\n\nAll as `conf/` gives them."
    # Indented and not fenced: no value can end such a block.
    lines = [
        f"    -S {shlex.quote(f'{key}={_hydra(value)}')}  # default: {_hydra(usual)}" for key, usual, value in changed
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


def _hydra(value: Any) -> str:
    """A value as the right side of an override."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_hydra(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_hydra, value)) + "]"
    text = str(value)
    words = ("null", "true", "false", "nan", "inf")
    if not isinstance(value, str) or (re.fullmatch(r"[A-Za-z_][\w./:@-]*", text) and text.lower() not in words):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


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
        ("device", _text(_shared(results, "device"))),
        ("threads", _shared(results, "threads")),
        ("precision", _shared(results, "precision")),
        ("memory format", _text(_shared(results, "memory_format"))),
        ("versions", _text(_shared(results, "versions"))),
    ]
    models = "The hash of every model, and the parameters that made it, stand in `runs/<strategy>/facts.json`."
    return f"## Provenance\n\n{_markdown(('what', 'value'), rows, left=(0, 1))}\n\n{models}"


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


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(images: int) -> str:
    return f"{100 / images:.2f} points" if images else NONE


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
