"""One strategy on all images, in repeated folds -> predictions/cross_validation.

Absent unless asked for.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.pipeline import beginning

if __name__ == "__main__":
    beginning.begin()

from transferlab.experiments import cross_validation
from transferlab.params.learning.recipe import recipe_of
from transferlab.params.whole import Params
from transferlab.pipeline import stage
from transferlab.training import progress


def work(root: Path, params: Params, strategy: str) -> None:
    """Write predictions/cross_validation/<strategy>.csv."""
    recipe = recipe_of(params, strategy)
    with progress.Bar(strategy, None) as bar:
        cross_validation.cross_validate(
            root, recipe, stage.code_digest(root, "cross_validate"), bar.step
        )


if __name__ == "__main__":
    stage.main("cross_validate", work)
