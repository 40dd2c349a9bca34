"""DVC killed, its cache full, and code edited, at the worst moments of a real training."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from repository import TWO, Repository, ran
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


STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def started() -> Iterator[None]:
    """Nothing lives on, and all can be interrupted: a shell switches Ctrl-C off for what it starts
    in the background, and children inherit it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
    while STARTED:
        dvc = STARTED.pop()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(dvc.pid, signal.SIGKILL)
        dvc.wait()
        assert dvc.stdout is not None
        dvc.stdout.close()


def begin(repository: Repository, *command: str) -> subprocess.Popen[str]:
    dvc = subprocess.Popen(
        ["dvc", *command],
        cwd=repository.root,
        env=repository.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C reaches all of a terminal's processes
    )
    STARTED.append(dvc)
    return dvc


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

    assert wait_until(look, 600)
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
    words, _ = dvc.communicate(timeout=600)
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


@pytest.fixture
def small_cache(prepared: Repository) -> Iterator[Path]:
    """DVC's cache on a file system that has 300 kB left."""
    cache, aside = prepared.root / ".dvc/cache", prepared.root / ".dvc/aside"
    cache.rename(aside)
    cache.mkdir()
    taken = sum(path.stat().st_blocks * 512 for path in aside.rglob("*") if path.is_file())
    size = f"size={taken + 300_000}"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(cache)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        cache.rmdir()
        aside.rename(cache)
        pytest.skip("mounting takes more rights")
    shutil.copytree(aside, cache, dirs_exist_ok=True)
    yield cache
    subprocess.run(["umount", "--lazy", str(cache)], check=True)
    cache.rmdir()
    aside.rename(cache)


def saves(repository: Repository, ending: str = ".pt") -> dict[str, int]:
    """The saved trainings, and when they were written."""
    found = {}
    for path in (repository.root / KEPT).glob(f"*{ending}"):
        with contextlib.suppress(OSError):
            if "previous" not in path.name:
                found[path.stem] = path.stat().st_mtime_ns
    return found


def saved_epoch(repository: Repository) -> int:
    """Of the one saved training; 0 where there is none, or between two saves."""
    for key in saves(repository):
        with contextlib.suppress(OSError):
            path = repository.root / KEPT / f"{key}.pt"
            return int(torch.load(path, weights_only=True)["epoch"])
    return 0


def seconds(repository: Repository) -> dict[str, float]:
    """What each training took: to the last digit the same only where it is the same one."""
    costs = json.loads((repository.root / "runs/scratch/costs.json").read_text())
    return dict(costs["seconds_per_seed"])


def test_a_result_that_a_full_cache_did_not_take_is_recorded_later_without_a_training(
    prepared: Repository, small_cache: Path
) -> None:
    shutil.rmtree(prepared.root / KEPT, ignore_errors=True)
    prepared.compose(*TWO, "strategies.scratch.lr=0.03")
    train = ("dvc", "repro", "--single-item", "train@scratch")
    output = prepared(*train, fails=True)
    assert "scratch: seed 1 finished" in output
    assert "No space left on device" in output
    trained, taken = saves(prepared).keys(), seconds(prepared)
    assert len(trained) == 2
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_cache)], check=True)
    assert ran(prepared(*train)) == ["train@scratch"]
    assert seconds(prepared) == taken
    assert saves(prepared, ".result").keys() == trained
    assert ran(prepared("dvc", "repro", "--single-item", "evaluate@scratch"))
    assert saves(prepared, ".recorded").keys() == trained


def test_a_training_goes_on_from_the_same_file_whichever_command_runs_it(
    prepared: Repository,
) -> None:
    shutil.rmtree(prepared.root / KEPT, ignore_errors=True)
    own = (*TWO, *ENDLESS, "engine.checkpoint_seconds=0.5", "seeds=[0]")
    prepared.compose(*own)
    prepared("dvc", "repro", "split")
    prepared.commit()
    settings = [word for setting in own for word in ("-S", setting)]
    reached = 0
    for command in (
        ["exp", "run", "--temp", *settings, "train@scratch"],
        ["exp", "run", *settings, "train@scratch"],
        ["repro", "train@scratch"],
    ):
        dvc, seen = begin(prepared, *command), [0]
        while seen[-1] <= reached and dvc.poll() is None:
            seen.append(saved_epoch(prepared))
        os.killpg(dvc.pid, signal.SIGINT)
        words, _ = dvc.communicate(timeout=600)
        assert seen[-1] > reached, words
        assert min(filter(None, seen)) >= reached, "never began anew"
        reached = saved_epoch(prepared)
