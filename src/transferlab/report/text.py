"""Results -> the Markdown of the report; every number of it stands in a file of the run."""

from collections.abc import Iterator, Sequence

from ..data.ingest.sheet import CLASSES
from ..data.letters import legible
from ..prediction import sample
from . import words
from .answer import answer
from .caveats import caveats
from .classes import counted
from .comparison import numbers_of
from .method import method, provenance, settings
from .opened import DOUBTS_SHOWN, ROWS_SHOWN
from .results import Doubts, Results, confidence_of

CAPTIONS = {
    "accuracy": "Each line is the {confidence} interval of a strategy's mean test accuracy (the "
    "dot), each ring one "
    "seed; upright lines are the controls. Lines that overlap may still belong to strategies that "
    "can be told apart: "
    "the next figure compares them image by image. Pale strategies are shown not to be the best.",
    "verdicts": "Every pair: accuracy of the row less that of the column, in points, with the "
    "{confidence} interval that holds for all pairs at once. Coloured and marked cells are pairs "
    "whose interval excludes 0, which can be told apart; all others are indistinguishable with "
    "these test images and seeds. Pale names are shown not to be the best.",
    "cost": "Further left is cheaper (logarithmic), further up is better; whiskers are the "
    "{confidence} intervals. On "
    "the left the operations that training takes, counted for all seeds together and named with "
    "the time that was measured, on the right the parameters that training may change. A "
    "strategy below the stepped line recognised fewer than one that costs no more; whether the two "
    "can be told apart, their verdict says.",
    "curves": "Above: validation accuracy while training (accuracy in training where nothing was "
    "set aside to validate on), mean of the seeds with their range as a band; the axis "
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
    "diagonal alone. Of more than 16 classes those are shown that are confused most, the "
    "recommended strategy's mistakes first.",
    "features": "What enters the head, for {tested}, laid out in two dimensions by t-SNE "
    "with the same "
    "settings everywhere: for the starting weights, and for the first seed of each strategy that "
    "changed them. Only "
    "neighbourhoods mean something; distances, sizes and places of the clouds do not. The number "
    "beside each name does not depend on the layout: the share of these images whose five nearest "
    "others, by the cosine of the features themselves, vote for their class.",
    "predicted": "A few test images at even distances in the order of their files, which nobody "
    "chose, and what the first seed of each strategy takes them for, with its probability.",
    "gallery": "Test images that tell the strategies apart, nine at most and no fair sample; "
    "beside each strategy the mean probability that its seeds gave to the true class.",
    "attributions": "Where the first seed of `{shown}` saw the class that it predicts (Grad-CAM, "
    "at the last layer "
    "with maps): its surest hits, one of a class, and its surest mistakes{among}, six images at "
    "most. A map shows "
    "where, not why.",
    "views": "Training images as a test would show them, and as `{viewed}` sees them in its first "
    "epochs. Every "
    "strategy draws the same views; those that train on the features of the test view see no "
    "others.",
    "labels": "Images in which the seeds of `{shown}` see another class than their label at least "
    "as clearly as, on average, in the images of that class: first the label and the probability "
    "that it was given, then what it was taken for.",
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
        answer(results),
        numbers_of(results),
        _figures(results, figures),
        _data(results),
        method(results),
        caveats(results),
        settings(results),
        provenance(results),
    ]
    return "\n\n".join(sections) + "\n"


def _figures(results: Results, figures: Sequence[str]) -> str:
    values: dict[str, str | None] = {
        "confidence": confidence_of(results),
        "bins": words.counted(results.params["compare"]["calibration_bins"], "bin"),
    }
    values |= {"shown": results.recommended, "viewed": results.viewed}
    tested = sum(int(row["test"]) for row in results.counts)
    some = f"{sample.FIGURES} of the test images, evenly spread" if tested > sample.FIGURES else ""
    values |= {"tested": some or "every test image", "among": some and f" among {some}"}
    shown = [
        f"![{name}](figures/{name}.png)\n\n{CAPTIONS[name].format(**values)}" for name in figures
    ]
    return "\n\n".join(["## Figures", *shown])


