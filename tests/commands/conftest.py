"""What the tests of the commands share."""

import shutil
from pathlib import Path

import pytest
from checkout import ROOT

from transferlab.commands import init, parameters, running
from transferlab.settings import compose


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with `conf/` and nothing else, which the code under test takes for its own."""
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / "conf", root / "conf", ignore=shutil.ignore_patterns("__pycache__"))
    path = root / "conf/config.yaml"
    path.write_text(path.read_text().replace("strategy: all", "strategy: [frozen, probe]"))
    for module in (init, parameters, running, compose):
        monkeypatch.setattr(module, "checkout", lambda: root)
    for name in ("TRANSFERLAB_TRACEBACK", "TRANSFERLAB_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    return root


@pytest.fixture
def params_file(root: Path) -> Path:
    """`params.yaml` as conf/ composes to."""
    path = root / "params.yaml"
    path.write_text(compose.compose(root=root))
    return path
