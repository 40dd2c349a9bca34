"""DVC killed, and code edited, at the worst moments of a real training."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml
from repository import TWO, Repository
from toy import wait_until

pytestmark = pytest.mark.drill

ENDLESS = ("strategies.scratch.epochs=100000", "train.max_epochs=null")
KEPT = ".cache/transferlab/resume"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """All stages ahead of the training are done."""
    made = Repository(tmp_path_factory.mktemp("repository"))
    made("dvc", "repro", "precision", "split")
    return made


def begin(repository: Repository, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["dvc", *command],
        cwd=repository.root,
        env=repository.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def stage_of(dvc: subprocess.Popen[str]) -> psutil.Process | None:
    """The Python process of the stage that DVC runs."""
    for process in psutil.Process(dvc.pid).children(recursive=True):
        words = process.cmdline()
        if "stages/train.py" in words and words[0].endswith("python"):
            return process
    return None


def when(dvc: subprocess.Popen[str], true: Callable[[psutil.Process], bool]) -> psutil.Process:
    """The stage's process, once something is true of it."""
    found: list[psutil.Process] = []

    def look() -> bool:
        process = stage_of(dvc)
        if process is not None and true(process):
            found.append(process)
        return bool(found)

    assert wait_until(look, 120)
    return found[0]


def ended(process: psutil.Process) -> bool:
    """Whether it is gone, or waits to be buried: in a container nobody may do that."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def imports_torch(process: psutil.Process) -> bool:
    return "libtorch" in Path(f"/proc/{process.pid}/maps").read_text()


def recorded(repository: Repository) -> bool:
    """Whether DVC takes the training of `scratch` for done."""
    lock = yaml.safe_load((repository.root / "dvc.lock").read_text())
    return "train@scratch" in lock["stages"]


def test_code_edited_while_torch_is_imported_is_bound_to_no_result(prepared: Repository) -> None:
    edited = prepared.root / "src/transferlab/experiments/runs.py"
    before = edited.read_text()
    dvc = begin(prepared, "repro", "--single-item", "train@scratch")
    when(dvc, imports_torch)
    edited.write_text(before + "\n# edited\n")
    words, _ = dvc.communicate(timeout=120)
    edited.write_text(before)
    assert dvc.returncode
    assert "but src/transferlab/experiments/runs.py changed while it ran" in words
    assert not recorded(prepared)


def test_an_orphan_saves_itself_ends_in_time_and_leaves_the_next_run_s_result_alone(
    prepared: Repository,
) -> None:
    prepared.compose(*TWO, *ENDLESS, "engine.checkpoint_seconds=1000")
    dvc = begin(prepared, "repro", "--single-item", "train@scratch")
    stage = when(dvc, lambda process: process.cpu_times().user > 8)
    dvc.kill()
    assert wait_until(
        lambda: ended(stage), 30
    )  # test_parent.py says five, of a stage without torch
    words, _ = dvc.communicate(timeout=10)
    assert "train@scratch: the DVC that started it is gone" in words
    (kept,) = (prepared.root / KEPT).iterdir()
    assert kept.stat().st_size
    prepared.compose(*TWO)
    output = prepared("dvc", "repro", "--single-item", "train@scratch")
    assert "previous attempt" not in output
    assert recorded(prepared)
    assert prepared("dvc", "status", "train@scratch").endswith("up to date.\n")
