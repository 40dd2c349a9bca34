"""Archive -> manifests and decoded images; every file is decoded once."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.pipeline import beginning

if __name__ == "__main__":
    beginning.begin()

from transferlab.data.ingest.pixels import preprocess
from transferlab.params.whole import Params
from transferlab.pipeline import stage


def work(root: Path, params: Params, _: str) -> None:
    """Write data/processed."""
    preprocess(root / "data/raw/archive.zip", params.dataset, root / "data/processed")


if __name__ == "__main__":
    stage.main("preprocess", work)