def _data(results: Results) -> str:
    train, test = (sum(int(row[split]) for row in results.counts) for split in ("train", "test"))
    skipped = [(words.escaped(row["id"]), words.escaped(row["reason"])) for row in results.skipped]
    parts = [
        f"## Data\n\n{train:,} training and {words.counted(test, 'test image')} of "
        f"{words.counted(len(results.counts), 'class', 'classes')}.",
        *counted(results.counts),
    ]
    if skipped:
        many = (
            f"{words.counted(len(skipped), 'file')} of the archive "
            f"{words.agreeing(len(skipped), 'is', 'are')}"
        )
        parts += [
            f"{many} not among them:",
            words.table(("file", "reason"), skipped[:ROWS_SHOWN], left=(0, 1)),
        ]
    else:
        parts.append("No file of the archive was left out.")
    if len(skipped) > ROWS_SHOWN:
        parts.append(
            f"and {len(skipped) - ROWS_SHOWN} more, listed in `data/processed/skipped.csv`."
        )
    if grey := results.contrast:
        parts.append(
            f"Of grey images of 16 bits, {grey['black']:,} is black and {grey['white']:,} white: "
            "the range of the training images, for training, test and prediction alike."
        )
    parts += [_alike(results), *_doubtful(results)]
    classes = [row["class"] for row in results.counts]
    of = "each class" if len(classes) <= CLASSES else f"the first {CLASSES} classes"
    samples = f"![training images](figures/samples.png)\n\nTraining images of {of}."
    return "\n\n".join([*parts, samples, *written_otherwise(classes)])


def written_otherwise(classes: Sequence[str]) -> Iterator[str]:
    """Which classes figures write in other letters than theirs."""
    others = {name: other for name in classes if (other := legible(name)) != name}
    if not others:
        return
    some = ", ".join(
        f"{words.escaped(name)} as {words.escaped(other)}"
        for name, other in list(others.items())[:ROWS_SHOWN]
    )
    more = f" and {len(others) - ROWS_SHOWN} more" if len(others) > ROWS_SHOWN else ""
    yield (
        "No font of the machine that drew the figures has all letters of "
        f"{words.counted(len(others), 'class', 'classes')}, which they write otherwise: "
        f"{some}{more}. With fonts of that script (on Debian `fonts-noto-core` and "
        "`fonts-noto-cjk`), `dvc repro -f report` draws them anew."
    )


def _doubtful(results: Results) -> Iterator[str]:
    """Images whose label may be wrong."""
    doubts, best = results.doubts, results.recommended
    if best is None:
        return
    asked = f"{words.counted(doubts.images, 'image')} ({_asked(doubts)})"
    clear = "as clearly as, on average, in the images of that class (confident learning)"
    if not doubts.found:
        yield f"Labels to look at: none of {asked}; `{best}` sees no other class {clear}."
        return
    yield (
        f"Labels to look at: {len(doubts.found):,} of {asked}. There the models of `{best}` see "
        f"another class at least {clear}, which with many classes may be far from sure. A "
        "candidate is an error or a hard image; the clearest "
        f"{words.agreeing(len(doubts.found), 'stands', 'stand')} here, and all in "
        "`reports/label_errors.csv`."
    )
    lines = [
        (
            words.escaped(it.id),
            words.escaped(it.label),
            words.percent(it.label_probability),
            words.escaped(it.suggested),
            words.percent(it.suggested_probability),
        )
        for it in doubts.found[:DOUBTS_SHOWN]
    ]
    header = ("image", "label", "probability", "taken for", "probability")
    yield words.table(header, lines, left=(0, 1, 3))


def _asked(doubts: Doubts) -> str:
    if doubts.cross_validated:
        return "each by models of the other folds"
    return "the test alone; cross-validation (`cross_validation.strategies`) asks about all"


def _alike(results: Results) -> str:
    """What was found of images that look the same."""
    found = results.alike
    if not found.images:
        return (
            "No two images look the same (perceptual hashes, within training and test and across)."
        )
    said = (
        f"{words.counted(found.images, 'image')} "
        f"{words.agreeing(found.images, 'looks', 'look')} like another one (perceptual hashes; the "
        f"first of each group is not counted), {found.across:,} of them like one on the other side "
        "of training and test"
    )
    said += ", which makes the test easier than it should be." if found.across else "."
    if found.contrary:
        have = words.agreeing(found.contrary, "has", "have")
        said += f" **{found.contrary:,} of them {have} two labels**, one of which must be wrong."
    if found.resembling:
        look = words.agreeing(found.resembling, "looks", "look")
        said += f" {found.resembling:,} of them {look} like one of another class: "
        said += "where the two are the same, one label is wrong."
    if not found.shown:
        return said
    rows = [
        (words.escaped(row["id"]), words.escaped(row["other"]), row["distance"])
        for row in found.shown
    ]
    shown = words.table(("image", "looks like", "bits that differ"), rows, left=(0, 1))
    more = "\n\nMore stand in `data/splits/near_duplicates.csv`."
    return f"{said}\n\n{shown}{more if len(rows) == ROWS_SHOWN else ''}"
