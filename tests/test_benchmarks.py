"""The benchmark counts what it says, and its baseline is the tutorial's loop."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout import ROOT
from small import SETTINGS, params_of, prepare

from transferlab.params.reading import parse
from transferlab.settings import amount, compose

sys.path.insert(0, str(ROOT / "benchmarks"))
import bench

pytestmark = pytest.mark.slow
FEW = ["dataset.textures.train_per_class=6"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = prepare(tmp_path_factory.mktemp("bench"), params_of(*FEW))
    (root / "data/raw").mkdir()
    (root / "archive.zip").rename(root / "data/raw/archive.zip")
    return root


def child(script: str, *words: str) -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "benchmarks" / script), *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def engine(root: Path, strategy: str, *words: str) -> dict[str, Any]:
    classes = ["dataset.textures.classes=[stripes,dots]", "dataset.classes=[stripes,dots]"]
    settings = [item for item in SETTINGS if not item.startswith("strateg")]
    return child("engine.py", str(root), strategy, *settings, *classes, *FEW, "seeds=[0]", *words)


@pytest.mark.drill
def test_engine_decodes_each_image_once_and_passes_it_once_per_view(prepared: Path) -> None:
    probe = engine(prepared, "probe", "--decode")
    assert probe["decodes"] == 2 * (6 + 3)
    # In training and in the test one image more, to measure what a feature takes; and an empty one
    # whose operations are counted.
    assert probe["passes"] == 2 * (6 + 3) + 3
    assert probe["seconds"].keys() == {"decode", "train", "test"}
    assert probe["accuracy"].keys() == {"0"}
    cached = engine(prepared, "probe")
    assert cached["decodes"] == 0
    assert cached["passes"] <= 3
    frozen = engine(
        prepared, "frozen", "strategies.frozen.views=3", "strategies.frozen.epochs=5", "--no-test"
    )
    assert frozen["passes"] == 3 * 10 + 2 + 1 + 2, (
        "three views to fit on, one of two validation images, to measure, and to count"
    )
    assert frozen["accuracy"] is None


@pytest.mark.drill
def test_baseline_passes_every_image_in_every_epoch(prepared: Path) -> None:
    with zipfile.ZipFile(prepared / "data/raw/archive.zip") as file:
        file.extractall(prepared / "tutorial")
    folder = next((prepared / "tutorial").rglob("train")).parent
    (folder / "test").rename(folder / "val")
    words = [
        "--backbone",
        "mobilenet_v3_small",
        "--epochs",
        "2",
        "--workers",
        "0",
        "--decoded",
        "--channels-last",
    ]
    found = child("tutorial.py", str(folder), "--strategy", "partial", "--keep-memory", *words)
    assert [(epoch["train_passes"], epoch["val_passes"]) for epoch in found["epochs"]] == [
        (12, 6),
        (12, 6),
    ]
    assert found["prepared_seconds"] > 0


def test_the_larger_set_has_its_images_in_ten_classes() -> None:
    settings = ["backbone=mobilenet_v2", "strategy=probe", *bench.drawn(3000)]
    values = parse(yaml.safe_load(compose.compose(settings)))
    assert amount.said(values.dataset) == amount.Amount(2100, 900, 10)
    assert bench.drawn(None) == []


def test_table_says_what_was_extrapolated() -> None:
    epoch = {
        "seconds": 10.0,
        "train_accuracy": 0.9,
        "train_passes": 244,
        "val_accuracy": 0.95,
        "val_passes": 153,
    }
    theirs = {"epochs": [epoch] * 3, "peak_memory_mb": 900.0}
    ours = {"passes": 397, "decodes": 397, "accuracy": {"0": 0.96}, "peak_memory_mb": 800.0}
    row = {"title": "probe", "tutorial_seconds": 250.0, "engine_seconds": 5.0, "ratio": 50.0}
    command = {"backbone": "resnet18", "weights": "none", "epochs": 3, "full": False, "rounds": 1}
    steps = [
        {"title": "the tutorial's loop", "seconds": 250.0},
        {"title": "decoded once", "seconds": 125.0},
    ]
    trial = {
        "precision": "bf16",
        "memory_format": "contiguous",
        "seconds": 0.5,
        "cosine": 0.99,
        "agrees": False,
    }
    result = {
        "machine": "2 cores",
        "command": command,
        "formats": [trial],
        "ladders": {"frozen": steps},
    }
    text = bench.table(
        {**result, "rows": [{**row, "rounds": [{"tutorial": theirs, "engine": ours}]}]}
    )
    assert "timed over 3 epochs, extrapolated to 25" in text
    assert (
        "| probe | 250.0 | 5.00 | **50.0x** | 9925 / 397 | 9925 / 397 | not run to the end | "
        "0.960 |"
    ) in text
    assert "| bf16 | contiguous | 0.500 | 0.99000 | no, or cosine < 0.999 |" in text
    assert "| decoded once | 125.00 | 2.0 |" in text


ABSENT = {"captum", "dotenv", "dvc", "hydra", "imagehash", "matplotlib", "mlflow", "omegaconf"}


@pytest.mark.drill
def test_what_is_measured_on_a_gpu_runs_on_the_cpu_without_most_of_our_packages(
    tmp_path: Path,
) -> None:
    script = str(ROOT / "benchmarks/gpu.py")
    packing = [sys.executable, script, "pack", str(tmp_path / "luggage"), "--tiny"]
    subprocess.run(packing, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    words = ["run", str(tmp_path / "luggage"), "--device", "cpu", "--batch", "2"]
    words += ["--seconds", "0.01", "--out", str(tmp_path / "cpu.json")]
    code = f"""
import runpy, sys
sys.path.insert(0, {str(ROOT / "benchmarks")!r})
sys.modules |= dict.fromkeys({ABSENT})  # an import of one of them fails
sys.argv = [{script!r}, *{words}]
runpy.run_path({script!r}, run_name="__main__")
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    found = json.loads((tmp_path / "cpu.json").read_text())
    assert [*found] == ["machine", "torch", "command", "sanity", "ratio", "profile", "speed"]
    assert list(found["sanity"]) == ["probe", "frozen", "finetune"]
    assert all(row["same bytes"] for row in found["sanity"].values())
    assert found["ratio"]["tiny"]["ratio"] > 0
    assert "aten::mkldnn_convolution" in found["profile"]
    kinds = [
        f"tiny {kind} {how}" for how in ("fp32", "tf32", "bf16") for kind in ("forward", "step")
    ]
    assert list(found["speed"]) == kinds
    assert all(rates.keys() == {"eager"} for rates in found["speed"].values())
