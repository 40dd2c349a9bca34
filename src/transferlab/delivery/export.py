"""A model for other programs: pixels in, calibrated probabilities out; checked, then kept."""

import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..network.device import Compute
from ..params.record import plain
from .model import HEADER, Facts, Model
from .predictor import network

INPUT, OUTPUT = "pictures", "probabilities"
LARGEST = 1e-4  # difference of a probability that is let through
PLAIN = Compute(device=torch.device("cpu"), precision="fp32", memory_format="contiguous")
TRIES = 20  # of the latency

Run = Callable[[np.ndarray], np.ndarray]
"""Pictures uint8 [B, S, S, 3] -> probabilities float32 [B, K]."""


class Whole(nn.Module):
    """A network with all that stands before and behind it.

    Args:
        net: Images as the weights want them -> logits.
        facts: Of the model.
    """

    def __init__(self, net: nn.Module, facts: Facts):
        super().__init__()
        how = facts.pictures.preprocessing
        self.mean: Tensor
        self.std: Tensor
        self.net, self.temperature = net, facts.temperature
        self.register_buffer("mean", torch.tensor(how.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(how.std).view(1, 3, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        """uint8 [B, S, S, 3] -> calibrated probabilities float32 [B, K]."""
        pixels = pictures.permute(0, 3, 1, 2).to(torch.float32) / 255
        logits = self.net((pixels - self.mean) / self.std)
        return torch.softmax(logits / self.temperature, dim=1)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What is known of an exported file.

    Args:
        megabytes: Its size.
        difference: The largest between its probabilities and torch's.
        pictures: That it was checked on.
        milliseconds: For one picture, the median.
        torch_milliseconds: The same for torch.
    """

    megabytes: float
    difference: float
    pictures: int
    milliseconds: float
    torch_milliseconds: float


def export(model: Model, kind: str, pictures: np.ndarray, path: Path) -> Checked:
    """Write a model for other programs, once it is found to answer as torch does.

    Args:
        model: To be exported.
        kind: A key of `KINDS`.
        pictures: Real ones to check with, uint8 [N, S, S, 3] as the network sees them; one will do.
        path: Replaced only by what has passed.

    Raises:
        ValueError: A package is missing, or the answers differ.
    """
    require_packages(kind)
    write, load = KINDS[kind]
    whole = _whole(model)
    # an example of one would be taken for always one
    example = np.resize(pictures, (2, *pictures.shape[1:]))
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.part-") as folder:
        part = Path(folder) / path.name
        write(whole, model.facts, example, part)
        run = load(part)
        difference = _difference(_torch(whole), run, pictures)
        if not difference <= LARGEST:
            raise ValueError(
                f"{path}: expected probabilities within {LARGEST:g} of torch's, got a difference "
                f"of {difference:.3g}. Nothing was written; try the other format."
            )
        checked = Checked(
            megabytes=part.stat().st_size / 1e6,
            difference=difference,
            pictures=len(pictures),
            milliseconds=_milliseconds(run, pictures[:1]),
            torch_milliseconds=_milliseconds(_torch(whole), pictures[:1]),
        )
        part.chmod(0o644)
        part.replace(path)
    return checked


def require_packages(kind: str) -> None:
    """Refuse a format whose packages are not installed.

    Raises:
        ValueError: Which are missing.
    """
    missing = [name for name in PACKAGES[kind] if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"--format {kind}: expected the packages {', '.join(PACKAGES[kind])}, found no "
            f"{', '.join(missing)}. Run: pip install {' '.join(missing)}"
        )


def _whole(model: Model) -> Whole:
    """On the CPU in fp32, with convolutions and norm layers as their authors wrote them: whoever
    runs the file folds one into the other himself.
    """
    net = network(model, PLAIN)
    for module in net.modules():
        vars(module).pop("forward", None)  # of `backbones.fuse`
    return Whole(net, model.facts).eval()


def _torch(module: nn.Module) -> Run:
    def run(pictures: np.ndarray) -> np.ndarray:
        """See `Run`."""
        with torch.no_grad():
            found: np.ndarray = module(torch.from_numpy(pictures)).numpy()
        return found

    return run


def _write_pt2(whole: Whole, facts: Facts, example: np.ndarray, path: Path) -> None:
    torch.export.save(_program(whole, example), path, extra_files={f"{HEADER}.json": _json(facts)})


def _load_pt2(path: Path) -> Run:
    return _torch(torch.export.load(path).module())


def _write_onnx(whole: Whole, facts: Facts, example: np.ndarray, path: Path) -> None:
    with warnings.catch_warnings():  # about the exporter's own insides
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            _program(whole, example),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamo=True,
            verbose=False,
        )
    program.model.metadata_props[HEADER] = _json(facts)
    program.save(path, external_data=False)


def _load_onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(pictures: np.ndarray) -> np.ndarray:
        """See `Run`."""
        (found,) = session.run([OUTPUT], {INPUT: pictures})
        return np.asarray(found)

    return run


def _program(whole: Whole, example: np.ndarray) -> Any:
    """For any number of pictures, by an example of two."""
    batch = {0: torch.export.Dim("batch")}
    return torch.export.export(whole, (torch.from_numpy(example),), dynamic_shapes=(batch,))


KINDS: dict[str, tuple[Callable[[Whole, Facts, np.ndarray, Path], None], Callable[[Path], Run]]] = {
    "pt2": (_write_pt2, _load_pt2),
    "onnx": (_write_onnx, _load_onnx),
}
"""Format -> how a file is written, and how it is run."""

PACKAGES = {"pt2": (), "onnx": ("onnx", "onnxscript", "onnxruntime")}


def _json(facts: Facts) -> str:
    return json.dumps(plain(facts), ensure_ascii=False)


def _difference(first: Run, second: Run, pictures: np.ndarray) -> float:
    """The largest of any probability, in batches of different sizes; NaN where there is one."""
    parts = np.array_split(pictures, [1, 3, 3 + 16])
    apart = [np.abs(first(part) - second(part)).max() for part in parts if len(part)]
    return float(np.max(apart))


def _milliseconds(run: Run, picture: np.ndarray) -> float:
    def once() -> float:
        """Milliseconds of one run."""
        started = time.perf_counter()
        run(picture)
        return 1000 * (time.perf_counter() - started)

    once()  # what is done at first use
    return statistics.median(once() for _ in range(TRIES))
