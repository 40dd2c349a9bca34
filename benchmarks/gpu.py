"""Everything to be measured on a GPU, in about six minutes and with luggage of less than 30 MiB.

`pack` runs where the project is whole, `run` where only torch, torchvision, numpy, pandas, pillow,
safetensors and scikit-learn are (with pydantic and PyYAML, which settings are read with). The same
`run` on a CPU gives what its accuracies are held against:

    python benchmarks/gpu.py pack luggage
    python benchmarks/gpu.py run luggage --device cpu --only sanity --out cpu.json
    python benchmarks/gpu.py run luggage --against cpu.json --out gpu.json
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from engine import Silence, divide, test
from PIL import Image
from torch import nn

from transferlab.data.images import read_classes
from transferlab.data.ingest import pixels
from transferlab.experiments import runs
from transferlab.network import backbones, device, models
from transferlab.params.learning.engine import REFERENCE
from transferlab.params.learning.recipe import recipe_of
from transferlab.params.reading import parse
from transferlab.params.whole import Params
from transferlab.pipeline.files import file_hash, write_json, write_text

HERE = Path(__file__).resolve().parent
SIDE, MOST_MIB, POINTS, LOOP = 256, 30, 0.02, 25
SMALL = ["preset=demo", "backbone.weights=none", "engine.threads=1", "train.max_epochs=2"]
SMALL += ["dataset.textures.train_per_class=8", "dataset.textures.test_per_class=4"]
SMALL += ["strategy=[probe,frozen,finetune]", "train.batch_size=8"]
Found = dict[str, Any]


def pack(given: argparse.Namespace) -> None:
    """Settings, photographs at 256 px and starting weights."""
    from transferlab.data.archive import bring
    from transferlab.settings import compose
    from transferlab.weights.start import write_start

    wanted = {"mobilenet_v2": given.weights, "resnet18": "none"}  # speed asks for no weights
    for name, weights in {"tiny": "none"}.items() if given.tiny else wanted.items():
        settings = SMALL if given.tiny else [f"backbone={name}", f"backbone.weights={weights}"]
        text = compose.compose([*settings, "seeds=[0]"])
        write_text(given.luggage / f"{name}.yaml", text)
        values = parse(yaml.safe_load(text))
        if weights != "none":
            start = {"train": values.train, "engine": values.engine, "code": "", "log": print}
            write_start(given.luggage / name, values.backbone, **start)
    with tempfile.TemporaryDirectory() as place:
        bring.bring(values.dataset, Path(place))
        _shrink(Path(place) / "archive.zip", given.luggage / "archive.zip")
    weighs = sum(it.stat().st_size for it in given.luggage.rglob("*") if it.is_file()) / 2**20
    if weighs > MOST_MIB:
        raise ValueError(f"{given.luggage}: expected {MOST_MIB} MiB at most, got {weighs:.0f}.")
    print(f"{given.luggage}: {weighs:.1f} MiB")


def _shrink(archive: Path, smaller: Path) -> None:
    """Photographs anew as JPEG, the shorter side 256 px; what is none stays."""
    with zipfile.ZipFile(archive) as whole, zipfile.ZipFile(smaller, "w") as file:
        for name in whole.namelist():
            content = whole.read(name)
            if name.endswith((".jpg", ".jpeg")):
                image = Image.open(io.BytesIO(content)).convert("RGB")
                scale = min(1.0, SIDE / min(image.size))
                size = tuple(round(scale * length) for length in image.size)
                image.resize(size, Image.Resampling.BICUBIC).save(made := io.BytesIO(), "JPEG")
                content = made.getvalue()
            file.writestr(name, content)


class Luggage:
    """What was packed, laid out as a checkout for each backbone.

    Args:
        folder: That was packed.
        place: Receives the checkouts; temporary.
        on: The device.
    """

    def __init__(self, folder: Path, place: Path, on: str):
        self.folder, self.place, self.on = folder, place, on
        self.names = sorted(path.stem for path in folder.glob("*.yaml"))
        self.decoding: dict[str, float] = {}
        """Seconds that it took, by backbone."""
        os.environ["DVC_ROOT"] = str(place)
        pixels.write_samples = lambda images, path: None  # draws letters that matplotlib finds

    def params(self, name: str) -> Params:
        """Settings of a backbone, on the device."""
        values = parse(yaml.safe_load((self.folder / f"{name}.yaml").read_text()))
        return replace(values, engine=replace(values.engine, device=self.on))

    def checkout(self, name: str) -> Path:
        """A folder with data/ as the stages before the training leave it."""
        root, values = self.place / name, self.params(name)
        if not root.exists():
            begun = time.perf_counter()
            pixels.preprocess(self.folder / "archive.zip", values.dataset, root / "data/processed")
            self.decoding[name] = time.perf_counter() - begun
            write_json(root / "data/precision.json", REFERENCE)
            weights, start = root / "data/weights", self.folder / name / "data/weights"
            if start.exists():
                shutil.copytree(start, weights)
            else:
                net = backbones.build(name, len(read_classes(root)), seed=0)
                sha256 = models.save(net.state_dict(), weights / "start.safetensors")
                write_json(weights / "start.json", {"sha256": sha256})
            divide(root, values)
        return root

    def photographs(self) -> Path:
        """The folder that the tutorial's loop reads."""
        if not (root := self.place / "photographs").exists():
            zipfile.ZipFile(self.folder / "archive.zip").extractall(root)
            if not next(root.rglob("train")).with_name("val").exists():
                next(root.rglob("test")).rename(next(root.rglob("train")).with_name("val"))
        return next(root.rglob("train")).parent


