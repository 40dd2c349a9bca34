"""The report's first paragraph: which strategy, how sure, at what cost."""

from ..evidence.records import between
from . import words
from .results import Findings, confidence_of, shared_by, those_finished


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
    return (
        f"**Use `{best}`**: {_reason(results, best)}. It recognises "
        f"{_measured(results, best)}; "
        f"{_told_apart(results, best)}. {_price(results, best)}"
    )


def _reason(results: Findings, best: str) -> str:
    found, finished = results.comparison["recommended"], those_finished(results)
    assert found is not None
    top = found["best_validation"]
    validated = (
        "the highest validation accuracy "
        f"({words.percent(results.summary[top]['validation_accuracy'])}, mean of "
    )
    validated += f"{words.counted(results.summary[top]['seeds'], 'seed')}{_tie(results, top)})"
    rank = (
        f"of {words.counted(len(finished), *results.kind)}"
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


def _tie(results: Findings, top: str) -> str:
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


def _measured(results: Findings, name: str) -> str:
    row = results.summary[name]
    images = words.counted(row["images"], "held-out test image")
    return (
        f"{words.percent(row['accuracy'])} of the {images} "
        f"({confidence_of(results)} interval "
        f"{words.interval(row['accuracy_low'], row['accuracy_high'])})"
    )


def _told_apart(results: Findings, best: str) -> str:
    few = f"{words.counted(results.comparison['seeds'], 'seed')}"
    says = {
        "better": "better than ",
        "worse": "worse than ",
        "images": "with these images indistinguishable from ",
        "seeds": f"with {few} indistinguishable from ",
        "both": f"with these images and {few} indistinguishable from ",
    }
    groups: dict[str, list[str]] = {key: [] for key in says}
    for name in those_finished(results):
        if name != best:
            pair = between(results.comparison, best, name)
            open_ = pair["verdict"] == "indistinguishable"
            groups[(pair["short"] or "images") if open_ else pair["verdict"]].append(name)
    said = [f"{says[key]}{words.listed(names)}" for key, names in groups.items() if names]
    lost = [name for name, row in results.summary.items() if row["accuracy"] is None]
    not_ranked = (
        f"; {words.listed(lost)} diverged and {words.agreeing(len(lost), 'is', 'are')} not ranked"
        if lost
        else ""
    )
    return (f"it is {', '.join(said)}" if said else "nothing else finished") + not_ranked


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
    if dearest == best:
        return f"{said}."
    most = results.summary[dearest]
    return (
        f"{said}; `{dearest}`, the dearest, takes {words.work(most['operations'])}, "
        f"{words.duration(most['train_seconds'])}."
    )
