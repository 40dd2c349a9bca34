"""Every file that a report is made of, opened and checked before anything is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from ..data.images import Classes, Images, load_images, read_classes
from ..evidence.records import Comparison, Line, Numbers
from ..pipeline.files import file_hash, read_csv, read_json, read_rows
from ..pipeline.makers import unreadable
from ..pipeline.shapes import short
from ..prediction.reading import read_history, read_predictions, read_tables
from ..prediction.sample import in_figures
from ..settings.changes import differences, override_value
from ..training.records import Facts
from .label_errors import candidates
from .results import Alike, Archive, Doubts, Results, Start, WeightsFile
from .tables import learning_rows

ROWS_SHOWN = 20  # of a long list
DOUBTS_SHOWN = 10  # in a figure and a table
PICTURES = ("before", "after", "maps", "views")


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What figures are made of, beside the results."""

    classes: Sequence[str]
    predictions: Mapping[str, pd.DataFrame]  # by strategy
    histories: Mapping[str, pd.DataFrame]
    learned: Sequence[Mapping[str, Any]]  # see `tables.learning_rows`
    pictures: Mapping[str, Mapping[str, np.ndarray]]  # of strategies that predicted something
    test: Images
    doubted: Sequence[np.ndarray]  # the first images of `Results.doubts`, uint8 [H, W, 3]
    samples: Path


def read_tables_of(root: Path, results: Results) -> Tables:
    """Read what figures are made of.

    Args:
        root: Checkout that holds data/, predictions/ and runs/.
        results: Of the same run.

    Raises:
        ValueError: A file is damaged, or of another run.
    """
    names, classes = list(results.params["strategies"]), read_classes(root)
    predictions = read_tables(root / "predictions", names, classes)
    test = load_images(root / "data/processed/test", classes)
    known, shown = set(test.ids), len(in_figures(len(test)))
    for name, table in predictions.items():
        for id in table["id"]:
            if id not in known:
                expected = "ids of data/processed/test/manifest.csv"
                raise unreadable(root / f"predictions/{name}.csv", expected, short(id))
    return Tables(
        classes=classes,
        predictions=predictions,
        histories={name: read_history(root / f"runs/{name}/history.csv") for name in names},
        learned=learning_rows(root, results.params, results.counts, classes, predictions),
        pictures={
            name: read_pictures(root / f"predictions/pictures/{name}.npz", shown)
            for name, table in predictions.items()
            if len(table)
        },
        test=test,
        doubted=_doubted(root, results.doubts, test, classes),
        samples=_whole_picture(root / "data/processed/samples.png"),
    )


def _doubted(root: Path, doubts: Doubts, test: Images, classes: Sequence[str]) -> list[np.ndarray]:
    """The images of the clearest doubts, wherever they lie."""
    shown, known = [it.id for it in doubts.found[:DOUBTS_SHOWN]], [test]
    if not set(shown) <= set(test.ids):
        known.append(load_images(root / "data/processed/train", classes))
    places = {id: (images, place) for images in known for place, id in enumerate(images.ids)}
    for id in shown:
        if id not in places:
            expected = "ids of data/processed"
            raise unreadable(root / "predictions/cross_validation", expected, short(id))
    return [images[place] for images, place in map(places.__getitem__, shown)]


def read_doubts(
    root: Path, params: Mapping[str, Any], name: str | None, classes: Sequence[str]
) -> Doubts:
    """What a strategy's models say of images that they did not train on: all, where it was
    cross-validated, else the test images.
    """
    crossed = name in params["cross_validation"]["strategies"]
    if name is None:
        return Doubts(images=0, cross_validated=False, found=())
    folder = root / ("predictions/cross_validation" if crossed else "predictions")
    table = read_predictions(folder / f"{name}.csv", classes)
    found = candidates(table)
    return Doubts(images=table["id"].nunique(), cross_validated=crossed, found=found)


def read_pictures(path: Path, images: int) -> dict[str, np.ndarray]:
    """What evaluation kept of one model for figures; see `prediction.shown`.

    Args:
        path: Of the npz file.
        images: Number of test images in figures.

    Raises:
        ValueError: It is damaged, or of other images.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            found = {name: file[name] for name in PICTURES}
    except Exception as error:  # there are half a dozen kinds of damage
        expected = f"the arrays {', '.join(PICTURES)}"
        raise unreadable(path, expected, short(type(error).__name__)) from error
    for name in ("before", "after"):
        if len(found[name]) != images:
            raise unreadable(path, f"{images} rows of {name}", str(len(found[name])))
    if len(found["maps"]) not in (0, images):
        raise unreadable(path, f"{images} maps or none", str(len(found["maps"])))
    return found


def _whole_picture(path: Path) -> Path:
    """The path, of a PNG that decodes."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
    except Exception as error:  # Pillow's words for damage are many
        raise unreadable(path, "a PNG that decodes", short(type(error).__name__)) from error
    return path


