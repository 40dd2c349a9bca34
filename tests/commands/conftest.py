"""What the tests of the commands share."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from archives import photographs
from checkout import ROOT

from transferlab.commands import init, parameters, running, sync, ui
from transferlab.commands.init import UNHASHED
from transferlab.settings import compose

OPTIONS: dict[tuple[bytes, ...], dict] = {}
TEXTS: list[str] = []
NARROW = ("strategy: all", "strategy: [frozen, probe]")


def files_of(folder: Path) -> tuple[bytes, ...]:
    """What is composed of, and so the key of what was composed."""
    files = sorted(folder.rglob("*.yaml"))
    return tuple(path.read_bytes() for path in files if path.name != "defaults.yaml")


UNTOUCHED = tuple(
    content.replace(*(word.encode() for word in NARROW)) for content in files_of(ROOT / "conf")
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with `conf/` and nothing else, which the code under test takes for its own."""
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / "conf", root / "conf", ignore=shutil.ignore_patterns("__pycache__"))
    path = root / "conf/config.yaml"
    path.write_text(path.read_text().replace(*NARROW))
    for module in (init, parameters, running, sync, ui, compose):
        monkeypatch.setattr(module, "checkout", lambda: root)
    for name in ("TRANSFERLAB_TRACEBACK", "TRANSFERLAB_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    return root


@pytest.fixture(autouse=True)
def composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the same `conf/` offers takes Hydra seconds, each time; an untouched one without
    overrides a quarter of one.
    """
    options_of, composed = compose.options_of, compose.compose

    def known_options(root: Path) -> dict:
        key = files_of(root / "conf")
        if key not in OPTIONS:
            OPTIONS[key] = options_of(root)
        return OPTIONS[key]

    def known_text(overrides: Sequence[str] = (), root: Path | None = None) -> str:
        if overrides or files_of((root or compose.checkout()) / "conf") != UNTOUCHED:
            return composed(overrides, root)
        if not TEXTS:
            TEXTS.append(composed((), root))
        return TEXTS[0]

    monkeypatch.setattr(compose, "options_of", known_options)
    monkeypatch.setattr(compose, "compose", known_text)


@pytest.fixture
def params_file(root: Path) -> Path:
    """`params.yaml` as conf/ composes to."""
    path = root / "params.yaml"
    path.write_text(compose.compose(root=root))
    return path


@pytest.fixture(scope="module")
def base() -> dict:
    """What conf/ composes to with images of one's own, composed once."""
    folder = ROOT / "conf"
    text = compose.compose(
        [
            "dataset=folder",
            f"dataset.path={folder}",
            "strategy=[frozen,probe,progressive]",
            UNHASHED,
        ],
        ROOT,
    )
    return yaml.safe_load(text)


@pytest.fixture
def quick(own: Path, base: dict, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same without Hydra, which takes a third of a second each time."""

    def composed(root: Path, plan: init.Plan, *overrides: str) -> str:
        changes = yaml.safe_load(plan.dataset)
        del changes["defaults"]
        columns = {**base["dataset"]["columns"], **changes.pop("columns", {})}
        values = {**base, "dataset": {**base["dataset"], **changes, "columns": columns}}
        return yaml.safe_dump(values, sort_keys=False)

    monkeypatch.setattr(init, "_composed", composed)
    return own


@pytest.fixture
def own(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that is everybody's home, beside a folder of images; where a person stands."""
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.chdir(root.parent)
    (root / "params.yaml").write_text("seeds: [0]\n")
    photographs(root.parent / "my birds")
    return root
