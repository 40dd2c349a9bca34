"""The command that sets experiments side by side, by the statistics that compare strategies."""

import re
import tempfile
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..params.reading import load_params
from ..pipeline.files import read_json
from ..pipeline.places import checkout
from ..pipeline.terminal import printable
from ..revisions.files import Revision, read_yaml

if TYPE_CHECKING:  # statistics and figures take seconds, which no other command shall wait for
    from ..revisions.entries import Entry

NAME = re.compile(r"[\w./@{}~^-]+")
SHARED = ("params.yaml", "data/processed/classes.json", "data/processed/test/manifest.csv")


def compare_arguments(parser: ArgumentParser) -> None:
    """What `transferlab compare` takes."""
    parser.add_argument(
        "experiments", nargs="+", metavar="EXP", help="experiment, commit, branch, or workspace"
    )
    parser.add_argument(
        "--strategy", nargs="+", metavar="NAME", help="of each; else its recommended one"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="else reports/compare")
    parser.add_argument("--force", action="store_true", help="replace files there")


def compare(
    *,
    experiments: Sequence[str],
    strategy: Sequence[str] | None,
    out: Path | None,
    force: bool,
) -> None:
    """Set experiments side by side: the same statistics on the same test images, the same report.

    Args:
        experiments: Names of experiments, commits or branches; `workspace` for the files here.
        strategy: Whose predictions are taken of each; None: those of its recommended one.
        out: Where the report goes; None: reports/compare.
        force: Whether files there may be replaced.

    Raises:
        ValueError: Nothing to compare, other test images or classes, or no place for the report.
    """
    _require_names(experiments)
    root = checkout()
    folder = root / "reports/compare" if out is None else out
    _require_free(folder, force)
    settings = load_params(root / "params.yaml").compare
    with tempfile.TemporaryDirectory(prefix="transferlab-compare-") as place:
        entries = [
            entry
            for number, name in enumerate(experiments)
            for entry in _entries(Revision(root, name, Path(place) / str(number)), strategy)
        ]
        if len(entries) < 2:
            raise ValueError(
                "compare: expected two or more to compare, got one. Name another experiment, "
                "workspace for the files here, or two strategies: --strategy probe frozen"
            )
        from ..revisions import side_by_side

        answer = side_by_side.write(folder, entries, settings)
    print(printable(answer))
    print(printable(f"The report is at {folder / 'report.md'}"))


def _require_names(names: Sequence[str]) -> None:
    for name in names:
        if not NAME.fullmatch(name) or name.startswith("-"):
            raise ValueError(f"{name!r}: expected the name of an experiment, a commit or a branch.")
        if names.count(name) > 1:
            raise ValueError(f"{name}: expected every experiment once.")


def _require_free(folder: Path, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder, got a file.")
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"{folder}: there are files. Replace them with --force, or name --out.")


def _entries(revision: Revision, wanted: Sequence[str] | None) -> list["Entry"]:
    """What of an experiment is compared, its files read."""
    folder = revision.bring(SHARED)
    params = read_yaml(folder / "params.yaml")
    names = list(wanted or [_recommended(revision)])
    for name in names:
        if name not in params.get("strategies", ()):
            raise ValueError(
                f"{revision.name}: expected the strategy {name!r}, got "
                f"{', '.join(params.get('strategies', ())) or 'none'}. Choose with --strategy."
            )
    return [_entry(revision, name, params, len(names) > 1) for name in names]


def _recommended(revision: Revision) -> str:
    path = revision.bring(["metrics/comparison.json"]) / "metrics/comparison.json"
    found = read_json(path)["recommended"]
    if found is None:
        raise ValueError(f"{revision.name}: expected a recommended strategy; none finished there.")
    return str(found["strategy"])


def _entry(revision: Revision, name: str, params: Mapping[str, Any], several: bool) -> "Entry":
    from ..revisions.entries import Entry, read_entry

    tables = [f"predictions/{kind}{name}.csv" for kind in ("", "validation/", "tta/")]
    folder = revision.bring([f"runs/{name}/facts.json", f"runs/{name}/costs.json", *tables])
    label = f"{revision.name}/{name}" if several else revision.name
    try:
        found: Entry = read_entry(folder, label, name, params)
    except ValueError as error:
        raise ValueError(f"{revision.name}: {error}") from error
    return found
