"""Archive -> manifests and decoded images; every file is decoded once, and those that look the same
are listed.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.data.ingest.pixels import preprocess
from transferlab.data.splits import near_duplicates
from transferlab.params.whole import Params
from transferlab.pipeline import stage


def work(root: Path, params: Params, _: str) -> None:
    """Write data/processed."""
    preprocess(root / "data/raw/archive.zip", params.dataset, root / "data/processed")
    near_duplicates.write(root / "data/processed")


if __name__ == "__main__":
    stage.main("preprocess", work)
