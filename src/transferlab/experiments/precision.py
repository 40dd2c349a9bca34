"""The precision and memory format that the network is evaluated in: pinned, or decided once on real
images.

The verdict is an output that training depends on, so timing noise cannot change a result: it is
measured again only when the weights, the images or the code change.
"""

import time
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from ..params.learning.engine import Engine
from ..params.learning.network import Preprocessing
from ..pipeline.files import write_json

if TYPE_CHECKING:  # torch takes seconds, and a pinned precision needs none
    from torch import Tensor, nn

    from ..network.device import Compute

IMAGES, REPEATS = 8, 3
COSINE = 0.999  # between the logits of a candidate and those of fp32, for every image
GAIN = 1.1  # a candidate must be this much faster than the reference
CHOICES = {"precision": ("fp32", "bf16"), "memory_format": ("channels_last", "contiguous")}


def decide(root: Path, backbone: str, preprocessing: Preprocessing, engine: Engine) -> None:
    """Write `data/precision.json`, the verdict, and `data/precision_times.json`, what it rests on.

    Among the candidates that agree with fp32 on real training images (the same largest logit and a
    cosine of at least 0.999 for each) the fastest wins, if it is at least a tenth faster than the
    reference.

    Args:
        root: Checkout that holds data/.
        backbone: Name of the network.
        preprocessing: Of its weights.
        engine: What is pinned, and what is to be decided.
    """
    verdict, trials = engine.pinned(), []
    if "auto" in (engine.precision, engine.memory_format):
        trials = measure(root, backbone, preprocessing, engine)
        agreeing = [trial for trial in trials if trial["agrees"]]
        fastest = min(agreeing, key=lambda trial: trial["seconds"])
        if fastest["seconds"] * GAIN <= trials[0]["seconds"]:
            verdict = {name: fastest[name] for name in CHOICES}
    write_json(root / "data/precision.json", verdict)
    write_json(root / "data/precision_times.json", {"images": IMAGES, "candidates": trials})


def candidates(engine: Engine) -> list[dict[str, str]]:
    """Every choice that is open, the reference first."""
    reference = engine.pinned()
    given = [
        choices if getattr(engine, name) == "auto" else (reference[name],)
        for name, choices in CHOICES.items()
    ]
    combined = [dict(zip(CHOICES, values, strict=True)) for values in product(*given)]
    return sorted(combined, key=lambda candidate: candidate != reference)


def measure(
    root: Path, backbone: str, preprocessing: Preprocessing, engine: Engine
) -> list[dict[str, Any]]:
    """Seconds and agreement of every candidate, the reference first; the arguments are those of
    `decide`.
    """
    import torch

    from ..network import backbones, device, models
    from ..network.setup import images_of, starting_weights
    from ..network.views import Views

    start = starting_weights(root)
    trials: list[dict[str, Any]] = []
    truth = None
    for candidate in candidates(engine):
        compute = device.prepare(engine, candidate)
        images = images_of(root, "train", compute)
        seen = Views(images=images, preprocessing=preprocessing, ranges=None, seed=0, side=0)
        rows = sorted({len(images) * number // IMAGES for number in range(IMAGES)})
        pixels = seen.finish(seen.crops(rows, None), rows, None, compute.device)
        model = backbones.build(backbone, head_outputs(start))
        models.overlay(model, start)
        backbones.move(model, compute)
        logits, seconds = trial(model, pixels.contiguous(memory_format=compute.layout), compute)
        truth = logits if truth is None else truth
        cosine = torch.cosine_similarity(logits, truth).min()
        same = torch.equal(logits.argmax(1), truth.argmax(1))
        agrees = bool(cosine >= COSINE and same)
        trials.append({**candidate, "seconds": seconds, "cosine": float(cosine), "agrees": agrees})
    return trials


def trial(model: "nn.Module", pixels: "Tensor", compute: "Compute") -> tuple["Tensor", float]:
    """Logits, and the median seconds of a pass forward, as frozen layers make it, and one forward
    and backward.
    """
    import torch

    seconds = []
    for _ in range(REPEATS + 1):
        begun = time.perf_counter()
        with compute.autocast():
            with torch.no_grad():
                logits = model(pixels).float()
            loss = model(pixels).float().logsumexp(1).mean()
        loss.backward()
        if compute.device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    return logits, median(seconds[1:])  # the first one warms up


def head_outputs(start: Mapping[str, "Tensor"]) -> int:
    """How many logits the starting weights have."""
    biases = [name for name in start if name.startswith("head.") and name.endswith("bias")]
    return start[max(biases)].numel()
