"""Predictions and costs of the strategies that params.yaml names -> numbers, intervals and
comparisons.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.pipeline import beginning

if __name__ == "__main__":
    beginning.begin()

from transferlab.data.images import read_classes
from transferlab.evidence.recommendation import evidence
from transferlab.experiments import leftovers
from transferlab.params.whole import Params
from transferlab.pipeline import stage
from transferlab.pipeline.files import read_json, write_together
from transferlab.prediction.reading import read_tables
from transferlab.training.records import Costs, Facts


def make_way(root: Path, params: Params) -> None:
    """Remove what strategies of an earlier params.yaml left; this stage is the first to depend on
    whole folders.
    """
    keys = {
        "strategies": list(params.strategies),
        "cross_validation.each": params.cross_validation.strategies,
        "learning_curve.each": params.learning_curve.strategies,
    }
    leftovers.sweep(root, keys)


def work(root: Path, params: Params, _: str) -> None:
    """Write metrics/."""
    names, classes = list(params.strategies), read_classes(root)
    facts = {name: read_json(root / f"runs/{name}/facts.json", Facts) for name in names}
    costs = {name: read_json(root / f"runs/{name}/costs.json", Costs) for name in names}
    predictions, validation, tta = (
        read_tables(root / folder, names, classes)
        for folder in ("predictions", "predictions/validation", "predictions/tta")
    )
    controls = sorted(path.stem for path in (root / "predictions/controls").glob("*.csv"))
    found = evidence(
        predictions,
        validation=validation,
        tta=tta,
        controls=read_tables(root / "predictions/controls", controls, classes),
        folds=read_tables(
            root / "predictions/cross_validation", params.cross_validation.strategies, classes
        ),
        facts=facts,
        costs=costs,
        settings=params.compare,
    )
    write_together({root / f"metrics/{name}.json": content for name, content in found.items()})


if __name__ == "__main__":
    stage.main("compare", work, first=make_way)
