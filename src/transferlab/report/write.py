"""The files of a run in, `reports/` out: figures, the tables that `dvc plots` draws, Markdown and
one page.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from ..pipeline import files
from ..prediction.reading import read_predictions
from ..settings.changes import differences, override_value
from . import page
from .drawn import draw_numbers, draw_photographs
from .figures import training
from .figures.sheet import save
from .results import Results
from .tables import LEARNING, learning_rows, write_confusion, write_curves
from .text import CAPTIONS, render


def write_report(
    root: Path, params: Mapping[str, Any], defaults: Mapping[str, Any], baseline: str | None
) -> None:
    """Write `reports/` below `root`: report.md, the same as one page, figures, and the tables that
    `dvc plots` draws.

    Args:
        root: Checkout that holds data/, metrics/, predictions/ and runs/.
        params: `params.yaml`; its strategies are shown, in its order, and no others.
        defaults: What `conf/` composes to without overrides.
        baseline: The commit that the run started from.

    Raises:
        ValueError: A model was trained with other parameters, classes or weights than those of now.
    """
    results = read_results(root, params, defaults, baseline)
    classes = files.read_json(root / "data/processed/classes.json")["classes"]
    predictions = {
        name: read_predictions(root / f"predictions/{name}.csv", classes)
        for name in params["strategies"]
    }
    histories = {
        name: pd.read_csv(root / f"runs/{name}/history.csv") for name in params["strategies"]
    }
    learned = learning_rows(root, params, classes, predictions)
    drawn = {
        **draw_numbers(results, predictions, histories, classes),
        **draw_photographs(root, results, predictions),
    }
    if learned:
        drawn["learning_curve"] = training.learning_curve(pd.DataFrame(learned))
    with _standing_until_whole(root / "reports") as part:
        for name, figure in drawn.items():
            save(figure, part / f"figures/{name}.png")
        shutil.copyfile(root / "data/processed/samples.png", part / "figures/samples.png")
        write_curves(part / "curves.csv", histories)
        write_confusion(part / "confusion.csv", predictions)
        files.write_csv(part / "learning_curve.csv", LEARNING, learned)
        text = render(results, [name for name in CAPTIONS if name in drawn])
        files.write_text(part / "report.md", text)
        files.write_text(part / "report.html", page.render(text, part))


@contextmanager
def _standing_until_whole(reports: Path) -> Iterator[Path]:
    """A folder to write a report into, which takes the last one's place when the block ends well.

    The outputs are `persist` in `dvc.yaml`: DVC would else delete them before the stage begins.
    Other content of `reports`, such as examples, is left alone.
    """
    part = reports / ".part"
    shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
    try:
        yield part
        made = [path for path in sorted(part.rglob("*")) if path.is_file()]
        (reports / "figures").mkdir(exist_ok=True)
        for path in made:
            os.replace(path, reports / path.relative_to(part))
        kept = {path.name for path in made}
        for old in (reports / "figures").iterdir():
            if old.name not in kept:
                old.unlink()
    finally:
        shutil.rmtree(part, ignore_errors=True)


def read_results(
    root: Path, params: Mapping[str, Any], defaults: Mapping[str, Any], baseline: str | None
) -> Results:
    """Read what the Markdown is made of; see `write_report`."""
    names, processed = list(params["strategies"]), root / "data/processed"
    classes = files.read_json(processed / "classes.json")["classes"]
    weights = root / "data/weights"
    start = files.read_json(weights / "start.json")
    start["file"] = files.read_json(weights / "file.json")
    facts = {name: files.read_json(root / f"runs/{name}/facts.json") for name in names}
    for name in names:
        require_same(
            name, facts[name], {**params, "classes": classes, "start_sha256": start["sha256"]}
        )
    summary = files.read_json(root / "metrics/summary.json")
    if list(summary) != names:
        raise ValueError(
            f"metrics/summary.json: expected {names}, got {list(summary)}. Run: dvc repro compare"
        )
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
        alike=files.read_csv(root / "data/splits/near_duplicates.csv"),
        archive=files.read_json(root / "data/raw/archive.json"),
        start=start,
    )


def require_same(name: str, facts: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse a model that was trained with other parameters, on other classes or from other weights
    than those of now.

    Args:
        name: Key of the strategy.
        facts: Its `facts.json`.
        now: `params.yaml` with two more keys, `classes` and `start_sha256`.
    """
    data = ("classes", "start_sha256")
    used = {**facts["params"], **{key: facts[key] for key in data}}
    expected = {key: now["strategies"][name] if key == "strategy" else now[key] for key in used}
    for key, before, after in differences(used, expected):
        says = "data/ has" if key in data else "params.yaml says"
        old, new = override_value(before), override_value(after)
        raise ValueError(
            f"Model '{name}' was trained with {key}={old} but {says} {new}. Run: dvc repro "
            f"--force train@{name}"
        )
