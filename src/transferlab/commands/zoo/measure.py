"""One backbone measured, in a process of its own."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from ...params.learning.network import FAMILIES
from ...settings.libraries import said_of

BATCH, REPEATS = 4, 3


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is known of a backbone here.

    Args:
        name: Of the backbone.
        side: Of its images in pixels.
        parameters: Number of them, with a head of `classes` outputs.
        features: Number of values that enter the head.
        megabytes: Of a model on disk.
        top1: Published accuracy of its first weights on ImageNet-1k, in per cent; None: unknown.
        forward: Images a second, see `measure`.
        training: Images a second, forward and backward with a step.
        memory_mb: Peak memory of the process while it trains, over what it took before.
    """

    name: str
    side: int
    parameters: int
    features: int
    megabytes: float
    top1: float | None
    forward: float
    training: float
    memory_mb: float


def measure(name: str, classes: int = 2) -> Measured:
    """Build a backbone with random weights and time it.

    On a CPU a second is one of a core, so that neither the number of cores nor other programs
    count; on CUDA it is one of the clock. The median of three batches of four images, after one
    more.

    Raises:
        ValueError: There is no such backbone, or it cannot be divided into parts.
    """
    import torch

    from ...network import backbones, device

    side, top1 = (64, None) if name == "tiny" else _published(name)
    device.keep_freed_memory()
    torch.set_num_threads(1)
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    before = device.peak_memory_mb(place)
    net = backbones.build(name, classes).to(place)
    images = torch.rand(BATCH, 3, side, side, device=place)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)

    def forward() -> None:
        """A pass as frozen layers make it."""
        with torch.no_grad():
            net(images)

    def training() -> None:
        """A step."""
        optimizer.zero_grad()
        net(images).logsumexp(1).mean().backward()
        optimizer.step()

    on_cuda = place.type == "cuda"
    speeds = [BATCH / _seconds(work, on_cuda) for work in (forward, training)]
    tensors = [*net.parameters(), *net.buffers()]
    return Measured(
        name=name,
        side=side,
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        features=net[:-1](images[:1]).shape[1],
        megabytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6,
        top1=top1,
        forward=speeds[0],
        training=speeds[1],
        memory_mb=device.peak_memory_mb(place) - before,
    )


def _published(name: str) -> tuple[int, float | None]:
    """Side of the images, and the accuracy that the library gives."""
    said = said_of(f"torchvision/{name}" if name in FAMILIES else name, "official")
    return said["crop_px"], said["top1"]


def _seconds(work: Callable[[], None], on_cuda: bool) -> float:
    import torch

    taken = []
    for _ in range(REPEATS + 1):
        begun = time.perf_counter() if on_cuda else time.process_time()
        work()
        if on_cuda:
            torch.cuda.synchronize()
        taken.append((time.perf_counter() if on_cuda else time.process_time()) - begun)
    return statistics.median(taken[1:])  # the first one warms up
