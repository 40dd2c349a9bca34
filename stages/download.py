"""Bring the images: download and verify the archive, pack the user's own folder, or draw
textures.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.pipeline import beginning

if __name__ == "__main__":
    beginning.begin()

from transferlab.data.archive import bring
from transferlab.params.whole import Params
from transferlab.pipeline import stage


def work(root: Path, params: Params, _: str) -> None:
    """Write data/raw/archive.zip and what is known about it."""
    bring.bring(params.dataset, root / "data/raw")


if __name__ == "__main__":
    stage.main("download", work)
