"""The engine's side of the benchmark: one strategy, timed in a process of its own. Prints one line
of JSON.
"""

import argparse
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

# by the first optimiser, in the baseline as well: imports are not what is compared
import torch._dynamo
import torchvision  # noqa: F401  # by the first published network
import yaml
from PIL import Image
from torch import nn

from transferlab.data.images import load_images, read_classes
from transferlab.data.ingest.pixels import preprocess
from transferlab.data.splits import draw
from transferlab.experiments import runs
from transferlab.network import backbones, device
from transferlab.network.activations import Shared
from transferlab.network.setup import images_of, settled_compute, setup_for
from transferlab.params.learning.recipe import recipe_of
from transferlab.params.reading import parse
from transferlab.params.whole import Params
from transferlab.prediction import evaluate
from transferlab.settings import compose


class Counts:
    """Counts decoded files and images that pass the backbone's first part."""

    def __init__(self) -> None:
        self.decodes = self.passes = 0
        opened, built = Image.open, backbones.build

        def count_open(*given: Any, **named: Any) -> Any:
            image = opened(*given, **named)
            self.decodes += 1
            return image

        def count_passes(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
            self.passes += len(inputs[0])

        def count_build(*given: Any, **named: Any) -> nn.Sequential:
            model = built(*given, **named)
            model.get_submodule("stem").register_forward_pre_hook(count_passes)
            return model

        Image.open, backbones.build = count_open, count_build


class Silence:
    """A listener that hears nothing."""

    def start(self, key: str, seed: int, facts: Mapping[str, Any]) -> None:
        """One seed begins."""

    def log(self, key: str, seed: int, row: Mapping[str, Any]) -> None:
        """One epoch is done."""

    def end(self, key: str, seed: int, outcome: Mapping[str, Any]) -> None:
        """One seed is done."""


def test(root: Path, name: str, values: Params) -> dict[str, float]:
    """Accuracy of every seed's model on the test images: what the loop does with them, and no
    more.
    """
    recipe = recipe_of(values, name)
    setup = setup_for(recipe, settled_compute(root, recipe.engine))
    images = images_of(root, "test", setup.compute)
    everything = np.arange(len(images))
    net = evaluate.starting_network(root, recipe, setup, images.classes)
    accuracies = {}
    for seed, observer in evaluate.trained(root, name, net, setup, Shared()):
        predicted = observer.predict(images, everything).argmax(1)
        accuracies[seed] = float((predicted == images.labels).mean())
    return accuracies


def divide(root: Path, values: Params) -> None:
    """Set validation images aside for every seed."""
    train = load_images(root / "data/processed/train", read_classes(root))
    fraction, alone = values.train.validation_fraction, np.arange(len(train))
    bonds = draw.Bonds(together=alone, given=alone, validation=alone < 0)
    path = root / "data/splits/validation.csv"
    draw.write_validation(path, train, bonds, values.seeds, fraction)


def main() -> None:
    """Decode where asked, train, test; say what each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "root", type=Path, help="holds data/raw and data/weights, receives everything else"
    )
    parser.add_argument("strategy")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    parser.add_argument("--decode", action="store_true", help="decode first, and count its time")
    parser.add_argument("--no-test", action="store_true", help="leave the test images alone")
    given = parser.parse_intermixed_args()
    os.environ["DVC_ROOT"] = str(given.root)  # its caches, not the repository's
    values = parse(yaml.safe_load(compose.compose([f"strategy={given.strategy}", *given.settings])))
    counts, seconds = Counts(), {}
    begun = time.perf_counter()
    if given.decode:
        preprocess(
            given.root / "data/raw/archive.zip", values.dataset, given.root / "data/processed"
        )
        seconds["decode"] = time.perf_counter() - begun
    begun = time.perf_counter()
    divide(given.root, values)
    recipe = recipe_of(values, given.strategy)
    runs.run(given.root, recipe, values.tuning, "benchmark", Silence())
    seconds["train"] = time.perf_counter() - begun
    accuracy = None
    if not given.no_test:
        begun = time.perf_counter()
        accuracy = test(given.root, given.strategy, values)
        seconds["test"] = time.perf_counter() - begun
    print(
        json.dumps(
            {
                "strategy": given.strategy,
                "settings": given.settings,
                "seconds": seconds,
                "accuracy": accuracy,
                "decodes": counts.decodes,
                "passes": counts.passes,
                "peak_memory_mb": device.peak_memory_mb(torch.device("cpu")),
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
