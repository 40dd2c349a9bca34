"""What the numbers do not say."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..evidence.intervals import wilson
from ..evidence.records import Short, between
from . import words
from .results import Results, shared_by, those_finished

CLASSES = 10  # that a sentence names


def caveats(results: Results) -> str:
    """What the numbers do not say."""
    params, summary = results.params, results.summary
    caveats = [
        _of_validation(params),
        *_majority(results),
        *_too_few(results),
        *_devices(results),
        *_about_weights(results),
    ]
    if params["dataset"]["textures"]:
        caveats.append(
            "The images are drawn by a program; accuracies on them say nothing about photographs."
        )
    if len(params["seeds"]) == 1:
        caveats.append("With one seed nothing is known about what retraining would change.")
    if params["train"]["max_epochs"] is not None and _has_epochs(params):
        most = words.counted(params["train"]["max_epochs"], "epoch")
        caveats.append(
            f"Training was capped at {most} (`train.max_epochs`): a look, not what "
            "strategies can do."
        )
    for name, row in summary.items():
        if row["accuracy"] is None:
            caveats.append(
                f"`{name}` {words.escaped(row['status'])}: its loss was no longer finite, so it "
                "has no accuracy here."
            )
    return "\n".join(["## Caveats\n", *(f"- {caveat}" for caveat in caveats)])


def _has_epochs(params: Mapping[str, Any]) -> bool:
    """Whether a strategy is trained, and not solved."""
    return any(section["learner"] == "gradient" for section in params["strategies"].values())


def _of_validation(params: Mapping[str, Any]) -> str:
    """What validation accuracies are worth."""
    if not params["train"]["validation_fraction"]:
        return (
            "Nothing was set aside to validate on: the last epoch is kept, whatever it is worth, "
            "and probabilities are as they came out of training."
        )
    if not _has_epochs(params):
        return "No strategy has epochs of which validation images would choose one."
    optimistic = (
        "Validation accuracy is that of each seed's best epoch, hence optimistic; test "
        "accuracy is not."
    )
    if len(params["strategies"]) == 1:
        return optimistic
    return f"{optimistic} The more epochs a strategy has, the more so."


def _majority(results: Results) -> Iterator[str]:
    """Where one answer to everything is right about as often as the strategy to use."""
    best, control = results.recommended, results.comparison["controls"].get("majority")
    if best is None or control is None:
        return
    own, always = results.summary[best], control["accuracy"]
    if always is None or own["accuracy_low"] is None or always < own["accuracy_low"]:
        return
    most = max(results.counts, key=lambda row: int(row["train"]))
    tested = sum(int(row["test"]) for row in results.counts)
    share = int(most["test"]) / tested
    classes = results.numbers[best]["classes"]
    worst = min(classes, key=lambda name: (classes[name]["recall"] or 0, classes[name]["support"]))
    recall, support = classes[worst]["recall"] or 0, classes[worst]["support"]
    ends = words.interval(*wilson(recall * support, support, results.comparison["confidence"]))
    yield (
        f"Always answering {words.escaped(most['class'])}, the class of {words.percent(share)} of "
        f"the test images, is right in {words.percent(always)}: `{best}` with "
        f"{words.percent(own['accuracy'])} (interval "
        f"{words.interval(own['accuracy_low'], own['accuracy_high'])}) is not shown to do better. "
        f"Look at the balanced accuracy, {words.with_interval(own, 'balanced_accuracy')}, and at "
        f"each class: of {words.escaped(worst)}, {words.counted(support, 'test image')}, it "
        f"recognises {words.percent(recall)} (interval {ends})."
        f"{_not_weighted(results)}"
    )


def _not_weighted(results: Results) -> str:
    """What could be tried against a class that is too frequent."""
    if results.params["train"]["class_weights"] != "none":
        return ""
    return " With `train.class_weights=balanced` training counts each class the same."


SHORT: Mapping[Short, str] = {
    "seeds": "**Too few seeds** to tell {names} from `{best}`: {seeds} alone leave {open_seeds} of "
    "the difference open, the test images {open_images}. More seeds (`seeds` in `conf/`) would "
    "decide it, more images would not.",
    "images": "**Too few test images** to tell {names} from `{best}`: the images alone leave "
    "{open_images} of the difference open. More seeds would not decide it.",
    "both": "**Too few seeds and too few test images** to tell {names} from `{best}`: {seeds} "
    "alone leave {open_seeds} of the difference open, the images {open_images}.",
}
"""Of strategies that are further from the recommended one than `compare.margin`."""


def _too_few(results: Results) -> Iterator[str]:
    """What keeps large differences from being told apart."""
    best = results.recommended
    if best is None:
        return
    others = [name for name in those_finished(results) if name != best]
    pairs = [between(results.comparison, best, name) for name in others]
    for lacking, says in SHORT.items():
        if open_ones := [pair for pair in pairs if pair["short"] == lacking]:
            yield says.format(
                best=best,
                names=words.listed(pair["second"] for pair in open_ones),
                seeds=words.counted(results.comparison["seeds"], "seed"),
                open_seeds=_open([pair["seeds_half"] for pair in open_ones]),
                open_images=_open([pair["images_half"] for pair in open_ones]),
            )


def _open(halves: Sequence[float]) -> str:
    """Such as `6.1 points to either side`, or the ends of several."""
    low, high = (words.points(end) for end in (min(halves), max(halves)))
    return f"{low} to either side" if low == high else f"{low.split()[0]} to {high} to either side"


def _devices(results: Results) -> Iterator[str]:
    """Where some strategies were trained on another kind of device than others."""
    if len({fact["device"] for fact in results.facts.values()}) > 1:
        yield (
            "The strategies were trained on different kinds of device: "
            f"{words.escaped(shared_by(results, 'device'))}. Rounding differs there, so a small "
            "difference between two of them may be the devices', and their seconds do not compare. "
            "To train all on one, there: `dvc repro -f -s train`, then `dvc repro`."
        )


def _about_weights(results: Results) -> list[str]:
    """What the starting weights may already know."""
    backbone, dataset = results.params["backbone"], results.params["dataset"]
    if backbone["weights"] == "none":
        return ["The backbone starts from random weights everywhere: nothing was transferred."]
    if backbone["weights"] == "source":
        task = _source_task(backbone["source"]["dataset"], dataset)
        return [f"The starting weights come from a source task inside the pipeline: {task}."]
    file = results.weights_file
    if file and (learned := file.get("source_dataset")):
        return [f"The starting weights come from a source task: {_source_task(learned, dataset)}."]
    return [_may_have_seen(results)] if dataset["imagenet"] is not None else []


def _source_task(source: Mapping[str, Any], dataset: Mapping[str, Any]) -> str:
    """What the weights were trained on, and which of it is asked about here again."""
    drawn = source["textures"]
    if drawn is None:
        return words.escaped(source["name"])
    own = (dataset["textures"] or {"classes": []})["classes"]
    both = [words.escaped(name) for name in drawn["classes"] if name in own]
    apart = (
        f"{words.listed(both, '')} of them also {words.agreeing(len(both), 'a class', 'classes')} "
        "here"
        if both
        else "none of them a class here"
    )
    return (
        f"{words.counted(len(drawn['classes']), 'drawn class', 'drawn classes')} "
        f"({words.listed(map(words.escaped, drawn['classes']), '')}; {apart}), "
        f"{words.counted(drawn['train_per_class'], 'training image')} of each"
    )


def _may_have_seen(results: Results) -> str:
    """A warning about test images whose classes are also classes of ImageNet-1k."""
    known = results.params["dataset"]["imagenet"]
    classes = "; ".join(
        f"{words.escaped(name)}: {words.listed(indices, '')}"
        for name, indices in list(known.items())[:CLASSES]
    )
    classes += f"; and {len(known) - CLASSES} more" if len(known) > CLASSES else ""
    random = [
        name
        for name, section in results.params["strategies"].items()
        if section.get("start") == "random"
    ]
    starts = words.agreeing(len(random), "starts", "start")
    spared = f" {words.listed(random)} {starts} from random weights and cannot." if random else ""
    return (
        f"ImageNet-1k has the classes that are asked about here ({classes}): a backbone pretrained "
        "on ImageNet may have seen these very images, test images included."
        f"{spared} What transfer is worth here is therefore an upper bound for images that no "
        f"backbone has seen.{_own_head(results)}"
    )


def _own_head(results: Results) -> str:
    row = results.comparison["controls"].get("imagenet_head")
    return (
        f" Its own head, which saw none of this training, reaches {words.percent(row['accuracy'])}."
        if row
        else ""
    )