def train(luggage: Luggage, name: str, strategy: str) -> Found:
    """One seed afresh: seconds, the model's digest, and operations that are not deterministic."""
    root, values = luggage.checkout(name), luggage.params(name)
    shutil.rmtree(luggage.place / ".cache", ignore_errors=True)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        begun = time.perf_counter()
        runs.run(root, recipe_of(values, strategy), values.tuning, "benchmark", Silence())
        seconds = time.perf_counter() - begun
    words = [str(it.message) for it in said]
    return {
        "seconds": seconds,
        "sha256": file_hash(root / f"models/{strategy}/seed-0.safetensors"),
        "not deterministic": sorted({w.split()[0] for w in words if "deterministic" in w}),
    }


def sanity(luggage: Luggage, given: argparse.Namespace) -> Found:
    """Every strategy of the first backbone ends, twice; its accuracy, and whether the bytes are the
    same.
    """
    name, found = luggage.names[0], {}
    for strategy in luggage.params(name).strategies:
        first, again = (train(luggage, name, strategy) for _ in range(2))
        accuracy = test(luggage.checkout(name), strategy, luggage.params(name))["0"]
        same = first.pop("sha256") == again.pop("sha256")
        found[strategy] = {**first, "accuracy": accuracy, "same bytes": same}
        if given.against is not None:
            on_cpu = json.loads(given.against.read_text())["sanity"][strategy]["accuracy"]
            found[strategy]["as on the CPU"] = abs(accuracy - on_cpu) <= POINTS
    return found


