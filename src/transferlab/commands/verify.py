"""The command that makes a recorded run again and compares."""

import tempfile
from argparse import ArgumentParser
from pathlib import Path

import yaml

from ..pipeline.places import checkout
from ..pipeline.terminal import printable
from ..revisions import again
from .doctor import history
from .running import expect_history


def verify_arguments(parser: ArgumentParser) -> None:
    """What `transferlab verify` takes."""
    parser.add_argument(
        "example", nargs="?", type=Path, metavar="FOLDER", help="an example; else the last commit"
    )
    parser.add_argument(
        "--tolerance", type=float, default=2.0, metavar="POINTS", help="of accuracies; 2"
    )


def verify(*, example: Path | None, tolerance: float) -> None:
    """Make a recorded run again in a copy, and compare the accuracies.

    Args:
        example: A folder with params.yaml and metrics/; None: the results of the last commit.
        tolerance: Points by which an accuracy may differ.

    Raises:
        ValueError: There is no record, a stage failed, or an accuracy differs by more.
    """
    if not 0 <= tolerance <= 100:
        raise ValueError(f"--tolerance: expected points from 0 to 100, got {tolerance:g}.")
    root = checkout()
    expect_history(root)
    folder = Path("." if example is None else example)
    if history.edited(root, "."):
        print("verify: the last commit is run; edits that it does not hold are not.")
    with tempfile.TemporaryDirectory(prefix="transferlab-verify-") as place:
        copy = again.clone(root, Path(place) / "copy")
        recorded = copy if example is None else folder
        params = recorded / "params.yaml"
        if not params.is_file():
            raise ValueError(f"{recorded}: expected params.yaml and metrics/, found none.")
        before = again.read_record(recorded)
        if example is None:
            again.take_given(root, copy)
        else:
            again.compose(copy, params)
        again.rerun(copy)
        after = again.read_record(copy)
        stages = list(yaml.safe_load((copy / "dvc.yaml").read_text("utf-8"))["stages"])
    found = "; ".join(again.problems(before, after, tolerance / 100))
    if found:
        raise ValueError(printable(f"verify: {found}. {_where(before, after, stages)}"))
    most = 100 * again.largest(before, after)
    print(
        f"verify: every accuracy is as recorded (largest difference {most:.2g} points, "
        f"{tolerance:g} are allowed). {_where(before, after, stages)}"
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
