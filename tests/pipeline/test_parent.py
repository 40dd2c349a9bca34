"""A stage that DVC started ends with it; one that a person started does not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import toy

from transferlab.pipeline import files, lock, parent

DVC = """
import subprocess, sys
subprocess.run(sys.argv[1:])
"""
"""What DVC does around a stage: it starts it through a shell and waits."""
KEEPS = ["sh", "-c", "{python} stages/toy.py; true"]
"""A shell that stays the stage's parent."""
BECOMES = ["sh", "-c", "exec {python} stages/toy.py"]
"""A shell that the stage takes the place of."""
WORK = """
open("began", "w").write(str(os.getpid()))
while not os.path.exists("go on"): time.sleep(0.01)
write_text(root / "made/toy.csv", "of an orphan")
"""
STUCK = """
from transferlab.pipeline import parent
parent.PATIENCE = 1
open("began", "w").write(str(os.getpid()))
while True:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        pass
"""


class Started:
    """A stage, and the process that stands for DVC."""

    def __init__(self, root: Path, command: list[str], work: str = WORK, **environment: str):
        words = [word.format(python=sys.executable) for word in command]
        self.root, self.errors = root, root / "errors"
        with self.errors.open("w") as errors:
            self.dvc = subprocess.Popen(
                [sys.executable, "-c", DVC, *words],
                cwd=root,
                env=toy.environment(WORK=work, **environment),
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        assert toy.wait_until(lambda: self._pid() != "", 30)
        self.stage = psutil.Process(int(self._pid()))

    def kill_dvc(self) -> None:
        self.dvc.kill()
        self.dvc.wait(10)

    def ended(self, seconds: float) -> bool:
        return toy.wait_until(self._over, seconds)

    def _over(self) -> bool:
        """Gone, or waiting to be buried: in a container nobody may do that."""
        return not self.stage.is_running() or self.stage.status() == psutil.STATUS_ZOMBIE

    def go_on(self) -> None:
        (self.root / "go on").touch()

    def _pid(self) -> str:
        path = self.root / "began"
        return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("shell", [KEEPS, pytest.param(BECOMES, marks=pytest.mark.drill)])
@pytest.mark.parametrize("address", ["toy", pytest.param("dvc.yaml:toy", marks=pytest.mark.drill)])
def test_a_stage_ends_when_its_dvc_is_killed_and_writes_nothing(
    root: Path, shell: list[str], address: str
) -> None:
    started = Started(root, shell, DVC_STAGE=address)
    started.kill_dvc()
    assert started.ended(5)
    assert started.errors.read_text() == (
        "toy: the DVC that started it is gone, so it stops and writes no result. "
        "Run the same command again to go on.\n"
    )
    assert not (root / "made/toy.csv").exists()
    with lock.Lock(root, "toy").taken() as killed:
        assert killed is None


@pytest.mark.drill
@pytest.mark.parametrize("environment", [{}, {"DVC_STAGE": "other"}, {"DVC_STAGE": "toy@frozen"}])
def test_a_stage_that_a_person_started_outlives_who_started_it(
    root: Path, environment: dict[str, str]
) -> None:
    started = Started(root, KEEPS, **environment)
    started.kill_dvc()
    assert not started.ended(2 * parent.SECONDS)
    started.go_on()
    assert started.ended(10)
    assert (root / "made/toy.csv").read_text() == "of an orphan"
    assert started.errors.read_text() == ""


@pytest.mark.slow
def test_a_stage_ends_when_its_checkout_is_deleted(root: Path) -> None:
    """A temporary experiment whose DVC failed."""
    started = Started(root, BECOMES, DVC_STAGE="toy")
    with started.errors.open() as words:
        shutil.rmtree(root)
        assert started.ended(5)
        assert words.read().startswith("toy: the DVC that started it is gone")
    started.dvc.wait(10)


@pytest.mark.drill
def test_a_stage_that_does_not_leave_by_itself_is_ended(root: Path) -> None:
    started = Started(root, KEEPS, work=STUCK, DVC_STAGE="toy")
    started.kill_dvc()
    assert started.ended(5)
    with lock.Lock(root, "toy").taken() as killed:
        assert killed is None


# Publishing


class Orphan:
    """A watch that has seen its DVC go."""

    def look(self) -> bool:
        return True


def test_what_an_orphan_has_made_takes_nobody_s_place_but_its_progress_is_kept(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_text(tmp_path / "a.txt", "of a newer run")
    monkeypatch.setattr(parent._State, "watch", Orphan())
    with pytest.raises(KeyboardInterrupt):
        files.write_text(tmp_path / "a.txt", "of an orphan")
    assert (tmp_path / "a.txt").read_text() == "of a newer run"
    assert os.listdir(tmp_path) == ["a.txt"]
    files.write_text(own_home / ".cache/transferlab/resume/a.pt", "progress")
    assert (own_home / ".cache/transferlab/resume/a.pt").read_text() == "progress"
