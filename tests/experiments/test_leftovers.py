"""What earlier strategies left makes way where nothing is lost by it, and stays elsewhere."""

import logging
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from checkout import ROOT

from transferlab.experiments import leftovers
from transferlab.pipeline import files

KEYS = {"strategies": ["frozen"], "cross_validation.each": ["frozen"], "learning_curve.each": []}
CURRENT = ["models/frozen/seed-0.safetensors", "runs/frozen/facts.json", "predictions/frozen.csv"]
CURRENT += ["predictions/cross_validation/frozen.csv", "predictions/controls/majority.csv"]
FORMER = ["models/scratch/seed-0.safetensors", "runs/scratch/facts.json"]
FORMER += ["predictions/tta/scratch.csv", "predictions/learning_curve/frozen.csv"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository of DVC whose strategies were more, all of their outputs in its cache."""
    files.write_text(tmp_path / ".dvc/config", "[core]\nno_scm = true\n")
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    for name in ("frozen", "scratch"):
        files.write_text(tmp_path / f"conf/strategy/{name}.yaml", "")
    for name in (*CURRENT, *FORMER):
        files.write_text(tmp_path / name, f"content of {name}")
        keep(tmp_path, name)
    return tmp_path


def keep(root: Path, name: str) -> Path:
    """As DVC keeps what a stage gave."""
    digest = files.file_hash(root / name, "md5")
    kept = root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    files.write_text(kept, (root / name).read_text())
    return kept


def lying(root: Path) -> list[str]:
    paths = [path for folder in leftovers.FOLDERS for path in (root / folder).rglob("*")]
    return sorted(path.relative_to(root).as_posix() for path in paths if path.is_file())


def test_what_the_cache_holds_of_other_strategies_makes_way(
    checkout: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    leftovers.sweep(checkout, KEYS)
    assert lying(checkout) == sorted(CURRENT)
    assert not [path for path in checkout.rglob("*") if path.is_dir() and not any(path.iterdir())]
    (said,) = caplog.messages
    assert said.startswith("Files of strategies that params.yaml does not name made way: 4.")


def test_a_strategy_that_only_dvc_lock_knows_makes_way_too(checkout: Path) -> None:
    (checkout / "conf/strategy/scratch.yaml").unlink()
    files.write_text(checkout / "dvc.lock", yaml.safe_dump({"stages": {"train@scratch": {}}}))
    leftovers.sweep(checkout, KEYS)
    assert lying(checkout) == sorted(CURRENT)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("predictions/mine.csv", True),  # a copy, under the name of no strategy
        ("predictions/scratch.csv", False),  # made by hand, or never recorded
        ("models/scratch/notes.txt", False),
        ("predictions/\x1b[2Jscratch.csv", True),
    ],
)
def test_what_somebody_made_stays_and_is_named(
    name: str, kept: bool, checkout: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files.write_text(checkout / name, "mine")
    if kept:
        keep(checkout, name)
    leftovers.sweep(checkout, KEYS)
    assert lying(checkout) == sorted([*CURRENT, name])
    (said,) = caplog.messages
    shown = name.replace("\x1b", "\\x1b")
    assert said.startswith(f"{shown}: expected nothing but outputs of the stages, and DVC's cache")


def test_what_the_cache_holds_damaged_stays(
    checkout: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(checkout, FORMER[0]).write_text("con")
    files.write_text(checkout / "runs/scratch/.facts.json.part-x", "half")
    leftovers.sweep(checkout, KEYS)
    assert lying(checkout) == sorted([*CURRENT, FORMER[0], "runs/scratch/.facts.json.part-x"])
    assert " and 1 more: expected nothing but" in caplog.text


def test_without_dvc_everything_stays(checkout: Path) -> None:
    before = lying(checkout)
    shutil.rmtree(checkout / ".dvc")
    leftovers.sweep(checkout, KEYS)
    assert lying(checkout) == before


def test_where_nothing_is_left_over_dvc_is_not_asked(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its import takes half a second."""
    for name in FORMER:
        (checkout / name).unlink()
    monkeypatch.setitem(sys.modules, "dvc.repo", None)
    leftovers.sweep(checkout, KEYS)
    assert lying(checkout) == sorted(CURRENT)
