"""The champion in MLflow's registry: what is logged, which version it is, and how it answers."""

import base64
import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import yaml
from called import failure, said
from checkout import ROOT
from PIL import Image
from tracked import PARENT, TAGS, opened, store_in

from transferlab.delivery.predictor import Predictor
from transferlab.pipeline import files
from transferlab.tracking import registry
from transferlab.tracking.mlflow_runs import Store
from transferlab.tracking.writer import Writer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(
    shipped: Path, empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A repository in whose store a champion is registered; the tests of this module share it."""
    home = tmp_path_factory.mktemp("registered")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert register(store_in(home, empty_store), shipped, patch) == "textures version 1"
    yield home


@pytest.fixture
def registered(place: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("DVC_ROOT", str(place))
    return opened()


def register(store: Store, shipped: Path, patch: pytest.MonkeyPatch, **changes: Any) -> str:
    """Register a champion, whose facts are changed, as `sync` does."""
    from mlflow.entities import Dataset

    facts = files.read_json(shipped / "champion/facts.json") | changes
    data = Dataset("textures", f"{'2' * 32}.dir", "dvc", "{}")
    parent = store.comparison(PARENT, "comparison")
    training = store.training(facts["key"], {}, TAGS, parent.info.run_id)
    training.set({"test_accuracy": 0.75, "train_seconds": 2.0})
    training.flush()
    found = registry.Registry(store, shipped, facts)
    return found.register(
        Writer(store.client, store.client.get_run(training.run_id)),
        Writer(store.client, store.client.get_run(parent.info.run_id)),
        data,
    )


def model_folder(store: Store, version: str = "1") -> Path:
    address = store.client.get_model_version_download_uri("textures", version)
    return Path(address.removeprefix("file://"))


# What is logged


def test_the_model_holds_the_champion_and_no_pickle(registered: Store, shipped: Path) -> None:
    folder = model_folder(registered)
    assert files.file_hash(folder / registry.DATA) == files.file_hash(
        shipped / "champion/model.safetensors"
    )
    endings = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert endings <= {"", ".safetensors", ".py", ".yaml", ".json", ".txt", ".pyi", ".typed"}
    described = yaml.safe_load((folder / "MLmodel").read_text())
    assert described["flavors"]["python_function"]["loader_module"] == registry.LOADER
    assert described["metadata"]["classes"] == ["stripes", "dots", "noise"]
    assert described["metadata"]["pictures"]["preprocessing"]["crop_px"] == 32
    assert '"name": "image"' in described["signature"]["inputs"]
    assert (folder / "serving_input_example.json").is_file()


def test_its_numbers_are_linked_to_the_images_that_they_are_about(registered: Store) -> None:
    model = registered.client.get_logged_model(
        registered.client.get_model_version("textures", "1").tags[registry.MODEL]
    )
    (measured,) = model.metrics
    assert (measured.key, measured.value) == ("test_accuracy", 0.75)
    assert (measured.dataset_name, measured.dataset_digest) == ("textures", f"{'2' * 32}.dir")


def test_its_runs_name_it(registered: Store) -> None:
    version = registered.client.get_model_version("textures", "1")
    for run in registered.runs("attributes.run_id != ''"):
        assert [it.model_id for it in run.outputs.model_outputs] == [version.tags[registry.MODEL]]


def test_the_packages_are_those_that_an_answer_imports(registered: Store) -> None:
    code = (
        "import sys; from transferlab.delivery import served; import numpy\n"
        f"asked = served._load_pyfunc({str(model_folder(registered) / registry.DATA)!r})\n"
        "asked.predictor([numpy.zeros((8, 8, 3), numpy.uint8)])\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {line.split(">=")[0] for line in ours}
    modules = {"pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn"}
    used = {
        name for name in names if modules.get(name, name.replace("-", "_")) in done.stdout.split()
    }
    # torch brings tqdm, and the networks of torchvision are not asked for here
    assert used - {"tqdm"} | {"torchvision", "mlflow"} == set(registry.PACKAGES)


# Versions


def test_a_champion_that_is_registered_is_not_logged_again(
    registered: Store, shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise AssertionError("logged twice")

    monkeypatch.setattr(registry, "write", fails)
    assert register(registered, shipped, monkeypatch) == "textures version 1"
    assert len(registered.client.search_logged_models([registered.experiment])) == 1


def test_the_repositorys_champion_has_the_alias_and_a_second_leaves_the_first_in_place(
    place: Path,
    empty_store: Path,
    shipped: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(home))
    store = store_in(home, empty_store)
    assert register(store, shipped, monkeypatch) == "textures version 1"  # of a queued experiment
    assert store.client.get_registered_model("textures").aliases == {}
    monkeypatch.setattr(registry, "checkout", lambda: home)
    shutil.copytree(Path(registry.__file__).parents[1], home / "src/transferlab")
    for version, key in (("1", None), ("2", "b" * 64), ("1", None)):
        changes = {} if key is None else {"key": key}
        said = f"textures version {version} (champion)"
        assert register(store, shipped, monkeypatch, **changes) == said
        champion = store.client.get_model_version_by_alias("textures", "champion")
        assert str(champion.version) == version
    assert len(store.client.search_model_versions("name = 'textures'")) == 2
    assert model_folder(store, "1") != model_folder(store, "2")


# Answers


def pictures(here: Path) -> list[Path]:
    return sorted((here / "photos").rglob("*.png"))


def test_predict_asks_a_model_of_the_registry(
    here: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(place))
    own = said(capsys, "predict", "photos", "--model", "champion")
    assert said(capsys, "predict", "photos", "--model", "models:/textures/1") == own
    text = failure("predict", "photos", "--model", "models:/textures@best")
    assert text.startswith(
        "error: models:/textures@best: expected a champion in MLflow, got none: "
    )
    assert "\n" not in text


def test_predict_makes_no_store_to_look_for_a_model(here: Path, home: Path) -> None:
    text = failure("predict", "photos", "--model", "models:/textures/1")
    assert text == (
        f"error: models:/textures/1: expected models in {home}/mlflow.db, found no such file."
    )
    assert list(home.glob("mlflow*")) == []


@pytest.fixture
def address(place: Path) -> Iterator[str]:
    """The registered model behind an address, served by MLflow."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/textures/1"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db"}
    environment.pop("PYTHONPATH", None)
    server = subprocess.Popen(command, env=environment, cwd=place, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        while server.poll() is None and not answers(f"{url}/ping"):
            time.sleep(0.2)
        yield f"{url}/invocations"
    finally:
        os.killpg(server.pid, 15)
        server.wait()


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


def test_the_server_answers_files_in_base64_and_arrays_as_predict_does(
    here: Path, shipped: Path, address: str
) -> None:
    paths = pictures(here)
    expected = Predictor.load(shipped / "champion/model.safetensors")(paths)
    encoded = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    arrays = [np.array(Image.open(path).convert("RGB")).tolist() for path in paths]
    asked: list[tuple[dict[str, Any], int]] = [
        ({"dataframe_split": {"columns": ["image"], "data": [[it] for it in encoded]}}, 3),
        ({"dataframe_records": [{"image": it} for it in encoded]}, 3),
        ({"inputs": {"image": arrays}}, 3),
        ({"inputs": {"image": [encoded[0], *arrays[1:]]}}, 3),
        ({"inputs": {"image": encoded[:1]}}, 1),
        ({"inputs": {"image": arrays[:1]}}, 1),
    ]
    for given, count in asked:
        answer = requests.post(address, json=given, timeout=60)
        assert answer.status_code == 200, answer.text
        found = answer.json()["predictions"]
        for one, other in zip(found, expected[:count], strict=True):
            assert one["label"] == other.label
            assert one["probabilities"] == pytest.approx(dict(other.probabilities), abs=1e-9)
            assert one["unsure"] == other.unsure
    refused = requests.post(address, json={"inputs": {"image": ["/etc/passwd"]}}, timeout=60)
    assert refused.status_code == 400
    assert "image 1: expected a file in base64" in refused.json()["message"]
