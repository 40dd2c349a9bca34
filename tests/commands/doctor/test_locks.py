"""Locks of living and dead processes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from transferlab.commands.doctor import locks
from transferlab.settings import at_work

SLEEP = "import time; print('up', flush=True); time.sleep(60)"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".dvc/tmp/exps").mkdir(parents=True)
    return tmp_path


def started(*command: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


@pytest.fixture
def dvc(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A living process that is called as DVC is."""
    script = tmp_path / "bin/dvc"
    script.parent.mkdir()
    script.write_text(SLEEP)
    process = started(sys.executable, str(script), "repro")
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    """A living process that is no DVC, to which its number was given again."""
    process = started(sys.executable, "-c", SLEEP)
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def lock(root: Path, *pids: int, name: str = ".dvc/tmp/rwlock") -> None:
    first, *rest = ({"pid": pid, "cmd": "/x/bin/dvc repro"} for pid in pids)
    (root / name).write_text(json.dumps({"write": {"/a": first}, "read": {"/b": [first, *rest]}}))


def mend(root: Path, command: str) -> None:
    subprocess.run(command, cwd=root, shell=True, check=True)


@pytest.mark.parametrize("name", [".dvc/tmp/rwlock", ".dvc/tmp/exps/rwlock"])
def test_locks_of_a_dead_and_of_an_unrelated_process_are_told(
    root: Path, dead: int, other: subprocess.Popen[str], name: str
) -> None:
    lock(root, dead, other.pid, name=name)
    (found,) = locks.stale_dvc_locks(root)
    assert found.what.startswith(
        f"{name} holds locks of processes that are no DVC (PID {dead}: gone, PID {other.pid}: now "
    )
    mend(root, found.command)
    assert locks.stale_dvc_locks(root) == []


def test_locks_of_a_living_dvc_are_its_own(
    root: Path, dead: int, dvc: subprocess.Popen[str]
) -> None:
    lock(root, dead, dvc.pid)
    assert locks.stale_dvc_locks(root) == []
    with pytest.raises(
        ValueError,
        match=rf"expected no other experiment at work here, got one \(PID {dvc.pid}\)\. ",
    ):
        at_work.expect_nobody_else(root)


def test_a_damaged_file_of_locks_is_told(root: Path) -> None:
    (root / ".dvc/tmp/rwlock").write_text('{"read": {"/a": [{"pi')
    (found,) = locks.stale_dvc_locks(root)
    assert found.what == ".dvc/tmp/rwlock is damaged, and stops every command of DVC."
    mend(root, found.command)
    assert locks.stale_dvc_locks(root) == []
    at_work.expect_nobody_else(root)


@pytest.mark.parametrize("text", ["", "[]", '{"write": {"/a": {"pid": "x", "cmd": 1}}}', "{}"])
def test_whatever_a_file_of_locks_holds_nobody_is_at_work_by_it(root: Path, text: str) -> None:
    (root / ".dvc/tmp/rwlock").write_text(text)
    at_work.expect_nobody_else(root)
    assert locks.suspended_dvc(root) == []


def test_a_suspended_run_is_let_go_on(root: Path, dvc: subprocess.Popen[str]) -> None:
    lock(root, dvc.pid)
    assert locks.suspended_dvc(root) == []
    dvc.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, dvc.pid, os.WSTOPPED | os.WNOWAIT)
    (found,) = locks.suspended_dvc(root)
    assert found.command == f"kill -CONT {dvc.pid}"
    mend(root, found.command)
    os.waitid(os.P_PID, dvc.pid, os.WCONTINUED)
    assert locks.suspended_dvc(root) == []


def test_a_lock_of_a_killed_git_is_told(root: Path) -> None:
    mend(root, "git init --quiet")
    (root / ".git/index.lock").touch()
    assert locks.stale_git_locks(root, somebody_is_at_work=True) == []
    (found,) = locks.stale_git_locks(root, somebody_is_at_work=False)
    assert found.what == ".git/index.lock was left by a git or DVC that was killed."
    mend(root, found.command)
    assert locks.stale_git_locks(root, somebody_is_at_work=False) == []
