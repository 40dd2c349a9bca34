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
from typing import Any

from ..network.device import REFERENCE, reference_for
from ..params.whole import Params
from ..pipeline.files import read_json, write_json

IMAGES, REPEATS = 8, 3

COSINE = 0.999  # between the logits of a candidate and those of fp32, for every image

GAIN = 1.1  # a candidate must be this much faster than the reference


def decide(root: Path, params: Params) -> None:
    """Write `data/engine.json`, the verdict, and `data/engine_times.json`, what it rests on.

    Among the candidates that agree with fp32 on real training images (the same largest logit and a
    cosine of at least 0.999 for each) the fastest wins, if it is at least a tenth faster than the
    reference.
    """
    verdict, trials = reference_for(params.engine), []
    if "auto" in (params.engine.precision, params.engine.memory_format):
        trials = measure(root, params, verdict)
        agreeing = [trial for trial in trials if trial["agrees"]]
        fastest = min(agreeing, key=lambda trial: trial["seconds"])
        if fastest["seconds"] * GAIN <= trials[0]["seconds"]:
            verdict = {name: fastest[name] for name in REFERENCE}
    write_json(root / "data/engine.json", verdict)
    write_json(root / "data/engine_times.json", {"images": IMAGES, "candidates": trials})


def measure(root: Path, params: Params, reference: Mapping[str, str]) -> list[dict[str, Any]]:
    """Seconds and agreement of every candidate, the reference first.

    A trial is a pass forward, as frozen layers make it, and one forward and backward; the median of
    some counts.
    """
    import torch

    from ..data.images import load_images
    from ..network import backbones, device, models
    from ..network.views import Views

    choices = {"precision": ("fp32", "bf16"), "memory_format": ("channels_last", "contiguous")}
    given = {
        name: choices[name] if getattr(params.engine, name) == "auto" else (reference[name],)
        for name in choices
    }
    candidates = sorted(
        product(*given.values()), key=lambda pair: pair != tuple(reference.values())
    )
    start = models.read(
        root / "data/weights/start.safetensors",
        read_json(root / "data/weights/start.json")["sha256"],
    )
    outputs = start[
        max(name for name in start if name.startswith("head.") and name.endswith("bias"))
    ].numel()
    classes = read_json(root / "data/processed/classes.json")["classes"]
    images = load_images(root / "data/processed/train", classes)
    seen = Views(
        images=images, preprocessing=params.backbone.preprocessing, ranges=None, seed=0, side=0
    )
    rows = sorted({len(images) * place // IMAGES for place in range(IMAGES)})
    trials, truth = [], None
    for precision, memory_format in candidates:
        place = device.prepare(
            params.engine, {"precision": precision, "memory_format": memory_format}
        )
        model = backbones.build(params.backbone.name, outputs)
        models.overlay(model, start)
        backbones.move(model, place)
        crops = seen.crops(rows, None)
        pixels = seen.finish(crops, rows, None, place.device).contiguous(memory_format=place.layout)
        seconds = []
        for _ in range(REPEATS + 1):
            begun = time.perf_counter()
            with place.autocast():
                with torch.no_grad():
                    logits = model(pixels).float()
                loss = model(pixels).float().logsumexp(1).mean()
            loss.backward()
            if place.device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - begun)
        truth = logits if truth is None else truth
        agrees = torch.cosine_similarity(logits, truth).min() >= COSINE and torch.equal(
            logits.argmax(1), truth.argmax(1)
        )
        trials.append(
            {
                "precision": precision,
                "memory_format": memory_format,
                "seconds": median(seconds[1:]),
                "cosine": float(torch.cosine_similarity(logits, truth).min()),
                "agrees": bool(agrees),
            }
        )
    return trials
