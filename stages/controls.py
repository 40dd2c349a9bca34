"""What no strategy had a part in, on the test images -> predictions/controls."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.pipeline import beginning

if __name__ == "__main__":
    beginning.begin()

import numpy as np

from transferlab.network.setup import Setup, images_of, settled_compute
from transferlab.params.whole import Params
from transferlab.pipeline import stage
from transferlab.pipeline.files import write_csv
from transferlab.prediction import controls
from transferlab.prediction.table import columns, table


def work(root: Path, params: Params, _: str) -> None:
    """Write predictions/controls: majority.csv and, where it is possible, imagenet_head.csv."""
    setup = Setup(
        compute=settled_compute(root, params.engine),
        preprocessing=params.backbone.preprocessing,
        augment=None,
        memory_mb=params.engine.memory_mb,
    )
    train, test = (images_of(root, split, setup.compute) for split in ("train", "test"))
    predicted = {"majority": controls.majority(train, len(test))}
    imagenet, backbone = params.dataset.imagenet, params.backbone
    if imagenet is not None and backbone.weights not in ("none", "source"):
        head = controls.imagenet_head(root, backbone.name, imagenet, test, setup)
        predicted |= {} if head is None else {"imagenet_head": head}
    everything = np.arange(len(test))
    for name, probabilities in predicted.items():
        lines = table(name, "0", test, everything, probabilities)
        write_csv(root / f"predictions/controls/{name}.csv", columns(test.classes), lines)


if __name__ == "__main__":
    stage.main("controls", work)
