"""A model of this project asked about pictures of anybody's."""

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..data.images import Images, Pixels, in_order
from ..network import backbones, device
from ..network.activations import IMAGES_A_PASS
from ..network.device import Compute
from ..network.neighbours import make_room
from ..network.setup import Setup
from ..pipeline.files import read_json
from ..pipeline.places import checkout
from ..prediction.observer import Observer
from .model import Facts, Model, calibrated, read
from .pictures import name_of, pixels_of


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model says about one picture.

    Args:
        name: Of the picture: its path, else `image 1` and so on.
        label: The most probable class.
        probability: Of it, calibrated.
        unsure: Whether that is below the model's threshold.
        probabilities: Of every class, calibrated, the most probable first.
    """

    name: str
    label: str
    probability: float
    unsure: bool
    probabilities: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Unusable:
    """A picture without an answer.

    Args:
        name: Of the picture.
        reason: The end of a sentence that begins with its name.
    """

    name: str
    reason: str


class Predictor:
    """Answers for pictures, decoded and seen as the test images are.

    Args:
        model: What to ask.
        on: "auto" (cuda where there is one), "cpu" or "cuda".

    Raises:
        ValueError: There is no such device.
    """

    def __init__(self, model: Model, on: str = "auto"):
        self.facts = model.facts
        compute = _compute(model.facts, on)
        setup = Setup(
            compute=compute,
            preprocessing=model.facts.pictures.preprocessing,
            augment=None,
            memory_mb=0,
        )
        self._observer = Observer(net=network(model, compute), cut=0, setup=setup)

    @classmethod
    def load(cls, model: str | os.PathLike[str] = "champion", on: str = "auto") -> "Predictor":
        """A model from a file.

        Args:
            model: `champion`, what the pipeline of this checkout recommends; or a file that its
                stage wrote.
            on: "auto" (cuda where there is one), "cpu" or "cuda".

        Raises:
            ValueError: There is no such model, or the file is something else or damaged.
        """
        return cls(champion() if model == "champion" else read(Path(model)), on)

    def __call__(self, pictures: Any) -> list[Answer]:
        """An answer for each picture, in their order.

        Args:
            pictures: Paths, PIL images or arrays uint8 [H, W, 3] of RGB; one alone will do.

        Raises:
            ValueError: A picture cannot be used.
        """
        answers = []
        for found in self.each([pictures] if _is_one(pictures) else pictures):
            if isinstance(found, Unusable):
                raise ValueError(f"{found.name}: {found.reason}.")
            answers.append(found)
        return answers

    def each(self, pictures: Iterable[Any]) -> Iterator[Answer | Unusable]:
        """The same one after the other, in batches; what cannot be used does not stop it."""
        for names, pixels in self.decoded(pictures):
            good = [one for one in pixels if not isinstance(one, str)]
            answers = iter(self.probabilities(good) if good else ())
            for name, one in zip(names, pixels, strict=True):
                if isinstance(one, str):
                    yield Unusable(name=name, reason=one)
                else:
                    yield self.answer(name, next(answers))

    def decoded(self, pictures: Iterable[Any]) -> Iterator[tuple[list[str], list[Pixels | str]]]:
        """Batches of names, and of pixels or why there are none; decoded ahead on all cores."""
        Image.init()  # Pillow imports its readers at first use, which threads should not do at once
        with ThreadPoolExecutor(min(device.cores(), 8)) as pool:
            numbered = enumerate(pictures, 1)
            ready = in_order(pool, self._decode, numbered, ahead=IMAGES_A_PASS)
            while batch := list(itertools.islice(ready, IMAGES_A_PASS)):
                names, pixels = zip(*batch, strict=True)
                yield list(names), list(pixels)

    def probabilities(self, pixels: Sequence[Pixels]) -> np.ndarray:
        """As trained, before the temperature: float32 [B, K] of one batch."""
        images = _images(pixels, self.facts.classes)
        return self._observer.predict(images, np.arange(len(images)))

    def answer(self, name: str, probabilities: np.ndarray) -> Answer:
        """What probabilities [K] as trained say of one picture."""
        sure = calibrated(probabilities[None], self.facts.temperature)
        # A temperature changes no order, but may make two probabilities equal.
        order = np.argsort(-probabilities, kind="stable").tolist()
        chances = {self.facts.classes[i]: float(sure[0, i]) for i in order}
        label = next(iter(chances))
        return Answer(
            name=name,
            label=label,
            probability=chances[label],
            unsure=not self.facts.unsure.gives(sure.max(axis=1))[0],
            probabilities=chances,
        )

    def _decode(self, numbered: tuple[int, Any]) -> tuple[str, Pixels | str]:
        number, picture = numbered
        name = name_of(picture, number)
        try:
            return name, pixels_of(picture, self.facts.pictures)
        except ValueError as error:
            return name, str(error)


def champion() -> Model:
    """What the stage of this name made of this checkout.

    Raises:
        ValueError: It has not run, or no strategy finished.
    """
    folder = checkout() / "champion"
    if not (folder / "facts.json").is_file():
        raise ValueError(f"{folder}: expected a model, found none. Run: dvc repro champion")
    facts = read_json(folder / "facts.json")
    if "why" in facts:
        raise ValueError(f"{folder}: expected a model, found none: {facts['why']}.")
    return read(folder / "model.safetensors")


def network(model: Model, compute: Compute) -> torch.nn.Sequential:
    """The network of a model in eval mode, on the device."""
    facts = model.facts
    net = backbones.build(facts.backbone, len(facts.classes))
    backbones.new_head(
        net,
        len(facts.classes),
        start="zero",
        seed=0,
        hidden=facts.head_hidden,
        dropout=facts.head_dropout,
        neighbours=facts.head_neighbours,
    )
    make_room(net, model.tensors)
    net.load_state_dict(dict(model.tensors))
    return backbones.move(net.eval(), compute)


def _compute(facts: Facts, on: str) -> Compute:
    """As trained; but bf16 is slow where it was not measured."""
    if on not in ("auto", "cpu", "cuda"):
        raise ValueError(f"on: expected auto, cpu or cuda, got {on!r}.")
    if on == "cuda" and not torch.cuda.is_available():
        raise ValueError("on: expected a CUDA device, torch found none. Use auto or cpu.")
    chosen = torch.device("cuda" if on != "cpu" and torch.cuda.is_available() else "cpu")
    same = device.describe(chosen) == facts.device
    return Compute(
        device=chosen,
        precision=facts.precision if same else "fp32",
        memory_format=facts.memory_format,
    )


def _images(pixels: Sequence[Pixels], classes: tuple[str, ...]) -> Images:
    """A batch as the images of a split, whose labels nobody knows."""
    shapes = np.array([one.shape[:2] for one in pixels], dtype=np.int64)
    ends = np.cumsum(3 * shapes.prod(axis=1))
    return Images(
        ids=tuple(map(str, range(len(pixels)))),
        labels=np.zeros(len(pixels), np.int64),
        classes=classes,
        digest="",
        pixels=np.concatenate([one.reshape(-1) for one in pixels]),
        places=np.column_stack([ends - 3 * shapes.prod(axis=1), shapes]),
    )


def _is_one(pictures: Any) -> bool:
    if isinstance(pictures, np.ndarray):  # one of other channels is one that cannot be used
        return pictures.ndim == 2 or (pictures.ndim == 3 and pictures.shape[2] in (1, 3, 4))
    return isinstance(pictures, str | bytes | os.PathLike | Image.Image)
