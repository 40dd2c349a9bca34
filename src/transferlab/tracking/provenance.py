"""Where a run comes from and how it is made again: tags that lead from MLflow to the repository."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..pipeline.files import content_hash
from ..pipeline.places import baseline

COMMIT, UNCOMMITTED = "mlflow.source.git.commit", "transferlab.uncommitted"
EXPERIMENT, STAGE, AGAIN = "dvc.experiment", "dvc.stage", "transferlab.again"
CODE = ("conf", "dvc.yaml", "params.yaml", "requirements.lock", "src", "stages")
"""What makes the results, and is not made by them."""
NAMED = 5  # files of a long list


def of_code(root: Path) -> dict[str, str]:
    """The commit that a checkout stands on, and what of its code and settings is not in it."""
    commit = baseline()
    return {} if commit is None else {COMMIT: commit, UNCOMMITTED: _uncommitted(root)}


def _uncommitted(root: Path) -> str:
    command = ["git", "status", "--porcelain", "-z", "--no-renames", "--", *CODE]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        return "unknown"
    names = [entry[3:] for entry in done.stdout.split("\0") if entry]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more or "none"


class Lock:
    """`dvc.lock`: the hashes of what went into each stage and came out of it.

    Args:
        root: The checkout; without the file nothing is known.
    """

    def __init__(self, root: Path) -> None:
        path = root / "dvc.lock"
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml takes a tenth of the time
        text = path.read_text(encoding="utf-8") if path.is_file() else "{}"
        self.stages: dict[str, Any] = yaml.load(text, Loader=loader).get("stages", {})

    def digest(self, stage: str, path: str) -> str | None:
        """DVC's hash of what a stage made."""
        outs = self.stages.get(stage, {}).get("outs", [])
        return next((out["md5"] for out in outs if out["path"] == path), None)

    def tags(self, stage: str) -> dict[str, str]:
        """The stage, and what its entry and the images are named by."""
        entry = self.stages.get(stage)
        found = {
            "lock.sha256": None if entry is None else content_hash(entry),
            "data.md5": self.digest("preprocess", "data/processed/train"),
        }
        return {STAGE: stage} | {name: value for name, value in found.items() if value}


def source(name: str) -> dict[str, str]:
    """What the column "Source" shows."""
    return {"mlflow.source.type": "LOCAL", "mlflow.source.name": name}


def again(tags: Mapping[str, str], targets: Sequence[str]) -> str:
    """The commands that make a run again.

    Args:
        tags: Of the run.
        targets: Of DVC.
    """
    lines = []
    if commit := tags.get(COMMIT):
        lines += [f"git checkout {commit}", "make setup"]
    if experiment := tags.get(EXPERIMENT):
        lines.append(f"dvc exp apply {experiment}")
    elif (edited := tags.get(UNCOMMITTED, "none")) != "none":
        lines.append(f"# not in that commit: {edited}; params.yaml is a comparison's artifact")
    return "\n".join([*lines, " ".join(["dvc repro", *targets])])
