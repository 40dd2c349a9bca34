"""What no strategy had a part in, on the test images -> predictions/controls."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.params.whole import Params
from transferlab.pipeline import stage
from transferlab.prediction import controls


def work(root: Path, params: Params, _: str) -> None:
    """Write predictions/controls."""
    controls.write(root, params)


if __name__ == "__main__":
    stage.main("controls", work)
