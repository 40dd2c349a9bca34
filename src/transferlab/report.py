"""The files of a run in, `reports/` out: figures, the tables that `dvc plots` draws, Markdown and one page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from . import compose, files, markdown, metrics, page, pictures, plots
from .data import load_images
from .markdown import Results

CURVES = ("validation_accuracy", "validation_loss", "train_loss")
LEARNING = ("strategy", "fraction", "images", "seed", "accuracy")
ATTRIBUTED = 6  # test images under heat maps
LAID_OUT = 500  # test images whose features are shown at most: t-SNE takes the square of their time
Drawn = tuple[Figure, bool]
"""A figure, and whether it shows anything: the files are always there, because DVC knows them by name."""


def write_report(root: Path, params: Mapping[str, Any], defaults: Mapping[str, Any], baseline: str | None) -> None:
    """Write `reports/` below `root`: report.md, the same as one page, figures, and the tables that `dvc plots` draws.

    Args:
        root: Checkout that holds data/, metrics/, predictions/ and runs/.
        params: `params.yaml`; its strategies are shown, in its order, and no others.
        defaults: What `conf/` composes to without overrides.
        baseline: The commit that the run started from.

    Raises:
        ValueError: A model was trained with other parameters, classes or weights than those of now.
    """
    results = read_results(root, params, defaults, baseline)
    reports, classes = root / "reports", files.read_json(root / "data/processed/classes.json")["classes"]
    predictions = {
        name: metrics.read_predictions(root / f"predictions/{name}.csv", classes) for name in params["strategies"]
    }
    histories = {name: pd.read_csv(root / f"runs/{name}/history.csv") for name in params["strategies"]}
    learned = learning_rows(root, params, classes, predictions)
    drawn = {**charts(results, predictions, histories, classes), **photographs(root, results, predictions)}
    drawn["learning_curve"] = _or_nothing(
        plots.learning_curve(pd.DataFrame(learned)) if learned else None,
        "no learning curve: learning_curve.strategies is empty",
    )
    for name, (figure, _) in drawn.items():
        plots.save(figure, reports / f"figures/{name}.png")
    with files.atomic(reports / "figures/samples.png", "wb") as file:
        file.write((root / "data/processed/samples.png").read_bytes())
    write_curves(reports / "curves.csv", histories)
    write_confusion(reports / "confusion.csv", predictions)
    files.write_csv(reports / "learning_curve.csv", LEARNING, learned)
    text = markdown.render(results, [name for name in markdown.CAPTIONS if drawn[name][1]])
    files.write_text(reports / "report.md", text)
    files.write_text(reports / "report.html", page.render(text, reports))


def read_results(root: Path, params: Mapping[str, Any], defaults: Mapping[str, Any], baseline: str | None) -> Results:
    """Read what the Markdown is made of; see `write_report`."""
    names, processed = list(params["strategies"]), root / "data/processed"
    classes = files.read_json(processed / "classes.json")["classes"]
    start = files.read_json(root / "data/weights/start.json")
    facts = {name: files.read_json(root / f"runs/{name}/facts.json") for name in names}
    for name in names:
        require_same(name, facts[name], {**params, "classes": classes, "start_sha256": start["sha256"]})
    summary = files.read_json(root / "metrics/summary.json")
    if list(summary) != names:
        raise ValueError(f"metrics/summary.json: expected {names}, got {list(summary)}. Run: dvc repro compare")
    return Results(
        params=params,
        defaults=defaults,
        baseline=baseline,
        summary=summary,
        numbers=files.read_json(root / "metrics/numbers.json"),
        comparison=files.read_json(root / "metrics/comparison.json"),
        facts=facts,
        counts=files.read_csv(processed / "class_counts.csv"),
        skipped=files.read_csv(processed / "skipped.csv"),
        alike=files.read_csv(processed / "near_duplicates.csv"),
        archive=files.read_json(root / "data/raw/archive.json"),
        start=start,
    )


def require_same(name: str, facts: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse a model that was trained with other parameters, on other classes or from other weights than those of now.

    Args:
        name: Key of the strategy.
        facts: Its `facts.json`.
        now: `params.yaml` with two more keys, `classes` and `start_sha256`.
    """
    data = ("classes", "start_sha256")
    used = {**facts["params"], **{key: facts[key] for key in data}}
    expected = {key: now["strategies"][name] if key == "strategy" else now[key] for key in used}
    for key, before, after in compose.differences(used, expected):
        says = "data/ has" if key in data else "params.yaml says"
        old, new = compose.override_value(before), compose.override_value(after)
        raise ValueError(
            f"Model '{name}' was trained with {key}={old} but {says} {new}. Run: dvc repro --force train@{name}"
        )


