"""One strategy on parts of the training images -> predictions/learning_curve.

Absent unless asked for.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.pipeline import beginning

if __name__ == "__main__":
    beginning.begin()

from transferlab.experiments import learning_curve
from transferlab.params.learning.recipe import recipe_of
from transferlab.params.whole import Params
from transferlab.pipeline import stage
from transferlab.training import progress


def work(root: Path, params: Params, strategy: str) -> None:
    """Write predictions/learning_curve/<strategy>.csv."""
    recipe = recipe_of(params, strategy)
    with progress.Bar(strategy, None) as bar:
        learning_curve.learning_curve(
            root, recipe, stage.code_digest(root, "learning_curve"), bar.step
        )


if __name__ == "__main__":
    stage.main("learning_curve", work)
