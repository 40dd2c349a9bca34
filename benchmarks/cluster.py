"""What Ray adds: jobs a minute by the number of workers, and seconds of a job beside its training.

Toy trainings on this machine alone (drawn textures, one thread), so that little but the overhead is
left. The clock of the jobs begins when every worker has given its first result: until then Ray
starts, and workers import.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import yaml
from bench import machine
from engine import Silence, divide

from transferlab.commands.cluster import jobs, sending
from transferlab.data.archive import textures
from transferlab.data.images import read_classes
from transferlab.data.ingest.pixels import preprocess
from transferlab.experiments import runs
from transferlab.network import backbones, device, models
from transferlab.params.learning.engine import REFERENCE
from transferlab.params.learning.recipe import recipe_of
from transferlab.params.reading import parse
from transferlab.params.whole import Params
from transferlab.pipeline.files import write_json, write_text
from transferlab.settings import compose

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ["preset=demo", "strategy=[finetune]", "backbone.weights=none", "engine.threads=1"]
SETTINGS += ["engine.device=cpu", "dataset.textures.train_per_class=20", "train.max_epochs=4"]


def prepared(root: Path, count: int) -> Params:
    """A checkout that asks for so many trainings of `finetune`."""
    text = compose.compose([*SETTINGS, f"seeds={list(range(count))}".replace(" ", "")])
    write_text(root / "params.yaml", text)
    values = parse(yaml.safe_load(text))
    for name in ("dvc.yaml", "src", "stages"):
        (root / name).symlink_to(ROOT / name)
    assert values.dataset.textures is not None
    textures.write_archive(values.dataset.textures, root / "archive.zip")
    preprocess(root / "archive.zip", values.dataset, root / "data/processed")
    net = backbones.build(values.backbone.name, len(read_classes(root)), seed=0)
    sha256 = models.save(net.state_dict(), root / "data/weights/start.safetensors")
    write_json(root / "data/weights/start.json", {"sha256": sha256})
    write_json(root / "data/precision.json", REFERENCE)
    divide(root, values)
    return values


def alone(root: Path, values: Params) -> float:
    """Seconds of a training, all in this process."""
    begun = time.perf_counter()
    recipe = recipe_of(values, "finetune")
    runs.run(root, recipe, values.tuning, "benchmark", Silence())
    return (time.perf_counter() - begun) / len(values.seeds)


def through_ray(root: Path, values: Params, workers: int, place: Path) -> tuple[float, float]:
    """Seconds until the first result, and seconds from one result to the next after it."""
    os.environ["TMPDIR"] = str(place)  # of the nodes: nothing is done there yet
    tempfile.tempdir = None
    asked = jobs.jobs_of(root, values, [("train", "finetune")])
    share = sending.Share(cpus=device.cores() / workers, gpus=0)
    begun, ends = time.perf_counter(), []
    with sending.connected(None):
        sending.expect_nodes_of_this_kind(values.engine, share)
        for job, done in sending.results(asked, sending.files_of(root, ["train"]), share):
            assert isinstance(done, sending.Done), f"{job}: {done}"
            ends.append(time.perf_counter() - begun)
    # every worker's first result carries its imports
    return ends[0], (ends[-1] - ends[workers - 1]) / (len(ends) - workers)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=24)
    count = parser.parse_args().jobs
    print(f"`python benchmarks/cluster.py --jobs {count}`: {machine()}\n")
    print("| workers | until the first result, s | jobs a minute | a job beside its training, s |")
    print("| --: | --: | --: | --: |")
    with tempfile.TemporaryDirectory(prefix="ray-") as place:
        root = Path(place, "checkout")
        root.mkdir()
        os.environ["DVC_ROOT"] = place
        values = prepared(root, count)
        own = alone(root, values)
        print(f"| without Ray | | {60 / own:.0f} | |", flush=True)
        for workers in range(1, device.cores() + 1):
            (node := Path(place, str(workers))).mkdir()
            first, each = through_ray(root, values, workers, node)
            beside = workers * each - own
            print(f"| {workers} | {first:.0f} | {60 / each:.0f} | {beside:.2f} |", flush=True)


if __name__ == "__main__":
    main()