# ---------------------------------------------------------------- figures


def charts(
    results: Results,
    predictions: Mapping[str, pd.DataFrame],
    histories: Mapping[str, pd.DataFrame],
    classes: Sequence[str],
) -> dict[str, Drawn]:
    """The figures made of numbers."""
    seeds = {name: metrics.seed_accuracies(table) for name, table in predictions.items()}
    paired = plots.verdicts(results.comparison) if results.comparison["pairs"] else None
    calibrated = plots.reliability(results.numbers) if results.numbers else None
    return {
        "accuracy": (plots.accuracy(results.summary, seeds, results.comparison["controls"]), True),
        "verdicts": _or_nothing(paired, "no pairs: fewer than two strategies finished"),
        "cost": (plots.cost(results.summary), True),
        "curves": (plots.curves(histories), True),
        "reliability": _or_nothing(calibrated, "no probabilities: no strategy finished"),
        "confusion": (plots.confusion(predictions, classes), True),
    }


def photographs(root: Path, results: Results, predictions: Mapping[str, pd.DataFrame]) -> dict[str, Drawn]:
    """The figures made of images, and of what evaluation kept of them."""
    kept = {name: _kept(root, name) for name, table in predictions.items() if len(table)}
    test = load_images(root / "data/processed/test", files.read_json(root / "data/processed/classes.json")["classes"])
    places = {id: place for place, id in enumerate(test.ids)}
    for table in predictions.values():
        for id in table["id"]:
            if id not in places:
                raise ValueError(f"predictions: expected ids of test images, got {id!r}. Run: dvc repro")
    examples = pictures.examples(predictions)
    gallery = pictures.gallery([test[places[example.id]] for example in examples], examples) if examples else None
    labels = np.array([test.classes[label] for label in test.labels])
    shown = kept.get(results.viewed or "", {}).get("views")
    views = None
    if shown is not None and shown.shape[1] > 1:
        views = pictures.views([seen[0] for seen in shown], [list(seen[1:]) for seen in shown])
    return {
        "features": _or_nothing(features(kept, labels), "no features: no strategy changed the backbone"),
        "gallery": _or_nothing(gallery, "no predictions: no strategy finished"),
        "attributions": _or_nothing(_attributions(results, kept, predictions, test, places), "no attribution maps"),
        "views": _or_nothing(views, "no random views: no strategy trains on them"),
    }


