"""How much memory the images take while a network is trained on them: 1000 and 100 000 images of
256 x 340 px.

The pixels are a sparse file, so that 26 GB of them need no disk. What the process itself holds
(anonymous memory) is what must not grow; pages of the mapped file are the kernel's to take back at
any time.
"""

import argparse
import csv
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import yaml

from transferlab.data.images import load_images
from transferlab.data.ingest.pixels import MANIFEST
from transferlab.network.views import Views
from transferlab.params.reading import parse
from transferlab.settings import compose

HEIGHT, WIDTH = 256, 340


def held() -> dict[str, float]:
    """Anonymous and file-backed memory of this process, MB."""
    text = Path("/proc/self/status").read_text()
    return {
        name: int(re.findall(rf"{name}:\s+(\d+)", text)[0]) / 1e3 for name in ("RssAnon", "RssFile")
    }


def write(folder: Path, count: int) -> None:
    """A processed split of so many black images."""
    size = HEIGHT * WIDTH * 3
    black = hashlib.sha256(bytes(size)).hexdigest()
    with (folder / "images.bin").open("wb") as file:
        file.truncate(count * size)
    with (folder / "manifest.csv").open("w", newline="") as file:
        rows = csv.DictWriter(file, MANIFEST)
        rows.writeheader()
        shape = {"width": WIDTH, "height": HEIGHT, "stored_width": WIDTH, "stored_height": HEIGHT}
        for i in range(count):
            place = {
                "id": f"train/a/{i:06}.jpg",
                "split": "train",
                "label": "a",
                "sha256": f"{i:064x}",
                "offset": i * size,
                "stored_sha256": black,
            }
            rows.writerow({**place, **shape})


def measure(folder: Path, batches: int) -> None:
    """Crops of random images, as an epoch asks for them, and of the same ones again; prints what is
    held.
    """
    values = parse(yaml.safe_load(compose.compose()))
    before = held()
    images = load_images(folder, ["a"])
    preprocessing, ranges = values.backbone.preprocessing, values.train.augment
    views = Views(
        images=images,
        preprocessing=preprocessing,
        ranges=ranges,
        seed=0,
        side=preprocessing.crop_px,
    )
    order, seconds = np.random.default_rng(0).permutation(len(images)), []
    for _ in range(2):
        begun = time.perf_counter()
        for start in range(0, batches * 32, 32):
            rows = order[np.arange(start, start + 32) % len(order)].tolist()
            views.finish(views.crops(rows, 0), rows, 0, torch.device("cpu"))
        seconds.append(time.perf_counter() - begun)
    print(
        json.dumps(
            {
                "images": len(images),
                "crops": batches * 32,
                "seconds": seconds,
                "before": before,
                "after": held(),
            }
        )
    )


def main() -> None:
    """Measure each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="measure this one")
    parser.add_argument("--batches", type=int, default=200)
    given = parser.parse_args()
    if given.folder:
        measure(given.folder, given.batches)
        return
    print(
        "| images | pixels, GB | crops | held, MB: before, after | mapped, MB | crops per second: "
        "first, again |"
    )
    print("| --: | --: | --: | --: | --: | --: |")
    for count in (1_000, 100_000):
        with tempfile.TemporaryDirectory(prefix="transferlab-memory-") as name:
            write(Path(name), count)
            command = [sys.executable, __file__, "--folder", name, "--batches", str(given.batches)]
            found = json.loads(
                subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            )
            rates = [found["crops"] / seconds for seconds in found["seconds"]]
            gigabytes = count * HEIGHT * WIDTH * 3 / 1e9
            print(
                f"| {count} | {gigabytes:.1f} | {found['crops']} | "
                f"{found['before']['RssAnon']:.0f}, "
                f"{found['after']['RssAnon']:.0f} | {found['after']['RssFile']:.0f} "
                f"| {rates[0]:.0f}, {rates[1]:.0f} |"
            )


if __name__ == "__main__":
    main()
