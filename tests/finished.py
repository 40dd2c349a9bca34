"""A finished run without a training: every file that comparison and report read, three strategies,
two seeds.
"""

import copy
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from transferlab.evidence.recommendation import evidence
from transferlab.params.compare import Compare
from transferlab.pipeline import files
from transferlab.prediction.reading import HISTORY, read_tables

CLASSES = ["ants", "bees"]
TEST = 20  # images of each class

# Per strategy: test images that the two seeds get wrong, mean validation accuracy, learner,
# training time, operations of each seed.
STRATEGIES: dict[str, tuple[tuple[int, int], float, str, float, int]] = {
    "scratch": ((18, 20), 0.60, "gradient", 148.3, 4 * 10**12),
    "frozen": ((2, 4), 0.95, "gradient", 20.0, 10**12),
    "probe": ((1, 1), 0.90, "logistic_regression", 5.0, 2 * 10**11),
}


def parameters(*names: str, **changed: Any) -> dict[str, Any]:
    strategies: dict[str, Any] = {
        name: {"title": f"title of {name}", "learner": STRATEGIES[name][2]}
        for name in names or STRATEGIES
    }
    for name, section in strategies.items():
        if section["learner"] == "gradient":
            section |= {
                "lr": 0.32,
                "start": "random" if name == "scratch" else "weights",
                "select_by": "accuracy",
            }
    return {
        "checked": True,
        "dataset": {
            **{"name": "hymenoptera", "textures": None, "path": None, "path_sha256": None},
            "imagenet": {"ants": [310], "bees": [309]},
        },
        "backbone": {
            **{"name": "resnet18", "weights": "official", "weights_sha256": None, "source": None},
            "preprocessing": {"crop_px": 7, "resize_px": 8},
            "precision": "fp32",
        },
        "seeds": [0, 1],
        "images_per_class": None,
        "train": {"validation_fraction": 0.2, "select_by": "accuracy", "max_epochs": None}
        | {"class_weights": "none"},
        "engine": {"device": "auto", "threads": 0, "precision": "fp32"},
        "strategies": strategies,
        "evaluate": {"tta_views": 5},
        "cross_validation": {"strategies": [], "repeats": 5, "folds": 5},
        "learning_curve": {"strategies": [], "fractions": [0.1, 0.5]},
        "compare": {"confidence": 0.95, "resamples": 200, "margin": 0.02, "calibration_bins": 10},
        "champion": {"strategy": None, "error": 0.01},
        "tuning": {"trials": 1, "lr": [0.5, 1, 2], "epochs": [1]},
        **changed,
    }


def facts_of(name: str, params: dict[str, Any], validation: float | None = None) -> dict[str, Any]:
    seed: dict[str, Any] = {
        "status": "finished",
        "diverged_epoch": None,
        "best_epoch": 2,
        "fit_images": 195,
        "validation_images": 49,
        "key": "f" * 64,
        "model_sha256": "e" * 64,
        "operations": STRATEGIES[name][4],
    }
    seed |= {
        "validation_accuracy": STRATEGIES[name][1] if validation is None else validation,
        "validation_loss": 0.2,
    }
    used = {key: params[key] for key in ("backbone", "seeds", "train", "engine")}
    return {
        "strategy": name,
        "title": params["strategies"][name]["title"],
        "dataset": params["dataset"]["name"],
        "learner": STRATEGIES[name][2],
        "backbone": params["backbone"]["name"],
        "preprocessing": params["backbone"]["preprocessing"],
        "classes": CLASSES,
        "params": {**used, "strategy": params["strategies"][name]},
        "start_sha256": "b" * 64,
        "trainable_parameters": 1026,
        "device": "CPU",
        "threads": 2,
        "precision": "fp32",
        "memory_format": "channels_last",
        "versions": {"python": "3.11", "torch": "2.13"},
        "seeds": {"0": seed, "1": copy.deepcopy(seed)},
    }


