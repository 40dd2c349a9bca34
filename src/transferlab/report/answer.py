"""The report's first paragraph: which strategy, how sure, at what cost."""

from ..evidence.records import Needed, between
from . import words
from .results import Findings, as_cheap, confidence_of, shared_by, those_finished


def answer(results: Findings) -> str:
    """Title, and the answer in three sentences."""
    names = list(results.summary)
    subject = f"{words.escaped(results.dataset)}, {results.params['backbone']['name']}"
    title = (
        f"# `{names[0]}` on {subject}" if len(names) == 1 else f"# Which strategy for {subject}?"
    )
    return f"{title}\n\n{sentences(results)}"


def sentences(results: Findings) -> str:
    """Which, how sure, at what cost."""
    names, best = list(results.summary), results.recommended
    if best is None:
        return f"No {results.kind[0]} finished: {words.listed(names)} diverged. There is no answer."
    if len(names) == 1:
        alone = "It is the only strategy of this run, so nothing is compared."
        return (
            f"**`{best}` recognises {_measured(results, best)}.** {alone} {_price(results, best)}"
        )
    said = [
        f"**Use `{best}`**: {_set(results, best)}.",
        f"It recognises {_measured(results, best)}{_not_ranked(results)}.",
        _few_seeds(results, best),
        _price(results, best),
        further(results),
    ]
    return " ".join(each for each in said if each)


def _set(results: Findings, best: str) -> str:
    """Which may be best, and why it is this one."""
    finished, able = those_finished(results), results.comparison["may_be_best"]
    counted = words.counted(len(finished), *results.kind)
    if len(finished) == 1:
        return f"of {words.counted(len(results.summary), *results.kind)} it alone finished"
    if len(finished) < len(results.summary):
        counted += " that finished"
    sure = f"({confidence_of(results)} confidence)"
    if len(able) == 1:
        return f"of {counted} it alone may be the best {sure}"
    which = f"{len(able)} of {counted} may be the best, {words.listed(able)}"
    if len(able) == len(finished):
        which = f"any of {counted} may be the best"
    cheapest = as_cheap(results)
    if len(cheapest) == 1:
        return f"{which} {sure}, and it is the cheapest of them"
    if results.summary[best]["validation_accuracy"] is None:
        return f"{which} {sure}, and none of them is cheaper"
    return f"{which} {sure}, and of the cheapest, {words.listed(cheapest)}, it validates best"


def _few_seeds(results: Findings, best: str) -> str:
    """One sentence where others than the leading two may be the best for want of seeds."""
    found, leading = results.comparison, results.comparison["needed"]
    told = {best} if leading is None else {best, leading["first"], leading["second"]}
    others = [name for name in those_finished(results) if name not in told]
    short = [it for it in others if between(found, best, it)["short"] in ("seeds", "both")]
    if not short:
        return ""
    seeds = words.counted(found["seeds"], "seed")
    many = words.agreeing(found["seeds"], "is", "are")
    return f"{seeds} {many} too few to rule out {words.listed(short)} (see Caveats)."


def further(results: Findings) -> str:
    """One sentence on what would tell the two apart that recognise most; none where they are."""
    found = results.comparison["needed"]
    if found is None:
        return ""
    first, second = f"`{found['first']}`", f"`{found['second']}`"
    if found["difference"] == 0:
        return f"{first} and {second}, which recognise most, recognise equally many."
    both = (
        f"{first} from {second}, the two that recognise most, by the "
        f"{words.points(found['difference'])} between them"
    )
    power = f"with a power of {words.percent(found['power'], 0)}"
    if found["images"] is not None:
        return f"To tell {both} takes about {_images(found)}, {power}."
    if found["seeds"] is not None:
        seeds = words.counted(results.comparison["seeds"], "seed")
        return (
            f"With {seeds} no number of test images tells {both}; about {found['seeds']:,} seeds "
            f"do, {power}."
        )
    return f"To tell {both} takes both more test images and more seeds."


def _images(found: Needed) -> str:
    """Such as `1,900 test images (600 to 12,000)`, to two digits: it is a plan."""
    assert found["images"] is not None
    low = words.rounded(found["images_low"] or 0)
    high = found["images_high"]
    rest = f"{low} to {words.rounded(high)}" if high is not None else f"{low} or more"
    return f"{words.rounded(found['images'])} test images ({rest})"


def _measured(results: Findings, name: str) -> str:
    row = results.summary[name]
    images = words.counted(row["images"], "held-out test image")
    return (
        f"{words.percent(row['accuracy'])} of the {images} "
        f"({confidence_of(results)} interval "
        f"{words.interval(row['accuracy_low'], row['accuracy_high'])})"
    )


def _not_ranked(results: Findings) -> str:
    lost = [name for name, row in results.summary.items() if row["accuracy"] is None]
    verb = words.agreeing(len(lost), "is", "are")
    return f"; {words.listed(lost)} diverged and {verb} not ranked" if lost else ""


def _price(results: Findings, best: str) -> str:
    """One sentence on what it costs, and what the dearest does."""
    own, device = results.summary[best], words.escaped(shared_by(results, "device"))
    seeds = f"{words.counted(own['seeds'], 'seed')} together" if own["seeds"] > 1 else "one seed"
    said = (
        f"Training it takes {words.work(own['operations'])}, here "
        f"{words.duration(own['train_seconds'])} ({seeds}, {device}), and changes "
        f"{own['trainable_parameters']:,} parameters"
    )
    dearest = max(those_finished(results), key=lambda name: results.summary[name]["operations"])
    if results.summary[dearest]["operations"] == own["operations"]:
        return f"{said}."
    most = results.summary[dearest]
    return (
        f"{said}; `{dearest}`, the dearest, takes {words.work(most['operations'])}, "
        f"{words.duration(most['train_seconds'])}."
    )
