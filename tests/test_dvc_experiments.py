"""`dvc exp run` beside others, queued and elsewhere, on a few drawn textures."""

import itertools
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from repository import SMALL, TWO, Repository, ran

pytestmark = pytest.mark.drill


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository(tmp_path_factory.mktemp("repository"))
    said = made.experiment(*TWO)
    # of outputs that no stage has made yet, which DVC would have in thirty lines at a first run
    assert "track" in ran(said) and "No file hash info found" not in said
    made.commit()
    return made


def test_a_narrowed_result_clones_clean_and_widening_it_trains_nothing(
    repository: Repository, tmp_path: Path
) -> None:
    """The leftovers of other strategies would stand in the hashes of what depends on folders."""
    repository.experiment(*SMALL, "strategy=frozen")
    repository("dvc", "remote", "add", "--default", "shared", str(tmp_path / "remote"))
    repository.commit()
    repository("dvc", "push")
    clone = tmp_path / "clone"
    repository("git", "clone", "--quiet", str(repository.root), str(clone))
    repository("dvc", "--cd", str(clone), "pull")
    assert "up to date" in repository("dvc", "--cd", str(clone), "status")
    assert ran(repository("dvc", "--cd", str(clone), "repro")) == []
    assert not list((repository.root / "predictions").rglob("scratch.*"))
    repository.compose(*TWO)
    assert ran(repository("dvc", "repro", "evaluate@scratch")) == []
    assert (repository.root / "predictions/scratch.csv").is_file()
    repository("git", "checkout", "--", ".")
    repository("dvc", "checkout")


def test_a_second_experiment_in_the_workspace_is_refused_and_the_first_is_recorded(
    repository: Repository,
) -> None:
    repository.commit()
    own = (*TWO, "strategies.scratch.lr=0.04", "seeds=[0,1,2,3,4,5,6,7]")
    command = ["dvc", "exp", "run", "--name", "first", "train@scratch"]
    with subprocess.Popen(
        [*command, *(word for setting in own for word in ("-S", setting))],
        cwd=repository.root,
        env=repository.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as first:
        assert first.stdout is not None
        next(line for line in first.stdout if "scratch: seed 0 finished" in line)
        theirs = repository.digest("params.yaml")
        second = repository.experiment(*TWO, "strategies.scratch.lr=0.03", fails=True)
        assert first.poll() is None
        assert repository.digest("params.yaml") == theirs
        rest = first.stdout.read()
    assert f"expected no other experiment at work here, got one (PID {first.pid})." in second
    assert ran(second) == []
    assert first.returncode == 0, rest
    assert "Ran experiment(s): first" in rest
    references = repository("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    (reference,) = [name for name in references if name.endswith("/first")]
    kept = yaml.safe_load(repository("git", "show", f"{reference}:params.yaml"))
    assert kept["strategies"]["scratch"]["lr"] == 0.04
    facts = json.loads((repository.root / "runs/scratch/facts.json").read_text())
    assert facts["params"]["strategy"]["lr"] == 0.04
    assert repository("git", "symbolic-ref", "--short", "HEAD").strip() == "main"
    repository("git", "checkout", "--", ".")


def test_queued_runs_execute_their_own_copy_of_the_code(repository: Repository) -> None:
    repository.commit()
    repository.experiment(*SMALL, "strategy=frozen,probe", "seeds=[5]", flags=("--queue",))
    broken = repository.root / "src/transferlab/evidence/numbers.py"
    original = broken.read_text()
    broken.write_text("raise RuntimeError('the code of the main checkout')\n")
    # As an editable install would put it there.
    repository("dvc", "queue", "start", PYTHONPATH=str(repository.root / "src"))
    status = ""
    for _ in range(120):
        status = repository("dvc", "queue", "status")
        if len(re.findall(r"\b(Success|Failed)\b", status)) >= 2:
            break
        time.sleep(2)
    broken.write_text(original)
    assert len(re.findall(r"\bSuccess\b", status)) == 2, status


GRID = """
from mlflow import MlflowClient
client = MlflowClient("sqlite:///mlflow.db")
runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
keys = ("transferlab.kind", "backbone", "strategy", "seed")
for run in runs:
    print("run", run.info.status, *(run.data.tags.get(key) for key in keys))
"""


def test_of_a_grid_with_two_workers_nothing_is_lost_and_nothing_doubled(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    made = Repository(tmp_path_factory.mktemp("grid"))
    small = [setting for setting in SMALL if not setting.startswith("preset=")]
    sides = ("backbone.preprocessing.resize_px=64", "backbone.preprocessing.crop_px=64")
    grid = ("strategy=frozen,probe", "backbone=tiny,mobilenet_v3_small")
    made.experiment(*small, "dataset=textures", *sides, *grid, flags=("--queue",))
    made("dvc", "queue", "start", "-j", "2", TRANSFERLAB_TRACKING="on")
    for _ in range(300):
        status = made("dvc", "queue", "status")
        if len(re.findall(r"\b(Success|Failed)\b", status)) >= 4:
            break
        time.sleep(2)
    assert len(re.findall(r"\bSuccess\b", status)) == 4, status
    shown = json.loads(made("dvc", "exp", "show", "--json"))
    (kept,) = [state["experiments"] for state in shown if state["rev"] != "workspace"]
    assert len(kept) == 4
    found = re.findall(r"^run .*$", made(sys.executable, "-c", GRID), re.MULTILINE)
    combinations = list(itertools.product(("mobilenet_v3_small", "tiny"), ("frozen", "probe")))
    assert sorted(line for line in found if "training" in line) == [
        f"run FINISHED training {backbone} {strategy} {seed}"
        for backbone, strategy in combinations
        for seed in (0, 1)
    ]
    comparisons = [line for line in found if "comparison" in line]
    assert len(comparisons) == 4
    assert {line.split()[3] for line in comparisons} == {"mobilenet_v3_small", "tiny"}


def test_a_temporary_run_is_tracked_in_the_repository_itself(repository: Repository) -> None:
    repository.commit()
    repository.experiment(
        *SMALL, "strategy=probe", "seeds=[7]", flags=("--temp",), TRANSFERLAB_TRACKING="on"
    )
    code = """
import sys
from mlflow import MlflowClient
client = MlflowClient("sqlite:///mlflow.db")
runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
print(*sorted((r.data.tags.get("strategy", "parent"), r.info.status) for r in runs))
print(all(sys.argv[1] in r.info.artifact_uri for r in runs))
"""
    found = repository(sys.executable, "-c", code, str(repository.root / "mlartifacts"))
    assert "('parent', 'FINISHED') ('probe', 'FINISHED')" in found
    assert "True" in found
