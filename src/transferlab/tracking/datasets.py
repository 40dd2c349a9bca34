"""The images as MLflow's data sets, named by DVC's hashes."""

import json
from pathlib import Path
from typing import Any

from ..pipeline.files import read_csv, read_json
from .provenance import Lock

TRAINING, TEST = "training", "test"


def of(root: Path, lock: Lock, name: str) -> list[tuple[Any, str]]:
    """The training and the test images as `mlflow.entities.Dataset`, and what each is for.

    Args:
        root: the checkout.
        lock: without what made the images there is none.
        name: of the data set.
    """
    from mlflow.entities import Dataset

    counts = read_csv(root / "data/processed/class_counts.csv")
    archive = read_json(root / "data/raw/archive.json")
    found = []
    for split, use in (("train", TRAINING), ("test", TEST)):
        place = f"data/processed/{split}"
        digest = lock.digest("preprocess", place)
        if digest is None:
            continue
        profile = {"num_rows": sum(int(row[split]) for row in counts), "classes": len(counts)}
        source = {"path": place, "archive": archive["name"], "archive_sha256": archive["sha256"]}
        data = Dataset(
            name=f"{name}/{split}",
            digest=digest,
            source_type="dvc",
            source=json.dumps(source),
            profile=json.dumps(profile),
        )
        found.append((data, use))
    return found
