"""Archive -> manifests and decoded images; every file is decoded once, and those that look the same are listed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab import data, duplicates, stage
from transferlab.params import Params


def work(root: Path, params: Params, _: str) -> None:
    """Write data/processed."""
    data.preprocess(root / "data/raw/archive.zip", params.dataset, root / "data/processed")
    duplicates.write(root / "data/processed")


if __name__ == "__main__":
    stage.main("preprocess", work)