def _kept(root: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(root / f"predictions/pictures/{name}.npz", allow_pickle=False) as file:
        return dict(file)


def features(kept: Mapping[str, Mapping[str, np.ndarray]], labels: np.ndarray) -> Figure | None:
    """Features of the test images before training, and after it for each strategy that changed them."""
    changed = {name: arrays for name, arrays in kept.items() if not np.array_equal(arrays["before"], arrays["after"])}
    if not changed or len(labels) < 4:
        return None
    sets = {"before training": next(iter(changed.values()))["before"]}
    sets |= {name: arrays["after"] for name, arrays in changed.items()}
    rows = np.unique(np.linspace(0, len(labels) - 1, LAID_OUT).astype(int))
    return plots.features(
        {name: (plots.layout(found[rows].astype(np.float32)), labels[rows]) for name, found in sets.items()}
    )


def _attributions(
    results: Results,
    kept: Mapping[str, Mapping[str, np.ndarray]],
    predictions: Mapping[str, pd.DataFrame],
    test: Any,
    places: Mapping[str, int],
) -> Figure | None:
    """Heat maps of the recommended strategy."""
    name = results.recommended
    if name is None or not len(kept[name]["maps"]):
        return None
    table = predictions[name]
    rows = attributed(table[table["seed"] == table["seed"].iloc[0]])
    seen = results.params["backbone"]["preprocessing"]
    share = seen["crop_px"] / seen["resize_px"]  # of the central square
    return pictures.attributions(
        [_centre(test[places[row["id"]]], share) for row in rows],
        [kept[name]["maps"][places[row["id"]]] for row in rows],
        [f"{row['label']}\nseen as {row['predicted']}, {100 * row['sure']:.0f} %" for row in rows],
    )


def attributed(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Of one seed's predictions, with the probability `sure`: the surest hit of each class, and the surest mistakes."""
    columns = [str(column) for column in table.columns]
    rows = [dict(zip(columns, cells, strict=True)) for cells in table.itertuples(index=False)]
    rows = [{**row, "sure": row[f"p_{row['predicted']}"]} for row in rows]
    rows.sort(key=lambda row: -row["sure"])
    misses = [row for row in rows if row["label"] != row["predicted"]]
    hits = {row["label"]: row for row in reversed(rows) if row["label"] == row["predicted"]}
    kept = [row for row in rows if row in hits.values()][: max(ATTRIBUTED - len(misses), ATTRIBUTED // 2)]
    return kept + misses[: ATTRIBUTED - len(kept)]


def _centre(image: np.ndarray, share: float) -> np.ndarray:
    """The central square with this share of the shorter side: what the network sees."""
    side = round(min(image.shape[:2]) * share)
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]


def _or_nothing(figure: Figure | None, reason: str) -> Drawn:
    return (plots.nothing(reason), False) if figure is None else (figure, True)


# ---------------------------------------------------------------- tables for `dvc plots`


def learning_rows(
    root: Path, params: Mapping[str, Any], classes: Sequence[str], predictions: Mapping[str, pd.DataFrame]
) -> list[dict[str, Any]]:
    """Accuracy per strategy, part of the training images and seed; the last part, all of them, is the run itself."""
    train = sum(int(row["train"]) for row in files.read_csv(root / "data/processed/class_counts.csv"))
    rows: list[dict[str, Any]] = []
    for name in params["learning_curve"]["strategies"]:
        parts = pd.read_csv(root / f"predictions/learning_curve/{name}.csv", dtype={"label": str, "predicted": str})
        whole = predictions[name].assign(fraction=1.0, images=train)
        for (fraction, images), table in pd.concat([parts, whole]).groupby(["fraction", "images"]):
            shares = metrics.seed_accuracies(table)
            rows += [
                {"strategy": name, "fraction": fraction, "images": images, "seed": seed, "accuracy": share}
                for seed, share in shares.items()
            ]
    return rows


def write_curves(path: Path, histories: Mapping[str, pd.DataFrame]) -> None:
    """Write the histories as a long table `strategy, seed, epoch, measure, value`, finite values only."""
    rows = (
        {
            "strategy": name,
            "seed": row["seed"],
            "epoch": row["epoch"],
            "measure": measure,
            "value": f"{row[measure]:.6g}",
        }
        for name, history in histories.items()
        for measure in CURVES
        for row in history[np.isfinite(history[measure].astype(float))].to_dict("records")
    )
    files.write_csv(path, ("strategy", "seed", "epoch", "measure", "value"), rows)


def write_confusion(path: Path, predictions: Mapping[str, pd.DataFrame]) -> None:
    """Write the confusions as a long table `strategy, seed, actual, predicted, images`, of the pairs that occur."""
    rows = (
        {"strategy": name, "seed": seed, "actual": _cell(actual), "predicted": _cell(predicted), "images": images}
        for name, table in predictions.items()
        for seed, actual, predicted, images in metrics.confusion_counts(table).itertuples(index=False)
    )
    files.write_csv(path, ("strategy", "seed", "actual", "predicted", "images"), rows)


def _cell(text: str) -> str:
    """Text that a spreadsheet does not run as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
