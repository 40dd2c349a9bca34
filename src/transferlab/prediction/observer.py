"""A network and images -> lines of a predictions table, where torch ends and statistics begin."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from ..data.images import Images
from ..network import backbones
from ..network.activations import CHUNK, Activations, Shared
from ..network.device import Compute
from ..network.views import Views
from ..params.network import HEAD, PARTS
from ..params.whole import Params

TTA_SEED = 0  # draws the views of test-time augmentation, the same ones for every model


@dataclass(frozen=True, kw_only=True)
class Observer:
    """A trained network that looks at images.

    Args:
        net: All parts; in eval mode whenever it is used.
        cut: Number of leading parts that hold the starting weights. When it is all but the head,
            what they make of the images is kept for other strategies and seeds.
        params: Preprocessing, random views, memory.
        place: Where the arithmetic runs, and how.
        shared: With observers of other models.
    """

    net: nn.Sequential
    cut: int
    params: Params
    place: Compute
    shared: Shared = field(default_factory=Shared)

    @torch.no_grad()
    def predict(self, images: Images, rows: np.ndarray, views: int = 0) -> np.ndarray:
        """Probabilities float32 [n, K] of the given rows: of the test view, or the mean over random
        views.
        """
        kept = self.cut if self.cut == HEAD else 0
        source, upper = self._source(images, rows, kept, views), self.net.eval()[kept:]
        batches = np.split(rows, range(CHUNK, len(rows), CHUNK))
        if not views:
            return self._softmax(upper, map(source.test, batches))
        seen = [self._softmax(upper, source.train(batches, view)) for view in range(views)]
        mean: np.ndarray = np.mean(seen, axis=0)
        return mean

    @torch.no_grad()
    def features(self, images: Images) -> np.ndarray:
        """What enters the head, float32 [N, F], for the test view of every image."""
        self.net.eval()
        everything = np.arange(len(images))
        found: np.ndarray = (
            self._source(images, everything, HEAD, 0).test(everything).float().cpu().numpy()
        )
        return found

    def _source(self, images: Images, rows: np.ndarray, cut: int, views: int) -> Activations:
        preprocessing, kept = self.params.backbone.preprocessing, cut == HEAD == self.cut
        ranges = self.params.train.augment if views else None
        seen = Views(
            images=images,
            preprocessing=preprocessing,
            ranges=ranges,
            seed=TTA_SEED,
            side=preprocessing.crop_px,
        )
        return Activations(
            backbones.below(self.net, cut),
            seen,
            (
                rows,
                np.arange(len(images)) if kept else rows,
            ),  # on disk the test view of all images serves everybody
            count=views or None,
            place=self.place,
            memory_mb=self.params.engine.memory_mb
            if cut == HEAD
            else 0,  # only what is used again is worth keeping
            shared=self.shared if kept else None,
        )

    def _softmax(self, upper: nn.Module, entering: Iterable[Tensor]) -> np.ndarray:
        with self.place.autocast():
            logits = torch.cat([upper(batch) for batch in entering])
        found: np.ndarray = logits.float().softmax(1).cpu().numpy()
        return found


def first_part(trained: dict[str, torch.Tensor]) -> int:
    """Number of leading parts that a training left as they were."""
    return min(PARTS.index(key.split(".")[0]) for key in trained)