def ratio(luggage: Luggage, given: argparse.Namespace) -> Found:
    """The tutorial's loop, timed over three epochs and extrapolated to 25, and one seed of
    `finetune`, each with its decoding and on the same device.
    """
    found = {}
    for name in luggage.names:
        words = ["--backbone", name if name != "tiny" else "mobilenet_v3_small"]
        words += ["--strategy", "finetune", "--epochs", "1" if name == "tiny" else "3"]
        command = [sys.executable, str(HERE / "tutorial.py"), str(luggage.photographs()), *words]
        command += ["--device", given.device, "--workers", str(0 if name == "tiny" else 4)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        epochs = json.loads(done.stdout.splitlines()[-1])["epochs"]
        loop = LOOP * sum(row["seconds"] for row in epochs) / len(epochs)
        ours = train(luggage, name, "finetune")["seconds"] + luggage.decoding[name]
        found[name] = {"loop seconds": loop, "engine seconds": ours, "ratio": loop / ours}
    return found


def profile(luggage: Luggage, given: argparse.Namespace) -> Found:
    """Where the time of one epoch of `finetune` goes: the twelve dearest operations."""
    name = luggage.names[0]
    values = luggage.params(name)
    values = replace(values, train=replace(values.train, max_epochs=1))
    root = luggage.checkout(name)
    shutil.rmtree(luggage.place / ".cache", ignore_errors=True)
    with torch.profiler.profile() as watched:
        runs.run(root, recipe_of(values, "finetune"), values.tuning, "profile", Silence())
    key = "self_cpu_time_total" if given.device == "cpu" else "self_device_time_total"
    rows = sorted(watched.key_averages(), key=lambda row: -getattr(row, key))
    return {row.key: {"calls": row.count, "ms": getattr(row, key) / 1e3} for row in rows[:12]}


def speed(luggage: Luggage, given: argparse.Namespace) -> Found:
    """Images a second through each backbone: forward and training step, by precision, each
    operation by itself (eager) or as one CUDA graph.
    """
    found: Found = {}
    for name in luggage.names:
        side = luggage.params(name).backbone.preprocessing.crop_px
        for precision in ("fp32", "tf32", "bf16"):
            for kind in ("forward", "step"):
                with _precision(precision, given.device):
                    work = _work(name, side, kind, precision, given)
                    rates = {"eager": _rate(work, given)}
                    if given.device == "cuda":
                        rates["graph"] = _rate(_graph(work), given)
                found[f"{name} {kind} {precision}"] = rates
    return found


@contextmanager
def _precision(name: str, on: str) -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "tf32"
    # a graph must not hold casts that were cached outside of it
    with torch.autocast(on, torch.bfloat16, enabled=name == "bf16", cache_enabled=False):
        yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def _work(
    name: str, side: int, kind: str, precision: str, given: argparse.Namespace
) -> Callable[[], None]:
    net = backbones.build(name, 2, seed=0).to(given.device, memory_format=torch.channels_last)
    images = torch.randn(given.batch, 3, side, side, device=given.device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(given.batch, dtype=torch.int64, device=given.device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    net.train(kind == "step")

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()

    @torch.no_grad()
    def forward() -> None:
        net(images)

    return step if kind == "step" else forward


def _graph(work: Callable[[], None]) -> Callable[[], None]:
    """The same as one graph; captured after three rounds on a stream of their own."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def _rate(work: Callable[[], None], given: argparse.Namespace) -> float:
    """Images a second, over `--seconds` or more."""
    wait = torch.cuda.synchronize if given.device == "cuda" else (lambda: None)
    for _ in range(1 if given.device == "cpu" else 5):
        work()
    wait()
    rounds, begun = 0, time.perf_counter()
    while (passed := time.perf_counter() - begun) < given.seconds or not rounds:
        work()
        wait()
        rounds += 1
    return given.batch * rounds / passed


PARTS = {"sanity": sanity, "ratio": ratio, "profile": profile, "speed": speed}


def run(given: argparse.Namespace) -> None:
    """Measure, part after part; each stands in the result as soon as it is there."""
    found: Found = {
        "machine": device.describe(torch.device(given.device)),
        "torch": torch.__version__,
        "command": {key: str(value) for key, value in vars(given).items()},
    }
    with tempfile.TemporaryDirectory() as place:
        luggage = Luggage(given.luggage, Path(place), given.device)
        for name in given.only or PARTS:
            begun = time.perf_counter()
            found[name] = PARTS[name](luggage, given)
            print(f"{name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
            if given.out is not None:
                write_json(given.out, found)
    print(json.dumps(found, indent=1))


def main() -> None:
    """Pack, or run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("do", choices=("pack", "run"))
    parser.add_argument("luggage", type=Path)
    parser.add_argument("--tiny", action="store_true", help="pack: drawn textures, for a test")
    parser.add_argument("--weights", default="official", help="pack: of mobilenet_v2; or a file")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--only", nargs="*", choices=PARTS)
    parser.add_argument("--against", type=Path, help="the result of the same on a CPU")
    parser.add_argument("--batch", type=int, default=64, help="of the raw speed")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each raw speed")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    pack(given) if given.do == "pack" else run(given)


if __name__ == "__main__":
    main()
