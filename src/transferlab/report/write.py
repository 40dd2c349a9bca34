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

from ..pipeline import files, heartbeat
from . import classes, page
from .drawn import draw_numbers, draw_photographs
from .figures import training
from .figures.sheet import save
from .opened import read_results, read_tables_of
from .tables import (
    LABEL_ERRORS,
    LEARNING,
    label_rows,
    write_confusion,
    write_curves,
    write_sheet,
)
from .text import CAPTIONS, render


def write_report(
    root: Path, params: Mapping[str, Any], defaults: Mapping[str, Any], baseline: str | None
) -> None:
    """Write `reports/` below `root`: report.md, the same as one page, figures, and the tables that
    `dvc plots` draws.

    Args:
        root: Checkout that holds data/, metrics/, predictions/ and runs/.
        params: `params.yaml`; its strategies are shown, in its order, and no others.
        defaults: `conf/defaults.yaml`, from which the report says where the parameters differ.
        baseline: The commit that the run started from.

    Raises:
        ValueError: A file is damaged, or a model was trained with other parameters, classes or
            weights than those of now. The last report stands.
    """
    results = read_results(root, params, defaults, baseline)
    tables = read_tables_of(root, results)
    drawn = {**draw_numbers(results, tables), **draw_photographs(results, tables)}
    if tables.learned:
        drawn["learning_curve"] = training.learning_curve(pd.DataFrame(tables.learned))
    with _standing_until_whole(root / "reports") as part:
        for name, figure in heartbeat.each(drawn.items(), "figures", len(drawn)):
            save(figure, part / f"figures/{name}.png")
        shutil.copyfile(tables.samples, part / "figures/samples.png")
        write_curves(part / "curves.csv", tables.histories)
        write_confusion(part / "confusion.csv", tables.predictions)
        write_sheet(part / "classes.csv", classes.COLUMNS, classes.rows(results.numbers))
        write_sheet(part / "learning_curve.csv", LEARNING, tables.learned)
        write_sheet(part / "label_errors.csv", LABEL_ERRORS, label_rows(results.doubts.found))
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
