"""The command that makes a recorded run again and compares."""

import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import yaml

from ..pipeline.places import checkout
from ..pipeline.terminal import printable
from ..revisions import again
from .doctor import history
from .running import expect_history

RECORD = ("params.yaml", "metrics/summary.json")


def verify_arguments(parser: ArgumentParser) -> None:
    """What `transferlab verify` takes."""
    parser.add_argument(
        "example", nargs="?", type=Path, metavar="FOLDER", help="an example; else the last commit"
    )
    parser.add_argument(
        "--strategy", nargs="+", metavar="NAME", help="make only these again; else all"
    )
    parser.add_argument(
        "--tolerance", type=float, default=2.0, metavar="POINTS", help="of accuracies; 2"
    )


def verify(*, example: Path | None, strategy: Sequence[str] | None, tolerance: float) -> None:
    """Make a recorded run again in a copy, and compare the accuracies.

    Args:
        example: A folder with params.yaml and metrics/; None: the results of the last commit.
        strategy: Which of its strategies are made again; None: the whole run.
        tolerance: Points by which an accuracy may differ.

    Raises:
        ValueError: There is no record, it lacks a strategy, a stage failed, or an accuracy differs
            by more.
    """
    if not 0 <= tolerance <= 100:
        raise ValueError(f"--tolerance: expected points from 0 to 100, got {tolerance:g}.")
    root = checkout()
    expect_history(root)
    if history.edited(root, "."):
        print("verify: the last commit is run; edits that it does not hold are not.")
    with tempfile.TemporaryDirectory(prefix="transferlab-verify-") as place:
        copy = again.clone(root, Path(place) / "copy")
        recorded = copy if example is None else example
        where = "the last commit" if example is None else example
        whole = _record(recorded, where)
        before = whole if strategy is None else again.only(whole, strategy, where)
        if example is None:
            again.take_given(root, copy)
        else:
            again.compose(copy, recorded / "params.yaml")
        after = _made(copy, None if strategy is None else list(before.accuracies))
        stages = list(yaml.safe_load((copy / "dvc.yaml").read_text("utf-8"))["stages"])
    rest = _where(before, after, stages) + ("" if strategy is None else _left(whole, before))
    if found := "; ".join(again.problems(before, after, tolerance / 100)):
        raise ValueError(printable(f"verify: {found}. {rest}"))
    what = "every accuracy is" if strategy is None else "each accuracy that was compared is"
    most = 100 * again.largest(before, after)
    print(
        printable(
            f"verify: {what} as recorded (largest difference {most:.2g} points, {tolerance:g} are "
            f"allowed). {rest}"
        )
    )


def _record(folder: Path, where: object) -> again.Record:
    for name in RECORD:
        if not (folder / name).is_file():
            raise ValueError(
                f"{where}: expected {' and '.join(RECORD)}, found no {name}. Name the folder of an "
                "example, or run the pipeline and commit its results."
            )
    return again.read_record(folder)


def _made(copy: Path, strategies: Sequence[str] | None) -> again.Record:
    """What a copy's run comes to, or that of some strategies, which ends before any comparison."""
    if strategies is None:
        again.rerun(copy)
        return again.read_record(copy)
    again.rerun(copy, [f"evaluate@{name}" for name in strategies])
    from ..revisions.entries import accuracy_of, read_entry  # statistics take seconds

    entries = [read_entry(copy, name, name, {}) for name in strategies]
    return again.Record(
        accuracies={entry.strategy: accuracy_of(entry) for entry in entries},
        outputs=again.read_outputs(copy),
    )


def _where(before: again.Record, after: again.Record, stages: list[str]) -> str:
    if before.outputs is None:
        return "Which stage differs cannot be told: the record has no dvc.lock."
    stage = again.first_difference(before, after, stages)
    if stage is None:
        return "All outputs up to the predictions have the same bytes."
    return (
        f"The first stage whose outputs have other bytes is {stage}: another machine, number of "
        "threads, version or code."
    )


def _left(whole: again.Record, made: again.Record) -> str:
    others = [name for name in whole.accuracies if name not in made.accuracies]
    said = ", ".join([*others, "controls", "cross-validation", "learning curves"])
    return (
        f" Not made again and not compared: {said}, and what rests on all strategies: pairs, "
        "the recommendation."
    )