def read_results(
    root: Path, params: Mapping[str, Any], defaults: Mapping[str, Any], baseline: str | None
) -> Results:
    """Read what the Markdown is made of; see `write.write_report`."""
    names, processed = list(params["strategies"]), root / "data/processed"
    classes, weights = read_classes(root), root / "data/weights"
    start = read_json(weights / "start.json", Start)
    facts = {name: read_json(root / f"runs/{name}/facts.json", Facts) for name in names}
    for name in names:
        require_same(
            name, facts[name], {**params, "classes": classes, "start_sha256": start["sha256"]}
        )
    summary = read_json(root / "metrics/summary.json", dict[str, Line])
    if list(summary) != names:
        raise ValueError(
            f"metrics/summary.json: expected {names}, got {list(summary)}. Run: dvc repro compare"
        )
    done = [name for name, line in summary.items() if line["accuracy"] is not None]
    comparison = _comparison(root / "metrics/comparison.json", done)
    best = comparison["recommended"]
    return Results(
        params=params,
        defaults=defaults,
        baseline=baseline,
        params_sha256=file_hash(root / "params.yaml"),
        summary=summary,
        numbers=_numbers(root / "metrics/numbers.json", done),
        comparison=comparison,
        facts=facts,
        counts=_counts(processed / "class_counts.csv"),
        skipped=read_csv(processed / "skipped.csv", ("id", "reason")),
        alike=read_alike(root / "data/splits/near_duplicates.csv"),
        doubts=read_doubts(root, params, best and best["strategy"], classes),
        contrast=read_json(processed / "classes.json", Classes).get("contrast"),
        archive=read_json(root / "data/raw/archive.json", Archive),
        start=start,
        weights_file=read_json(weights / "file.json", WeightsFile | None),
    )


def _numbers(path: Path, done: Sequence[str]) -> dict[str, Numbers]:
    """Of the strategies that finished."""
    found = read_json(path, dict[str, Numbers])
    if list(found) != list(done):
        raise unreadable(path, f"the strategies {', '.join(done)}", short(", ".join(found)))
    return found


def _comparison(path: Path, done: Sequence[str]) -> Comparison:
    """Of the strategies that finished, each with each."""
    found = read_json(path, Comparison)
    pairs = {frozenset((pair["first"], pair["second"])) for pair in found["pairs"]}
    if pairs != set(map(frozenset, combinations(done, 2))):
        said = ", ".join(" and ".join(sorted(pair)) for pair in pairs)
        raise unreadable(path, f"every pair of {', '.join(done) or 'none'}", short(said))
    best = found["recommended"]
    front = [*found["front"]["operations"], *found["front"]["trainable_parameters"]]
    named = [*((best["strategy"],) if best else ()), *front]
    named += [best["best_validation"]] if best and best["best_validation"] else []
    named += [*found["best"], *found["may_be_best"]]
    if strangers := [name for name in named if name not in done]:
        raise unreadable(path, f"strategies of {', '.join(done)}", short(strangers[0]))
    return found


def read_defaults(path: Path) -> dict[str, Any]:
    """What the parameters are compared with; nothing where the file is not there or is damaged, for
    no number depends on it.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("strategies"), dict) else {}


def _counts(path: Path) -> list[dict[str, str]]:
    """Images of each class, as whole numbers."""
    rows = read_csv(path, ("class", "train", "test"))
    if not rows:
        raise unreadable(path, "a class", "none")
    for row in rows:
        for split in ("train", "test"):
            if not row[split].isdecimal():
                raise unreadable(path, f"a whole number as {split}", short(row[split]))
    return rows


def read_alike(path: Path) -> Alike:
    """Count the images that look like another one, and keep the first that matter.

    The table has a row for each but the first of a group.

    Raises:
        ValueError: It is damaged.
    """
    rows = read_rows(path)
    header = next(rows)
    needed = ("id", "other", "split", "other_split", "distance")
    if lacking := [name for name in needed if name not in header]:
        raise unreadable(path, f"a column {lacking[0]}", short(", ".join(header)))
    images, across, contrary, resembling = [0] * 4
    kept: dict[bool, list[dict[str, str]]] = {True: [], False: []}
    for cells in rows:
        row = dict(zip(header, cells, strict=True))
        two_labels = row.get("label") != row.get("other_label")
        two_splits = row["split"] != row["other_split"]
        same = row.get("identical") == "yes"
        images, across = images + 1, across + two_splits
        contrary, resembling = (
            contrary + (two_labels and same),
            resembling + (two_labels and not same),
        )
        if (two_labels or two_splits) and len(kept[two_labels]) < ROWS_SHOWN:
            kept[two_labels].append(row)
    shown = [*kept[True], *kept[False]][:ROWS_SHOWN]
    return Alike(
        images=images, across=across, contrary=contrary, resembling=resembling, shown=shown
    )


def require_same(name: str, facts: Facts, now: Mapping[str, Any]) -> None:
    """Refuse a model that was trained with other parameters, on other classes or from other weights
    than those of now.

    Args:
        name: Key of the strategy.
        facts: Its `facts.json`.
        now: `params.yaml` with two more keys, `classes` and `start_sha256`.
    """
    data = {"classes": facts["classes"], "start_sha256": facts["start_sha256"]}
    used = {**facts["params"], **data}
    expected = {key: now["strategies"][name] if key == "strategy" else now.get(key) for key in used}
    for key, before, after in differences(used, expected):
        says = "data/ has" if key in data else "params.yaml says"
        old, new = override_value(before), override_value(after)
        raise ValueError(
            f"Model '{name}' was trained with {key}={old} but {says} {new}. Run: dvc repro "
            f"-f -s train@{name}"
        )
