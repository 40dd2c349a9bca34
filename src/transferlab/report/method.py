"""The report's second half: how the numbers came about, and how to make them again."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..settings.changes import override_value
from ..training.records import SeedFacts
from . import words
from .command import again, changed_settings, quoted
from .results import Results, WeightsFile, as_cheap, shared_by
from .tuning import budget


def method(results: Results) -> str:
    """How the numbers came about."""
    params, records = (
        results.params,
        [seed for fact in results.facts.values() for seed in fact["seeds"].values()],
    )
    found = results.comparison
    lines = [
        f"**Splits.** Every seed ({words.listed(params['seeds'], '')}) {_splits(params, records)}, "
        "the same for every strategy.",
        f"**Selection.** {_selection(params)}.",
        *_weighted(params),
        *_viewed(results),
        f"**Tuning.** {budget(results)}",
        (
            "**Test.** The test images are evaluated once, with the models that were kept; no "
            "training reads them."
        ),
        "**Intervals.** Over images: Wilson's for shares at the mean over seeds, of the same kind "
        "for means over classes, which a class with few images widens, and a bootstrap of images "
        "for the rest. "
        "Over seeds: Student's. Of differences: images and seeds as crossed samples, "
        f"{found['resamples']:,} draws, on the same images and seeds for both strategies. Other "
        "training images are in none of them.",
    ]
    if len(results.summary) > 1:
        lines += [
            "**Verdicts.** The same draws for all pairs: signs of each image's mean difference "
            "turned at random, and Student's variates for what the seeds add; each statistic is "
            "held against the largest of all pairs, so that any wrong verdict at all has a chance "
            f"of at most {words.percent(1 - found['confidence'], 0)}. Otherwise indistinguishable.",
            "**What may be best.** Every strategy over which no other one leads by more than the "
            "same draws give: the best one is among them with "
            f"{words.percent(found['confidence'], 0)} confidence.",
            "**Recommendation.** The cheapest of those in counted operations of training. The test "
            "images decide what may be best and not which of them is taken; "
            f"{_undecided(results)}.",
            "**Operations.** What is frozen is passed once per view, what trains in every epoch "
            "and at three times the price of a pass (one forward, two back); caches, the solver "
            "of a regression and the optimiser are not counted.",
        ]
    return "\n".join(["## Method\n", *(f"- {line}" for line in lines)])


def _undecided(results: Results) -> str:
    """What has no part in the recommendation."""
    cheapest = as_cheap(results)
    if len(cheapest) < 2:
        return "validation accuracy and measured seconds decide nothing"
    validated = results.summary[cheapest[0]]["validation_accuracy"] is not None
    which = "one that validates best" if validated else "first by name"
    return f"of equally cheap ones the {which} is taken, and measured seconds decide nothing"


def _weighted(params: Mapping[str, Any]) -> list[str]:
    if params["train"]["class_weights"] == "none":
        return []
    return [
        "**Class weights.** In training each class counts the same, however many images it has "
        "(`train.class_weights`); validation and test count images."
    ]


def _viewed(results: Results) -> list[str]:
    """What `views: auto` came to, one number for a whole run."""
    found = {name: facts["views"] for name, facts in results.facts.items() if "views" in facts}
    if not found:
        return []
    views = words.listed([f"{count} in `{name}`" for name, count in found.items()], "")
    return [
        f"**Views.** By the number of training images, `views: auto` came to {views}, in "
        "cross-validation and learning curves as well."
    ]


def _splits(params: Mapping[str, Any], records: Sequence[SeedFacts]) -> str:
    """What a seed does with the training images."""
    fit = words.span((record["fit_images"] for record in records), "image")
    validation = words.span((record["validation_images"] for record in records), "image")
    few, share = params["images_per_class"], params["train"]["validation_fraction"]
    drawn = f"draws {words.counted(few, 'image')} of each class's training images" if few else ""
    if not share:
        said = f"{drawn} and fits them" if few else "fits all training images"
        return f"{said}, {fit}, and sets none aside to validate on"
    whose = "them" if few else "each class's training images"
    aside = f"sets {100 * share:g} % of {whose} aside: {fit} to fit, {validation} to validate"
    return f"{drawn} and {aside}" if few else aside


def _selection(params: Mapping[str, Any]) -> str:
    """What is chosen, and on which images."""
    sections, said = params["strategies"], []
    by = {
        name: section["select_by"] or params["train"]["select_by"]
        for name, section in sections.items()
        if section["learner"] == "gradient"
    }
    for measure, other in (("accuracy", "loss"), ("loss", "accuracy")):
        names = [name for name in by if by[name] == measure]
        if names:
            ties = f"(ties go to the {other})"
            said.append(
                f"the epoch that is kept has the best validation {measure} {ties} in "
                f"{words.listed(names)}"
            )
    last = [name for name in by if by[name] == "last"]
    if last:
        said.append(f"the last epoch is kept in {words.listed(last)}")
    solved = [
        name
        for name, s in sections.items()
        if s["learner"] == "logistic_regression" or s.get("probe")
    ]
    if solved:
        said.append(
            f"C of the logistic regression in {words.listed(solved)} is cross-validated inside "
            "the images it fits"
        )
    mixed = [name for name, section in sections.items() if section.get("interpolate")]
    if mixed:
        said.append(
            f"the share of the trained weights in {words.listed(mixed)} has the best validation "
            "score"
        )
    chosen = "; ".join(said) or "nothing is chosen"
    if params["train"]["validation_fraction"]:
        return f"By validation alone: {chosen}"
    return (
        f"Nothing was set aside to validate on: {chosen}; temperatures are 1 and no threshold for "
        "unsure answers is chosen"
    )


def settings(results: Results) -> str:
    """What differs from the defaults, as overrides, and all of it as one command."""
    if not results.defaults:
        return (
            "## Settings\n\nAll stand in `params.yaml`. What differs from the defaults cannot be "
            "said: `conf/defaults.yaml` was not there. Write it with: transferlab compose"
        )
    changed = changed_settings(results.params, results.defaults)
    if not changed:
        return "## Settings\n\nAll as in `conf/defaults.yaml`."
    # Indented and not fenced: no value can end such a block.
    lines = [
        f"    {key}: {override_value(value)}  (default: {override_value(usual)})"
        for key, usual, value in changed
    ]
    overrides, lost = again(results.params, results.defaults)
    pasted = " \\\n".join(["    dvc exp run", *(f"      -S {quoted(word)}" for word in overrides)])
    return "\n".join(
        [
            "## Settings\n\nThat differ from `conf/defaults.yaml`:\n",
            *(" ".join(line.splitlines()) for line in lines),
            f"\nThe same again, in one command{_but(lost)}:\n",
            pasted,
        ]
    )


def _but(lost: Sequence[str]) -> str:
    """What the command cannot say."""
    if not lost:
        return ""
    return (
        f" (but for {words.listed(lost)}, whose names no command line takes: give it in a file of "
        "`conf/`)"
    )


def provenance(results: Results) -> str:
    """What ran, on what, with which files."""
    archive, start = results.archive, results.start
    rows = [
        ("commit at the start", f"`{results.baseline}`" if results.baseline else "none"),
        ("in MLflow, the tag", f"`transferlab.params_sha256` = `{results.params_sha256}`"),
        ("images", f"{words.escaped(archive['name'])} from {words.escaped(archive['origin'])}"),
        (
            "images, sha256",
            f"`{archive['sha256']}`, verified by {words.escaped(archive['verified_by'])}",
        ),
        ("images, sha256 of the contents", f"`{archive['contents_sha256']}`"),
        (
            "weights",
            (
                f"{words.escaped(start['backbone'])}, {words.escaped(start['weights'])}: "
                f"{words.escaped(start['origin'])}"
            ),
        ),
        ("weights, sha256", f"`{start['sha256']}`"),
        (
            "weights, sha256 of the source file",
            f"`{start['source_file_sha256']}`" if start["source_file_sha256"] else words.NONE,
        ),
        ("weights, from the file", _from_file(results.weights_file)),
        ("device", words.escaped(shared_by(results, "device"))),
        ("threads", shared_by(results, "threads")),
        ("precision", shared_by(results, "precision")),
        ("memory format", words.escaped(shared_by(results, "memory_format"))),
        ("versions", words.escaped(shared_by(results, "versions"))),
    ]
    models = (
        "The hash of every model, and the parameters that made it, stand in "
        "`runs/<strategy>/facts.json`."
    )
    return f"## Provenance\n\n{words.table(('what', 'value'), rows, left=(0, 1))}\n\n{models}"


def _from_file(file: WeightsFile | None) -> str:
    """How the weights came out of a file of others."""
    if file is None:
        return words.NONE
    used = f"{file['tensors_used']} of {file['tensors_held']} tensors of {file['name']}"
    return words.escaped("; ".join([used, *file["undone"]]))
