"""One process at a time runs a stage; one that was killed is known to the next."""

import errno
import logging
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import toy

from transferlab.pipeline import lock
from transferlab.pipeline.lock import Lock

NOBODY = 2**22 + 1  # above the largest number that Linux gives
CHILD = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True)"


def killed_before(root: Path, instance: str = "toy") -> int | None:
    with Lock(root, instance).taken() as killed:
        return killed


def test_a_second_process_is_refused_and_told_which_is_the_first(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "SECONDS", 0.1)
    process = toy.start(root, "frozen", script="each", WORK=toy.WAIT)
    toy.began(process)
    message = (
        rf"^each@frozen: expected nobody else to run it in this checkout, got process "
        rf"{process.pid}\. "
        rf"Wait for it, or end it: kill {process.pid}. To run both, use: dvc exp run --temp$"
    )
    with pytest.raises(ValueError, match=message):
        killed_before(root, "each@frozen")
    assert killed_before(root, "each@probe") is None  # another stage of the same checkout
    assert killed_before(root.parent, "each@frozen") is None  # the same stage of another
    process.terminate()
    process.communicate(timeout=60)
    assert killed_before(root, "each@frozen") is None


def test_a_second_process_waits_for_one_that_is_about_to_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with Lock(tmp_path, "toy").taken():
        entered: list[float] = []
        thread = threading.Thread(
            target=lambda: entered.append(time.monotonic() if not killed_before(tmp_path) else 0)
        )
        thread.start()
        assert toy.wait_until(lambda: bool(caplog.records), 10)
        left = time.monotonic()
    thread.join(10)
    assert entered[0] >= left
    assert caplog.messages == ["toy: another process is still running it, waiting ..."]


@pytest.mark.slow
def test_a_killed_process_is_named_to_the_next_and_to_that_alone(root: Path) -> None:
    process = toy.start(root, WORK=toy.WAIT)
    toy.began(process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    after = toy.start(root)
    _, err = after.communicate(timeout=60)
    assert after.returncode == 0
    assert err == (
        f"toy: the previous attempt (process {process.pid}) was killed, probably because memory "
        "ran out. In that case: Close other programs, or run on a machine with more memory.\n"
    )
    assert killed_before(root) is None


@pytest.mark.parametrize("end", [None, ValueError("wrong"), KeyboardInterrupt()])
def test_a_process_that_ends_by_itself_was_not_killed(
    tmp_path: Path, end: BaseException | None
) -> None:
    try:
        with Lock(tmp_path, "toy").taken():
            if end is not None:
                raise end
    except (ValueError, KeyboardInterrupt):
        pass
    assert killed_before(tmp_path) is None


def test_before_the_machine_s_last_start_nothing_is_said(tmp_path: Path) -> None:
    path = tmp_path / lock.FOLDER / "toy.lock"
    path.parent.mkdir(parents=True)
    path.write_text(f'{{"pid": {NOBODY}}}')
    os.utime(path, (1, 1))
    assert killed_before(tmp_path) is None
    path.write_text(f'{{"pid": {NOBODY}}}')
    assert killed_before(tmp_path) == NOBODY


@pytest.mark.parametrize("content", ["", "{", "[]", '"pid"', "null", "{}", '{"pid": null}'])
def test_a_damaged_lock_is_a_free_one(tmp_path: Path, content: str) -> None:
    path = tmp_path / lock.FOLDER / "toy.lock"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert killed_before(tmp_path) is None


def test_a_disk_that_knows_no_locks_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", unknown)
    assert killed_before(tmp_path) is None
    assert caplog.messages == [
        f"{tmp_path}/.dvc/tmp/transferlab/toy.lock: cannot be locked (No locks available); "
        "run no second DVC here."
    ]


@pytest.mark.slow
def test_a_child_that_outlives_its_stage_does_not_keep_the_lock(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "SECONDS", 0.1)
    process = toy.start(root, WORK=f"{CHILD}\n{toy.WAIT}")
    toy.began(process)
    child = int(toy.began(process))
    process.kill()
    process.wait(10)
    assert killed_before(root) == process.pid
    os.kill(child, signal.SIGKILL)
    process.communicate(timeout=60)
