"""The recommended strategy's model, or a named one's, as one file to take home."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.pipeline import beginning

if __name__ == "__main__":
    beginning.begin()

from transferlab.delivery import make
from transferlab.params.whole import Params
from transferlab.pipeline import stage


def work(root: Path, params: Params, _: str) -> None:
    """Write champion/."""
    print(make.champion(root, params.champion, params.dataset.max_megapixels))


if __name__ == "__main__":
    stage.main("champion", work)
