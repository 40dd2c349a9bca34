"""Settle the precision and memory format that training and evaluation use."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.pipeline import beginning

if __name__ == "__main__":
    beginning.begin()

from transferlab.experiments import precision
from transferlab.params.whole import Params
from transferlab.pipeline import stage


def work(root: Path, params: Params, _: str) -> None:
    """Write data/precision.json and data/precision_times.json."""
    backbone = params.backbone
    precision.decide(root, backbone.name, backbone.preprocessing, params.engine)


if __name__ == "__main__":
    stage.main("precision", work)
