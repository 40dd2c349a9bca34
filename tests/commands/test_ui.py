"""MLflow's pages."""

import os
import re
import socket
from types import SimpleNamespace

import pytest
from called import failure, said

from transferlab import tracking


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would replace this process, with a tracking module that needs no MLflow."""
    made: list[list[str]] = []
    monkeypatch.setattr(os, "execvp", lambda _, command: made.append(command))
    return made


PAGE = "/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=transferlab"


def track(monkeypatch: pytest.MonkeyPatch, uri: str) -> list[tuple[str | None, str]]:
    """Which experiments are asked for, by name and by the data set of params.yaml."""
    asked: list[tuple[str | None, str]] = []

    def number_of(experiment: str | None, dataset: str) -> str:
        asked.append((experiment, dataset))
        return "7"

    address = SimpleNamespace(
        tracking_uri=lambda: uri,
        without_password=lambda text: text.replace("somebody:secret@", ""),
    )
    monkeypatch.setattr(tracking, "address", address, raising=False)
    monkeypatch.setattr(tracking, "store", SimpleNamespace(number_of=number_of), raising=False)
    return asked


@pytest.mark.usefixtures("params_file")
def test_the_pages_open_on_the_trainings_of_the_data_set_on_this_machine_only(
    server: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = track(monkeypatch, "sqlite:////data/mlflow.db")
    assert said(capsys, "ui", "--port", "5001") == [f"MLflow: http://127.0.0.1:5001{PAGE}"]
    (command,) = server
    assert asked == [(None, "hymenoptera")]
    assert command[command.index("--backend-store-uri") + 1] == "sqlite:////data/mlflow.db"
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "5001"


@pytest.mark.usefixtures("params_file")
def test_a_server_that_exists_is_named_without_its_password_instead_of_started(
    server: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = track(monkeypatch, "http://somebody:secret@tracking:5000/")
    assert said(capsys, "ui", "--experiment", "birds") == [f"MLflow: http://tracking:5000{PAGE}"]
    assert (server, asked) == ([], [("birds", "hymenoptera")])


def test_a_port_that_is_taken_is_named_with_a_free_one(
    server: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = track(monkeypatch, "sqlite:////data/mlflow.db")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        text = failure("ui", "--port", str(port))
    taken = f"error: port {port}: expected a free one, but it is taken by another program. "
    assert text.startswith(f"{taken}Run: make ui PORT=")
    (free,) = set(re.findall(r"PORT=(\d+)|--port (\d+)", text)[0]) - {""}
    assert int(free) != port
    assert (server, prepared) == ([], [])


def test_a_port_that_there_is_not_is_refused(
    server: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    track(monkeypatch, "sqlite:////data/mlflow.db")
    for port in ("70000", "0", "-1"):
        said = f"error: --port: expected 1 to 65535, got {port}. Run: transferlab ui"
        assert failure("ui", "--port", port) == said
