"""A finished comparison of three strategies, small enough for a test: a plugin of pytest, because
tests of two rooms stand on it. It imports late, since every test session loads it.
"""

import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from transferlab.params.whole import Params

STRATEGIES = ("probe", "finetune", "mlp_head")
LABELS = ("stripes", "dots", "noise")


@pytest.fixture(scope="session")
def params() -> "Params":
    from small import params_of

    few = ("seeds=[3,0]", "train.max_epochs=1", "dataset.textures.train_per_class=6")
    few += ("compare.resamples=100", "evaluate.tta_views=0")
    names = f"strategy=[{','.join(STRATEGIES)}]"
    return params_of(*few, names, classes="[stripes,dots,noise]")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, params: "Params") -> Path:
    """A checkout as the stages up to `compare` leave it; not to be changed."""
    from small import trained

    return trained(tmp_path_factory.mktemp("finished"), STRATEGIES, params, "compare")


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(finished, tmp_path / "checkout")


@pytest.fixture(scope="session")
def folder(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images as files, as the archive holds them; not to be changed."""
    out = tmp_path_factory.mktemp("photographs")
    with zipfile.ZipFile(finished / "archive.zip") as archive:
        archive.extractall(out)
    return out


@pytest.fixture(scope="session")
def shipped(finished: Path, params: "Params", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a champion."""
    import yaml
    from small import stage

    from transferlab.params.record import plain

    root = shutil.copytree(finished, tmp_path_factory.mktemp("shipped") / "checkout")
    stage("champion")(root, params, "")
    (root / "params.yaml").write_text(yaml.safe_dump(plain(params), sort_keys=False))
    return root


@pytest.fixture
def here(shipped: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three photographs, where the command runs."""
    from transferlab.commands import export, predict
    from transferlab.delivery import predictor

    for module in (export, predict, predictor):
        monkeypatch.setattr(module, "checkout", lambda: shipped)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRANSFERLAB_TRACEBACK", raising=False)
    (tmp_path / "photos/inner").mkdir(parents=True)
    for label, name in zip(LABELS, ("a.png", "b.png", "inner/c.png"), strict=True):
        shutil.copyfile(next((folder / "test" / label).iterdir()), tmp_path / "photos" / name)
    return tmp_path
