"""Bring MLflow up to date with the files: runs of restored stages, final metrics, figures,
models.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.pipeline import beginning

if __name__ == "__main__":
    beginning.begin()

from transferlab.params.record import plain
from transferlab.params.whole import Params
from transferlab.pipeline import stage
from transferlab.pipeline.terminal import printable
from transferlab.tracking import sync


def work(root: Path, params: Params, _: str) -> None:
    """Write nothing; a tracking failure is a warning."""
    if said := sync.sync(root, plain(params)):
        print(printable(said))


if __name__ == "__main__":
    stage.main("track", work)
