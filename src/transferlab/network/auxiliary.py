"""Inception's auxiliary classifier: it trains the stages below it, and never answers.

It is there only while a strategy trains, so no model on disk holds it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from . import models
from .device import Compute

if TYPE_CHECKING:
    from torchvision.models.inception import InceptionAux

NETWORK = "inception_v3"
"""The backbone that has one; `torchvision/inception_v3` is the same network without."""

PART = "stage3"
"""At whose end it hangs."""

WEIGHT = 0.4
"""Of its loss beside that of the head, as PyTorch's tutorial on finetuning torchvision's models has
it. GoogLeNet's two have 0.3 (Szegedy et al. 2014, arXiv 1409.4842).
"""

PREFIX = "auxiliary."
"""Before the names of its tensors in `data/weights/start.safetensors`."""

CHANNELS, SIDE = 768, 17  # of what enters it, with the crops of 299 px that it was made for


class Auxiliary(nn.Module):
    """Gives on what it sees; in training mode it also classifies it, for `taken`.

    Args:
        classify: Activations [B, 768, S, S] with S of at least 17 -> logits [B, C].
    """

    def __init__(self, classify: nn.Module):
        super().__init__()
        self.classify = classify
        self._logits: Tensor | None = None

    def forward(self, entering: Tensor) -> Tensor:
        """[B, 768, S, S] -> the same."""
        if self.training:
            small = entering.shape[-1] < SIDE  # of smaller crops
            self._logits = self.classify(interpolate(entering, SIDE) if small else entering)
        return entering

    def taken(self) -> Tensor:
        """Logits float32 [B, C] of the batch that just passed, once: they hold its whole graph."""
        assert self._logits is not None
        logits, self._logits = self._logits.float(), None
        return logits


def convolutions() -> dict[str, torch.Size]:
    """Names and shapes of the tensors that published weights give: all but the last layer's."""
    with torch.device("meta"):
        state = _drawn(1).state_dict()
    counter = "num_batches_tracked"
    return {
        name: value.shape
        for name, value in state.items()
        if not name.startswith("fc.") and not name.endswith(counter)
    }


@contextmanager
def attached(
    model: nn.Sequential,
    outputs: int,
    weights: Mapping[str, Tensor],
    *,
    start: str,
    seed: int,
    compute: Compute,
) -> Iterator[None]:
    """Let a network have the classifier while the block runs.

    Args:
        model: Parts in order; changed in place.
        outputs: Number of classes C.
        weights: Of its convolutions; what is not given is drawn.
        start: Of its last layer, as in `backbones.new_head`.
        seed: Draws what is random.
        compute: Where the network runs.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classify = _drawn(outputs)
    if start != "random":
        nn.init.zeros_(classify.fc.weight)
        nn.init.zeros_(classify.fc.bias)
    models.overlay(classify, weights)
    stage = model.get_submodule(PART)
    assert isinstance(stage, nn.Sequential)
    # torch's stubs know no format
    stage.append(Auxiliary(classify).to(compute.device, memory_format=compute.layout))  # type: ignore[call-overload]
    try:
        yield
    finally:
        del stage[-1]


def beside(upper: nn.Module) -> list[Auxiliary]:
    """Those that train with the parts."""
    return [it for it in upper.modules() if isinstance(it, Auxiliary) and it.training]


def _drawn(outputs: int) -> "InceptionAux":
    from torchvision.models.inception import InceptionAux  # 5 s of a core

    return InceptionAux(CHANNELS, outputs)
