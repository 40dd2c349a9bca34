"""`dvc.yaml` against the files that the stages open, for no import tells those."""

import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from checkout import ROOT
from repository import SMALL, Repository

pytestmark = pytest.mark.slow

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
SETTINGS = (
    *SMALL,
    "strategy=frozen",
    "cross_validation.strategies=[frozen]",
    "cross_validation.repeats=1",
    "cross_validation.folds=2",
    "train.validation_fraction=0.4",  # of the few that a fold leaves
    "learning_curve.strategies=[frozen]",
    "learning_curve.fractions=[0.5]",
    "engine.precision=auto",
)
KEYS = {
    "train": ("frozen",),
    "evaluate": ("frozen",),
    "cross_validate": ("frozen",),
    "learning_curve": ("frozen",),
}
RUNS = [(stage, key) for stage in STAGES for key in KEYS.get(stage, ("",))]
NAMES = ["@".join(filter(None, run)) for run in RUNS]
PARAMETERS = {"params.yaml", "dvc.yaml"}  # every stage checks the one, and looks itself up in both
CHECK = ("src/transferlab/params",)  # of the whole file; test_pipeline.py says what else is used
# caches, locks and the tracking store are nobody's input
KEPT = (".cache", ".dvc/tmp", "mlartifacts", "mlflow.db")
KEPT += ("mlflow.db-journal", "mlflow.db.init.lock")

UNREAD = {
    "controls": ["data/weights/start.safetensors", "data/weights/start.json"],
    "track": ["data/processed/test"],
}
"""Read only where the starting weights have ImageNet's head, which these have not, and where a
model is registered, which one of drawn textures is not."""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, set[str]]]:
    """What every stage, and every process that it starts, reads and writes below the checkout."""
    made = Repository(tmp_path_factory.mktemp("repository"))
    made.compose(*SETTINGS)
    lists = tmp_path_factory.mktemp("lists")
    audit = {"PYTHONPATH": str(ROOT / "tests/audit"), "AUDIT": str(lists)}
    for stage, key in RUNS:
        command = [sys.executable, f"stages/{stage}.py", *filter(None, [key])]
        made(*command, **audit, TRANSFERLAB_TRACKING="on")
    return {name: listed(made.root, lists / name) for name in NAMES}


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


@pytest.mark.parametrize("name", NAMES)
def test_stage_reads_nothing_but_its_dependencies_and_its_own_results(
    name: str, opened: dict[str, dict[str, set[str]]]
) -> None:
    allowed = declared(name, "deps", "outs", "metrics")
    read = {path for path in opened[name]["read"] - PARAMETERS if not says_nothing(path)}
    read = {path for path in read if not lies_in(path, CHECK)}
    assert f"stages/{name.partition('@')[0]}.py" in read
    assert {path for path in read if not lies_in(path, allowed)} == set()


@pytest.mark.parametrize("name", NAMES)
def test_stage_reads_something_of_every_result_that_it_lists(
    name: str, opened: dict[str, dict[str, set[str]]]
) -> None:
    """So that no change of what a stage does not read runs it."""
    results = [path for path in declared(name, "deps") if not path.startswith(("src/", "stages/"))]
    unread = [place for place in results if not touched(place, opened[name]["read"])]
    assert unread == UNREAD.get(name, [])


@pytest.mark.parametrize("name", NAMES)
def test_stage_writes_exactly_its_outputs(
    name: str, opened: dict[str, dict[str, set[str]]]
) -> None:
    places, written = declared(name, "outs", "metrics"), opened[name]["written"]
    assert {path for path in written if not lies_in(path, places)} == set()
    assert [place for place in places if not any(lies_in(path, [place]) for path in written)] == []
