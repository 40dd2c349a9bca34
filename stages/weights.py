"""Bring the backbone's starting weights, so that training depends on a hash and not on a cache
folder.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.pipeline import beginning

if __name__ == "__main__":
    beginning.begin()

from transferlab.params.whole import Params
from transferlab.pipeline import stage
from transferlab.training import progress
from transferlab.weights.start import write_start


def work(root: Path, params: Params, _: str) -> None:
    """Write data/weights."""
    with progress.Bar("weights", None) as bar:
        code = stage.code_digest(root, "weights")
        write_start(
            root,
            params.backbone,
            train=params.train,
            engine=params.engine,
            code=code,
            log=bar.step,
        )


if __name__ == "__main__":
    stage.main("weights", work)
