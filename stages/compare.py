"""Predictions and costs of the strategies that params.yaml names -> metrics/summary.json."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab import metrics, stage
from transferlab.files import read_json, write_json
from transferlab.params import Params


def work(root: Path, params: Params, _: str) -> None:
    """Write metrics/summary.json."""
    classes = read_json(root / "data/processed/classes.json")["classes"]
    predictions = {
        name: metrics.read_predictions(root / f"predictions/{name}.csv", classes) for name in params.strategies
    }
    facts = {name: read_json(root / f"runs/{name}/facts.json") for name in params.strategies}
    costs = {name: read_json(root / f"runs/{name}/costs.json") for name in params.strategies}
    summary = metrics.summarise(predictions, facts, costs, params.compare.confidence)
    write_json(root / "metrics/summary.json", summary)


if __name__ == "__main__":
    stage.main("compare", work)