def costs_of(name: str) -> dict[str, Any]:
    seconds = STRATEGIES[name][3]
    costs: dict[str, Any] = {"train_seconds": seconds, "shared_seconds": 0.0}
    costs |= {"seconds_per_seed": {"0": seconds / 2, "1": seconds / 2}}
    return costs | {"peak_memory_mb": 1000.0, "device": "CPU"}


def history_of(name: str) -> list[dict[str, Any]]:
    row = {"strategy": name, "phase": "all", "lr": None, "chosen": 1, "train_accuracy": 0.9}
    row["gradient_norm"] = 1.5
    row |= {"train_loss": 0.25, "validation_loss": 0.5, "validation_accuracy": 0.75}
    epochs = (1, 2) if STRATEGIES[name][2] == "gradient" else (0,)
    rows = [{**row, "seed": seed, "epoch": epoch} for seed in (0, 1) for epoch in epochs]
    return [{column: row[column] for column in HISTORY} for row in rows]


def rows_of(
    name: str, wrong: Sequence[int], labels: list[str], ids: list[str], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Predictions of which the first images are wrong, as many as `wrong` says for each seed."""
    rows = []
    for seed, count in enumerate(wrong):
        for i, label in enumerate(labels):
            predicted = label if i >= count else next(other for other in classes if other != label)
            rest = 0.2 / (len(classes) - 1)
            chances = {f"p_{one}": 0.8 if one == predicted else rest for one in classes}
            row: dict[str, Any] = {
                "strategy": name,
                "seed": seed,
                "id": ids[i],
                "label": label,
                "predicted": predicted,
            }
            rows.append(row | chances)
    return rows


def write_data(root: Path, classes: list[str]) -> tuple[list[str], list[str]]:
    """The files of the first stages; gives ids and labels of the test images."""
    processed = root / "data/processed"
    labels = [label for label in classes for _ in range(TEST)]
    ids = [f"test/{label}/{i}.png" for i, label in enumerate(labels)]
    pixels = bytes(i % 251 for i in range(216 * len(ids)))
    manifest = [
        {"id": id, "split": "test", "label": label, "width": 9, "height": 8, "sha256": "0" * 64}
        | {"stored_width": 9, "stored_height": 8, "offset": i * 216}
        | {"stored_sha256": hashlib.sha256(pixels[i * 216 : (i + 1) * 216]).hexdigest()}
        for i, (id, label) in enumerate(zip(ids, labels, strict=True))
    ]
    files.write_csv(processed / "test/manifest.csv", list(manifest[0]), manifest)
    (processed / "test/images.bin").write_bytes(pixels)
    Image.new("RGB", (8, 8)).save(processed / "samples.png")
    told = {"dataset": "hymenoptera", "classes": classes, "store_px": 8}
    files.write_json(processed / "classes.json", told)
    counts = [{"class": name, "train": 122, "test": TEST} for name in classes]
    files.write_csv(processed / "class_counts.csv", ["class", "train", "test"], counts)
    skipped = [{"id": "train/ants/imageNotFound.gif", "reason": "not a photograph"}]
    files.write_csv(processed / "skipped.csv", ["id", "reason"], skipped)
    alike = ["id", "other", "split", "other_split", "distance"]
    files.write_csv(root / "data/splits/near_duplicates.csv", alike, [])
    archive = {"name": "archive.zip", "origin": "https://example.org/a.zip", "verified_by": "sha1"}
    files.write_json(
        root / "data/raw/archive.json", archive | {"sha256": "a" * 64, "contents_sha256": "c" * 64}
    )
    start: dict[str, Any] = {
        "backbone": "resnet18",
        "weights": "official",
        "origin": "https://example.org/w.pth",
    }
    file = {"name": "w.pth", "tensors_used": 102, "tensors_held": 103, "head_outputs": 1000}
    start |= {
        "sha256": "b" * 64,
        "source_file_sha256": "d" * 64,
    }
    undone = {"undone": ["opened 'state_dict'"]}
    files.write_json(root / "data/weights/file.json", file | undone)
    files.write_json(root / "data/weights/start.json", start)
    if not (root / "params.yaml").exists():
        files.write_text(root / "params.yaml", "checked: true\n")
    return ids, labels


def write_predictions(
    root: Path, name: str, ids: list[str], labels: list[str], classes: list[str]
) -> None:
    """What evaluation leaves of one strategy; its validation images are the last ten test
    images.
    """
    wrong = STRATEGIES[name][0]
    for kind, some in (("", slice(None)), ("validation/", slice(-10, None)), ("tta/", slice(None))):
        rows = rows_of(name, wrong, labels[some], ids[some], classes)
        files.write_csv(root / f"predictions/{kind}{name}.csv", list(rows[0]), rows)
    features, views = (
        np.zeros((len(ids), 4), np.float16),
        3 if STRATEGIES[name][2] == "gradient" else 0,
    )
    (root / "predictions/pictures").mkdir(parents=True, exist_ok=True)
    np.savez(
        root / f"predictions/pictures/{name}.npz",
        before=features,
        after=features,
        maps=np.ones((len(ids), 2, 2), np.float16),
        views=np.zeros((2, 1 + views, 8, 8, 3), np.uint8),
    )


KEPT = TemporaryDirectory(prefix="finished-")


def write_all(root: Path, params: dict[str, Any], classes: list[str] = CLASSES) -> None:
    """Every file that the report reads, beside what is there; for empty folders the same ones are
    computed once.
    """
    if root.exists() and any(root.iterdir()):
        _write_all(root, params, classes)
        return
    asked = json.dumps([params, classes])
    kept = Path(KEPT.name, hashlib.sha256(asked.encode()).hexdigest())
    if not kept.exists():
        _write_all(kept, params, classes)
    shutil.copytree(kept, root, dirs_exist_ok=True)


def _write_all(root: Path, params: dict[str, Any], classes: list[str]) -> None:
    ids, labels = write_data(root, classes)
    for name in params["strategies"]:
        write_predictions(root, name, ids, labels, classes)
        files.write_json(
            root / f"runs/{name}/facts.json", facts_of(name, params) | {"classes": classes}
        )
        history = history_of(name)
        files.write_csv(root / f"runs/{name}/history.csv", list(history[0]), history)
        files.write_json(root / f"runs/{name}/costs.json", costs_of(name))
    rows = rows_of("majority", (TEST,), labels, ids, classes)
    files.write_csv(root / "predictions/controls/majority.csv", list(rows[0]), rows)
    compare(root, params, classes)


def compare(root: Path, params: dict[str, Any], classes: list[str] = CLASSES) -> None:
    """What the stage of this name writes."""
    names = list(params["strategies"])
    predictions, validation, tta = (
        read_tables(root / folder, names, classes)
        for folder in ("predictions", "predictions/validation", "predictions/tta")
    )
    found = evidence(
        predictions,
        validation=validation,
        tta=tta,
        controls=read_tables(root / "predictions/controls", ["majority"], classes),
        folds=read_tables(
            root / "predictions/cross_validation", params["cross_validation"]["strategies"], classes
        ),
        facts={name: files.read_json(root / f"runs/{name}/facts.json") for name in names},
        costs={name: files.read_json(root / f"runs/{name}/costs.json") for name in names},
        settings=Compare(**params["compare"]),
    )
    for name, content in found.items():
        files.write_json(root / f"metrics/{name}.json", content)


def diverge(root: Path, params: dict[str, Any], *names: str) -> None:
    """Let the second seed of some strategies diverge."""
    for name in names:
        facts = facts_of(name, params)
        seed = {
            "status": "diverged",
            "diverged_epoch": 2,
            "validation_accuracy": None,
            "validation_loss": None,
        }
        facts["seeds"]["1"] |= seed
        files.write_json(root / f"runs/{name}/facts.json", facts)
    compare(root, params)
