"""A network and images -> lines of a predictions table, where torch ends and statistics begin."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from ..data.images import Images
from ..network import backbones
from ..network.activations import IMAGES_A_PASS, Activations, Shared
from ..network.setup import Setup
from ..network.views import Views
from ..params.learning.network import HEAD, PARTS

TTA_SEED = 0  # draws the views of test-time augmentation, the same ones for every model


@dataclass(frozen=True, kw_only=True)
class Observer:
    """A trained network that looks at images.

    Args:
        net: All parts; in eval mode whenever it is used.
        cut: Number of leading parts that hold the starting weights. When it is all but the head,
            what they make of the images is kept for other strategies and seeds.
        setup: How networks run and see images here.
        shared: With observers of other models.
    """

    net: nn.Sequential
    cut: int
    setup: Setup
    shared: Shared = field(default_factory=Shared)

    @torch.no_grad()
    def predict(self, images: Images, rows: np.ndarray, views: int = 0) -> np.ndarray:
        """Probabilities float32 [n, K] of the given rows: of the test view, or the mean over random
        views.
        """
        kept = self.cut if self.cut == HEAD else 0
        source, upper = self._source(images, rows, kept, views), self.net.eval()[kept:]
        batches = np.split(rows, range(IMAGES_A_PASS, len(rows), IMAGES_A_PASS))
        if not views:
            return self._softmax(upper, map(source.test, batches))
        seen = [self._softmax(upper, source.train(batches, view)) for view in range(views)]
        mean: np.ndarray = np.mean(seen, axis=0)
        return mean

    @torch.no_grad()
    def features(self, images: Images, rows: np.ndarray) -> np.ndarray:
        """What enters the head, float32 [n, F], for the test view of the given rows."""
        self.net.eval()
        features = self._source(images, rows, HEAD, 0).test(rows)
        as_array: np.ndarray = features.float().cpu().numpy()
        return as_array

    def _source(self, images: Images, rows: np.ndarray, cut: int, views: int) -> Activations:
        setup = self.setup
        seen = Views(
            images=images,
            preprocessing=setup.preprocessing,
            ranges=setup.augment if views else None,
            seed=TTA_SEED,
            side=setup.preprocessing.crop_px,
        )
        kept = cut == HEAD == self.cut
        tested = np.arange(len(images)) if kept else rows  # on disk all images serve everybody
        return Activations(
            backbones.below(self.net, cut),
            seen,
            (rows, tested),
            count=views or None,
            compute=setup.compute,
            memory_mb=setup.memory_mb if cut == HEAD else 0,  # what is not used again is not kept
            shared=self.shared if kept else None,
        )

    def _softmax(self, upper: nn.Module, entering: Iterable[Tensor]) -> np.ndarray:
        with self.setup.compute.autocast():
            logits = torch.cat([upper(batch) for batch in entering])
        found: np.ndarray = logits.float().softmax(1).cpu().numpy()
        return found


def first_part(trained: Mapping[str, torch.Tensor]) -> int:
    """Number of leading parts that a training left as they were."""
    return min(PARTS.index(key.split(".")[0]) for key in trained)
