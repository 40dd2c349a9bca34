"""What the tests of the tracking share: an empty store in a repository of their own."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracked import results, store_in

from transferlab.tracking import store as storing
from transferlab.tracking.mlflow_runs import Store


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database, because creating one takes seconds and copying it none."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        storing.prepare_store("textures")
    return folder / "mlflow.db"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "MLFLOW_TRACKING_URI",
        "MLFLOW_EXPERIMENT_NAME",
        "TRANSFERLAB_TRACKING",
        "DVC_EXP_NAME",
    ):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")  # whatever tests count
    return folder


@pytest.fixture
def store(home: Path, empty_store: Path) -> Store:
    return store_in(home, empty_store)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return results(tmp_path / "checkout")


@pytest.fixture
def closed_port(monkeypatch: pytest.MonkeyPatch) -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://name:secret@127.0.0.1:{port}")
    return str(port)


@pytest.fixture
def hanging_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        yield str(port)
