"""A strategy's models on the test images, which nothing has seen before -> predictions."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.pipeline import beginning

if __name__ == "__main__":
    beginning.begin()

from transferlab.params.learning.recipe import recipe_of
from transferlab.params.whole import Params
from transferlab.pipeline import stage
from transferlab.prediction import evaluate


def work(root: Path, params: Params, strategy: str) -> None:
    """Write predictions/<strategy>.csv, and what else figures show."""
    recipe = recipe_of(params, strategy)
    evaluate.evaluate(root, recipe, params.evaluate.tta_views)


if __name__ == "__main__":
    stage.main("evaluate", work)
