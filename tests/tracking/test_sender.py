"""Tracking never touches a training, whatever becomes of the child or the server."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from tracked import PARENT, ROW, SRC, TAGS, every_run, sync, train

from transferlab.tracking import sender
from transferlab.tracking.mlflow_runs import Store
from transferlab.tracking.sender import Tracker, parent_identity
from transferlab.tracking.store import ANSWER_SECONDS

# The server


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each write to the child, whether it would wait for room in the pipe."""
    seen, write = [], os.write

    def watched(descriptor: int, content: Any) -> int:
        seen.append(os.get_blocking(descriptor))
        return write(descriptor, content)

    monkeypatch.setattr(sender.os, "write", watched)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "problem"),
    [
        ("closed_port", "ConnectionError"),
        pytest.param("hanging_port", "ReadTimeout", marks=pytest.mark.drill),
    ],
)
def test_a_dead_server_is_one_warning_and_nothing_that_a_training_waits_for(
    server: str,
    problem: str,
    waits: list[bool],
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    request.getfixturevalue(server)
    train()
    assert set(waits) == {False}
    (warning,) = caplog.messages
    assert f"expected an MLflow server, got no usable answer ({problem})" in warning
    assert "transferlab sync" in warning
    assert "secret" not in warning
    assert "Traceback" in sender.log_file().read_text()
    assert "secret" not in sender.log_file().read_text()


@pytest.mark.slow
def test_a_hanging_server_costs_a_run_of_many_trainings_a_single_wait(
    hanging_port: str, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    communicate = subprocess.Popen.communicate

    def patient(child: Any, given: Any, timeout: float) -> Any:
        assert timeout <= sender.LEAVING_SECONDS
        answer = communicate(child, given, timeout=60)
        ended.append(child.returncode)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "communicate", patient)
        for _ in range(6):
            with Tracker(patience=0) as tracked:  # as `train` has it
                tracked.start("a" * 64, {}, TAGS, PARENT)
                tracked.log("a" * 64, 1, ROW)
                tracked.end("a" * 64, "FINISHED")
    assert ended == [0] * 6  # with the training, not with the server's answer: that would be 1
    asked: list[float] = []

    def hangs(*_: Any, timeout: float, **__: Any) -> Any:
        asked.append(timeout)
        raise requests.ReadTimeout

    monkeypatch.setattr(requests, "get", hangs)
    assert not sync(checkout)
    assert asked == [ANSWER_SECONDS]
    assert sum(asked) < 10


# Runs


def test_a_short_training_does_not_wait_for_mlflow_and_is_left_to_sync(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "mlflow.py").write_text("raise RuntimeError('the child imported MLflow')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Tracker() as tracked:
        tracked.start("a" * 64, {}, TAGS, PARENT)
        tracked.log("a" * 64, 1, ROW)
        tracked.end("a" * 64, "FINISHED")
    assert every_run(store) == {}
    assert caplog.messages == []


@pytest.mark.drill
def test_the_run_of_a_training_that_is_killed_is_closed_as_killed(store: Store, home: Path) -> None:
    code = (
        "import time\nfrom transferlab.tracking.sender import Tracker\n"
        "with Tracker() as tracked:\n"
        f"    tracked.start('a' * 64, {{}}, {TAGS}, {PARENT})\n"
        f"    tracked.log('a' * 64, 1, {{'lr': 0.1}})\n"
        "    print(tracked._child.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": SRC}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment
    ) as training:
        assert training.stdout is not None
        child = psutil.Process(int(training.stdout.readline()))
        training.send_signal(signal.SIGKILL)
    child.wait(60)
    runs = every_run(store)
    assert {name: run.info.status for name, run in runs.items()} == {
        "frozen · seed 0": "KILLED",
        "textures · tiny": "KILLED",
    }
    assert runs["frozen · seed 0"].data.metrics == {"lr": 0.1}


# Sync


def test_off_means_no_store_and_no_child(
    home: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFERLAB_TRACKING", "off")
    train()
    assert not sync(checkout)
    assert list(home.iterdir()) == []


# The training's end


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A child that only writes down what it is told."""
    told = tmp_path / "told.jsonl"
    code = f"import sys; open({str(told)!r}, 'wb').write(sys.stdin.buffer.read())"
    monkeypatch.setattr(sender, "_start_child", lambda: child_that(code))
    return told


def child_that(code: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    child = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, bufsize=0)
    assert child.stdin is not None
    os.set_blocking(child.stdin.fileno(), False)
    return child


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")],
)
def test_leaving_with_an_error_closes_the_open_runs(
    error: type[BaseException], status: str, recorder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(error), Tracker() as tracked:
        tracked.start("done", {}, TAGS, PARENT)
        tracked.end("done", "FINISHED")
        tracked.start("open", {}, TAGS, PARENT)
        raise error
    told = [json.loads(line) for line in recorder.read_text().splitlines()]
    assert [(item["do"], item["key"], item.get("status")) for item in told[1:]] == [
        ("end", "done", "FINISHED"),
        ("start", "open", None),
        ("end", "open", status),
    ]
    assert caplog.messages == []


@pytest.mark.slow
def test_a_child_that_reads_nothing_holds_up_nothing(
    waits: list[bool], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    child = child_that("import time; time.sleep(600)")
    monkeypatch.setattr(sender, "_start_child", lambda: child)
    with Tracker(patience=0.5) as tracked:
        for step in range(3000):  # far more than a pipe holds
            tracked.log("a" * 64, step, ROW)
        assert len(waits) >= 3000
    assert set(waits) == {False}
    assert "still runs after 1 s and was left behind" in caplog.text
    assert len(caplog.messages) == 1
    child.kill()
    child.communicate()


def test_all_that_a_slow_child_did_not_read_arrives_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    code = (
        f"import sys, time; time.sleep(0.3); open({str(told)!r}, "
        "'wb').write(sys.stdin.buffer.read())"
    )
    monkeypatch.setattr(sender, "_start_child", lambda: child_that(code))
    with Tracker() as tracked:
        for step in range(3000):
            tracked.log("a" * 64, step, ROW)
    assert [json.loads(line)["step"] for line in told.read_text().splitlines()] == list(range(3000))


def test_a_child_that_cannot_start_is_one_warning(
    waits: list[bool], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sender, "_start_child", fails)
    train()
    assert waits == []
    assert [message.split(":")[0] for message in caplog.messages] == ["Tracking could not start"]


@pytest.mark.usefixtures("closed_port")
def test_a_long_log_is_moved_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "LOG_BYTES", 10)
    sender.log_file().write_text("eleven long")
    train()
    assert sender.log_file().with_suffix(".log.old").read_text() == "eleven long"
    assert "eleven" not in sender.log_file().read_text()


# Names


def test_an_experiment_is_known_by_name_and_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parent_identity("ab" * 32)["key"] == "ab" * 32
    monkeypatch.setenv("DVC_EXP_NAME", "tidal-mint")
    first, other = parent_identity("ab" * 32), parent_identity("cd" * 32)
    assert first["dvc.experiment"] == other["dvc.experiment"] == "tidal-mint"
    assert first["key"] != other["key"]


def test_the_training_does_not_import_mlflow() -> None:
    code = (
        "import sys, transferlab.tracking.sender; print(sorted({'mlflow', "
        "'transferlab.tracking.child', 'torch'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": SRC}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
