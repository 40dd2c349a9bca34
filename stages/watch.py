"""Notice that files of one's own are no longer what `params.yaml` speaks of."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.pipeline import beginning

if __name__ == "__main__":
    beginning.begin()

from transferlab.data.archive import own
from transferlab.params.whole import Params
from transferlab.pipeline import stage


def work(root: Path, params: Params, _: str) -> None:
    """Write nothing: it fails, or the run goes on."""
    own.check_images(params.dataset)
    weights = params.backbone
    own.check_file(weights.weights, sha256=weights.weights_sha256, key="backbone.weights")


if __name__ == "__main__":
    stage.main("watch", work)
