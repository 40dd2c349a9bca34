"""Which figures a report has, drawn from the files of its run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..data.letters import apart
from ..prediction.reading import seed_accuracies
from ..prediction.sample import in_figures
from . import words
from .confused import most_confused
from .figures import (
    accuracy,
    confusion,
    cost,
    features,
    photographs,
    predicted,
    reliability,
    training,
    verdicts,
)
from .figures.photographs import centre
from .layout import in_two_dimensions, recognised
from .opened import DOUBTS_SHOWN, Tables
from .results import Results, excluded

ATTRIBUTED = 6  # test images under heat maps


def draw_numbers(results: Results, tables: Tables) -> dict[str, Figure]:
    """The figures made of numbers that show something."""
    seeds = {name: seed_accuracies(table) for name, table in tables.predictions.items()}
    found, pale = results.comparison, excluded(results)
    drawn = {"accuracy": accuracy.draw(results.summary, seeds, found["controls"], pale)}
    if found["pairs"]:
        drawn["verdicts"] = verdicts.draw(found)
    drawn["cost"] = cost.draw(results.summary, found["front"], pale)
    drawn["curves"] = training.curves(tables.histories)
    if results.numbers:
        drawn["reliability"] = reliability.draw(results.numbers)
    drawn["confusion"] = confusion.draw(tables.predictions, tables.classes, _kept(results, tables))
    return drawn


def _kept(results: Results, tables: Tables) -> list[str]:
    """The classes that figures tell apart."""
    return most_confused(tables.predictions, tables.classes, results.recommended)


def draw_photographs(results: Results, tables: Tables) -> dict[str, Figure]:
    """Those made of images, and of what evaluation kept of them, that show something."""
    kept, test = tables.pictures, tables.test
    places = {id: place for place, id in enumerate(test.ids)}
    examples = photographs.examples(tables.predictions)
    gallery = (
        photographs.gallery([test[places[example.id]] for example in examples], examples)
        if examples
        else None
    )
    labels = np.array([test.classes[label] for label in test.labels])
    shown = kept.get(results.viewed or "", {}).get("views")
    views = None
    if shown is not None and shown.shape[1] > 1:
        views = photographs.views([seen[0] for seen in shown], [list(seen[1:]) for seen in shown])
    drawn = {
        "features": _features(kept, labels, _kept(results, tables)),
        "predicted": _predicted(tables, places),
        "gallery": gallery,
        "attributions": _attributions(results, tables, places),
        "views": views,
        "labels": photographs.doubtful(tables.doubted, _doubts(results)),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _doubts(results: Results) -> list[str]:
    """A caption for each image whose label is in doubt and shown."""
    return [
        f"{apart(it.label)}, {words.percent(it.label_probability, 0)}\n"
        f"seen as {apart(it.suggested)}, {words.percent(it.suggested_probability, 0)}"
        for it in results.doubts.found[:DOUBTS_SHOWN]
    ]


def _features(
    kept: Mapping[str, Mapping[str, np.ndarray]], labels: np.ndarray, named: Sequence[str]
) -> Figure | None:
    """Features of the test images before training, and after it for each strategy that changed
    them.
    """
    changed = {
        name: arrays
        for name, arrays in kept.items()
        if not np.array_equal(arrays["before"], arrays["after"])
    }
    if not changed or len(labels) < 4:
        return None
    sets = {"before training": next(iter(changed.values()))["before"]}
    sets |= {name: arrays["after"] for name, arrays in changed.items()}
    labels = labels[in_figures(len(labels))]
    return features.draw(
        {
            name: (in_two_dimensions(found.astype(np.float32)), labels)
            for name, found in sets.items()
        },
        named,
        {
            name: words.percent(recognised(found.astype(float), labels))
            for name, found in sets.items()
        },
    )


def _predicted(tables: Tables, places: Mapping[str, int]) -> Figure | None:
    """What the first seed of every strategy says about a few test images."""
    first = {
        name: table[table["seed"] == table["seed"].iloc[0]].set_index("id")
        for name, table in tables.predictions.items()
        if len(table)
    }
    if not first:
        return None
    ids = predicted.evenly(list(next(iter(first.values())).index))
    said = {
        name: [
            (row["predicted"], float(row[f"p_{row['predicted']}"])) for _, row in rows.iterrows()
        ]
        for name, rows in ((name, table.loc[ids]) for name, table in first.items())
    }
    test = tables.test
    labels = [test.classes[test.labels[places[id]]] for id in ids]
    return predicted.draw([test[places[id]] for id in ids], labels, said)


def _attributions(results: Results, tables: Tables, places: Mapping[str, int]) -> Figure | None:
    """Heat maps of the recommended strategy."""
    name, kept, test = results.recommended, tables.pictures, tables.test
    if name is None or not len(kept[name]["maps"]):
        return None
    table = tables.predictions[name]
    mapped = {test.ids[row]: place for place, row in enumerate(in_figures(len(test)))}
    rows = attributed(table[(table["seed"] == table["seed"].iloc[0]) & table["id"].isin(mapped)])
    seen = results.params["backbone"]["preprocessing"]
    share = seen["crop_px"] / seen["resize_px"]  # of the central square
    return photographs.attributions(
        [centre(test[places[row["id"]]], share) for row in rows],
        [kept[name]["maps"][mapped[row["id"]]] for row in rows],
        [
            f"{apart(row['label'])}\n"
            f"seen as {apart(row['predicted'])}, {words.percent(row['sure'], 0)}"
            for row in rows
        ],
    )


def attributed(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Of one seed's predictions, with the probability `sure`: the surest hit of each class, and the
    surest mistakes.
    """
    columns = [str(column) for column in table.columns]
    rows = [dict(zip(columns, cells, strict=True)) for cells in table.itertuples(index=False)]
    rows = [{**row, "sure": row[f"p_{row['predicted']}"]} for row in rows]
    rows.sort(key=lambda row: -row["sure"])
    misses = [row for row in rows if row["label"] != row["predicted"]]
    hits = {row["label"]: row for row in reversed(rows) if row["label"] == row["predicted"]}
    kept = [row for row in rows if row in hits.values()][
        : max(ATTRIBUTED - len(misses), ATTRIBUTED // 2)
    ]
    return kept + misses[: ATTRIBUTED - len(kept)]
