"""The report's tables of classes: what each holds, how well it is recognised, what it is taken for.

Where classes are many, the extremes are shown and the rest stands in a file.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..evidence.records import ClassRow, Numbers
from . import words
from .results import Findings

MANY = 20  # classes in a table
EXTREMES = 10  # of more
CONFUSED = 10  # pairs of classes

COLUMNS = ("strategy", "class", "precision", "recall", "f1", "support")
"""Of `reports/classes.csv`."""


def rows(numbers: Mapping[str, Numbers]) -> Iterator[dict[str, Any]]:
    """Every class of every strategy, as `reports/classes.csv` has it; empty where a ratio does not
    exist.
    """
    for strategy, record in numbers.items():
        for name, found in record["classes"].items():
            shares = {key: _digits(found[key]) for key in ("precision", "recall", "f1")}
            yield {"strategy": strategy, "class": name, **shares, "support": found["support"]}


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def of_classes(results: Findings) -> Iterator[str]:
    """How well the recommended strategy recognises each class, and what it confuses."""
    best = results.recommended
    assert best is not None
    record = results.numbers[best]
    found = sorted(record["classes"].items(), key=_recall) if _many(record) else None
    shown = found[:EXTREMES] if found else list(record["classes"].items())
    lines = [
        [
            words.escaped(name),
            *(words.number(row[key]) for key in ("precision", "recall", "f1")),
            str(row["support"]),
        ]
        for name, row in shown
    ]
    header = (f"`{best}` by class", "precision", "recall", "F1", "test images")
    yield words.table(header, lines, left=(0,))
    if found:
        ends = (words.number(found[place][1]["recall"]) for place in (EXTREMES, -1))
        yield (
            f"These {EXTREMES} of {len(found):,} classes have the lowest recall; the others have "
            f"{_from_to(*ends)} and stand in `reports/classes.csv`."
        )
    if len(record["classes"]) > 2 and record["confusions"]:
        yield _confused(best, record)


def _from_to(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _many(record: Numbers) -> bool:
    return len(record["classes"]) > MANY


def _recall(item: tuple[str, ClassRow]) -> float:
    """A class without test images is no bad one."""
    recall = item[1]["recall"]
    return 1.0 if recall is None else recall


def _confused(best: str, record: Numbers) -> str:
    pairs, classes = record["confusions"][:CONFUSED], record["classes"]
    lines = [
        [
            words.escaped(pair["actual"]),
            words.escaped(pair["predicted"]),
            f"{pair['images']:.3g} of {classes[pair['actual']]['support']}",
        ]
        for pair in pairs
    ]
    header = (f"`{best}` takes", "for", "test images")
    more = ", of which these are most" if len(record["confusions"]) > CONFUSED else ""
    note = (
        f"Images are counted per seed{more}; every pair of every strategy stands in "
        "`reports/confusion.csv`."
    )
    return f"{words.table(header, lines, left=(0, 1))}\n\n{note}"


def counted(counts: Sequence[Mapping[str, str]]) -> list[str]:
    """Images of each class, or of the largest and the smallest classes."""
    if len(counts) <= MANY:
        return [_counts(counts)]
    order = sorted(counts, key=lambda row: -int(row["train"]))
    half = EXTREMES // 2
    note = (
        f"The {half} largest and the {half} smallest of {len(counts):,} classes; the others have "
        f"{_from_to(order[-half - 1]['train'], order[half]['train'])} training images and stand in "
        "`data/processed/class_counts.csv`."
    )
    return [_counts([*order[:half], *order[-half:]]), note]


def _counts(counts: Sequence[Mapping[str, str]]) -> str:
    lines = [(words.escaped(row["class"]), row["train"], row["test"]) for row in counts]
    return words.table(("class", "train", "test"), lines, left=(0,))
