"""The card of a model: what it is, what is known of it, where it ends, and where it comes from."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..evidence.intervals import wilson
from ..params.backbone import ships
from ..pipeline.files import read_csv, read_json
from ..report import words
from .model import Facts, Known

FILES = {
    "archive": "data/raw/archive.json",
    "start": "data/weights/start.json",
    "comparison": "metrics/comparison.json",
    "numbers": "metrics/numbers.json",
    "summary": "metrics/summary.json",
    "counts": "data/processed/class_counts.csv",
    "alike": "data/splits/near_duplicates.csv",
}
"""What the card reads beside the model."""

CONFIDENCE = 0.95


def files_of(root: Path, facts: Facts) -> dict[str, Any] | None:
    """What a checkout knows of the training that made a model; None where it is not its own."""
    trained = root / f"runs/{facts.strategy}/facts.json"
    paths = [trained, *(root / path for path in FILES.values())]
    if not all(path.is_file() for path in paths):
        return None
    if read_json(trained)["seeds"].get(str(facts.seed), {}).get("key") != facts.key:
        return None
    return {
        name: read_json(root / path) if path.endswith(".json") else read_csv(root / path)
        for name, path in FILES.items()
    }


def card(facts: Facts, files: Mapping[str, Any] | None, exported: Sequence[str]) -> str:
    """The card as Markdown.

    Args:
        facts: Of the model.
        files: Of `files_of`; without them the card says only what the model's own file does.
        exported: Sentences about the file that it lies beside.
    """
    parts = [
        f"# {words.escaped(facts.strategy)} on {words.escaped(facts.dataset)}",
        _what(facts),
        *exported,
        "## What is known of it",
        _own_numbers(facts),
    ]
    if files is not None:
        parts += [*_numbers(facts, files), *_data(files)]
    parts += ["## Limits", *_limits(facts)]
    parts += ["## May it have seen its test images?", _contamination(files)]
    parts += ["## Licences", LICENCES]
    parts += ["## Where it comes from", _provenance(facts, files)]
    return "\n\n".join(parts) + "\n"


def _what(facts: Facts) -> str:
    classes = words.listed(map(words.escaped, facts.classes), "")
    return (
        f"Tells {classes} apart, one label a picture: `{facts.backbone}`, "
        f"{words.escaped(facts.title)}; seed {facts.seed}, which "
        f"{'validated best' if facts.known.validation_images else 'is the first'}."
    )


def _own_numbers(facts: Facts) -> str:
    known, unsure = facts.known, facts.unsure
    low, high = wilson(known.test_right, known.test_images, CONFIDENCE)
    nothing = "No probability was high enough, so every answer is unsure."
    if not known.validation_images:
        nothing = (
            "Nothing was set aside to validate on: its probabilities are not calibrated, and every "
            "answer is unsure, since no threshold could be chosen."
        )
    said = (
        nothing
        if unsure.threshold is None
        else f"An answer below a calibrated probability of {unsure.threshold:.4g} is unsure: of "
        f"{unsure.predictions} predictions about validation images {unsure.answered} were not, "
        f"{unsure.wrong} of these wrong. Of the test images it answers {known.test_answered}, "
        f"{known.test_answered_right} of them right."
    )
    return (
        f"This very model has {known.test_right} of {known.test_images} test images right "
        f"({words.percent(known.test_right / known.test_images)}, 95 % interval "
        f"{words.interval(low, high)}, over images){_validated(known)}. No test image trained it "
        f"or chose its seed; they only say which strategies may be the best.\n\n{said}"
    )


def _validated(known: Known) -> str:
    if known.validation_accuracy is None:
        return ""
    share = words.percent(known.validation_accuracy)
    return f", and {share} of the {known.validation_images} validation images that chose it"


def _numbers(facts: Facts, files: Mapping[str, Any]) -> Iterator[str]:
    line, numbers = files["summary"][facts.strategy], files["numbers"][facts.strategy]
    measures = numbers["measures"]
    seeds = words.counted(line["seeds"], "training")
    yield (
        f"`{facts.strategy}`, mean of {seeds} with {100 * files['comparison']['confidence']:g} % "
        f"intervals over images: accuracy {words.percent(line['accuracy'])} "
        f"({words.interval(line['accuracy_low'], line['accuracy_high'])}), macro F1 "
        f"{words.with_ends(measures['macro_f1'])}, calibration error "
        f"{words.with_ends(measures['ece_scaled'])} after the temperature "
        f"{facts.temperature:.3g} that its answers carry."
    )
    rows = [
        (
            words.escaped(name),
            words.number(row["precision"]),
            words.number(row["recall"]),
            words.number(row["f1"]),
            str(row["support"]),
        )
        for name, row in numbers["classes"].items()
    ]
    yield words.table(("class", "precision", "recall", "F1", "test images"), rows, left=(0,))
    controls = [
        f"`{name}` {words.percent(row['accuracy'])} right"
        for name, row in files["comparison"]["controls"].items()
    ]
    yield f"Controls, which nothing was trained for: {words.listed(controls, '')}."


def _data(files: Mapping[str, Any]) -> Iterator[str]:
    rows = [(words.escaped(row["class"]), row["train"], row["test"]) for row in files["counts"]]
    yield "## Data"
    yield words.table(("class", "training and validation images", "test images"), rows, left=(0,))
    pairs = files["alike"]
    across = sum(row["split"] != row["other_split"] for row in pairs)
    yield (
        f"{words.counted(len(pairs), 'pair')} of images look the same, {across} of them with one "
        "in training and the other in the test."
        if pairs
        else "No two images were found to look the same."
    )


def _limits(facts: Facts) -> Iterator[str]:
    how = facts.pictures.preprocessing
    sides = "both sides are" if how.resize == "squash" else "the shorter side is"
    yield (
        "- It answers every picture with one of its classes, also one that shows none of them; "
        "unsure does not mean foreign, and sure does not mean that it is not."
    )
    yield (
        "- The numbers are about images of the same kind as the test images. Other cameras, other "
        "places and other shares of the classes change them."
    )
    yield (
        f"- It sees the middle of a picture: {sides} brought to {how.resize_px} px, "
        f"and a square of {how.crop_px} px cut out."
    )


def _contamination(files: Mapping[str, Any] | None) -> str:
    if files is None:
        return "Not known here: the files of its training are not at hand."
    start = files["start"]
    weights = f"Its backbone started from the weights {words.escaped(start['weights'])!r}."
    if start["weights"] in ("none", "source") or ships(start["backbone"], start["weights"]):
        return f"{weights} They saw no photograph."
    head = files["comparison"]["controls"].get("imagenet_head")
    if head is None:
        return (
            f"{weights} Whether what they were trained on holds test images is not known; where "
            "the classes are ImageNet's too, it may."
        )
    return (
        f"{weights} Their own ImageNet head, not trained here, recognises "
        f"{words.percent(head['accuracy'])} of the test images: the classes are ImageNet's too, "
        "and the backbone may have seen these very images. For images that it has not seen, expect "
        "less."
    )


LICENCES = (
    "The code that made it is under Apache-2.0, torchvision's code under BSD-3-Clause. Weights "
    "that were trained on ImageNet come from images whose terms allow research that is not "
    "commercial; what that means for weights is not settled. The licence of the images is recorded "
    "nowhere: ask whoever gave them to you before you pass the model on."
)


def _provenance(facts: Facts, files: Mapping[str, Any] | None) -> str:
    rows = [
        ("training", f"`{facts.key}`"),
        ("tensors, sha256", f"`{facts.tensors_sha256}`"),
        ("starting weights, sha256", f"`{facts.start_sha256}`"),
        ("device", words.escaped(facts.device)),
        ("versions", words.escaped(", ".join(f"{k} {v}" for k, v in facts.versions.items()))),
    ]
    if files is not None:
        archive, start = files["archive"], files["start"]
        rows += [
            ("images", f"{words.escaped(archive['name'])} from {words.escaped(archive['origin'])}"),
            ("images, sha256", f"`{archive['sha256']}`"),
            ("images, sha256 of the contents", f"`{archive['contents_sha256']}`"),
            ("weights", f"{words.escaped(start['weights'])}: {words.escaped(start['origin'])}"),
        ]
    return words.table(("what", "value"), rows, left=(0, 1))
