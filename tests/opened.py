"""The files that stages open, against those that `dvc.yaml` lists: no import tells those."""

from collections.abc import Iterable
from pathlib import Path

import yaml
from checkout import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
KEYS = {
    "train": ("frozen",),
    "evaluate": ("frozen",),
    "cross_validate": ("frozen",),
    "learning_curve": ("frozen",),
}
RUNS = [(stage, key) for stage in STAGES for key in KEYS.get(stage, ("",))]
NAMES = ["@".join(filter(None, run)) for run in RUNS]
# every stage checks the first, and looks up in the others what it depends on
PARAMETERS = {"params.yaml", "dvc.yaml", "dvc.lock"}
CHECK = ("src/transferlab/params",)  # of the whole file; test_pipeline.py says what else is used
# caches, locks and the tracking store are nobody's input
KEPT = (".cache", ".dvc/cache", ".dvc/config", ".dvc/tmp", "mlartifacts", "mlflow.db")
KEPT += ("mlflow.db-journal", "mlflow.db.init.lock")

UNREAD = {"controls": ["data/weights/start.safetensors"]}
"""Read only where the starting weights have ImageNet's head, which these have not."""


def audited(lists: Path) -> dict[str, str]:
    """The environment in which every stage, and every process that it starts, leaves a list."""
    return {"PYTHONPATH": str(ROOT / "tests/audit"), "AUDIT": str(lists)}


def listed(root: Path, path: Path) -> dict[str, set[str]]:
    """The files of one list that are still there: temporary ones are not."""
    found: dict[str, set[str]] = {"read": set(), "written": set()}
    for line in path.read_text().splitlines():
        kind, name = line.split(" ", 1)
        if (root / name).is_file() and not lies_in(name, KEPT):
            found[kind].add(name)
    return found


def declared(name: str, *kinds: str) -> list[str]:
    """The paths that `dvc.yaml` lists for one run of a stage."""
    stage, _, key = name.partition("@")
    entry = STAGES[stage].get("do", STAGES[stage])
    items = [item for kind in kinds for item in entry.get(kind, [])]
    paths = [next(iter(item)) if isinstance(item, dict) else item for item in items]
    return [path.replace("${key}", key) for path in paths]


def lies_in(path: str, places: Iterable[str]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def touched(place: str, paths: Iterable[str]) -> bool:
    return any(lies_in(path, [place]) for path in paths)


def says_nothing(path: str) -> bool:
    """A room's description, without a statement (test_pipeline.py)."""
    return path.startswith("src/") and path.endswith("/__init__.py")
