"""What DVC composes: told from what runs in a copy, and remembered."""

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from checkout import ROOT

from transferlab.settings import composed, inside_dvc


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("dvc exp run", False),
        ("dvc exp run -S train.batch_size=8 -n temp --name queue", False),
        ("dvc exp run --temp", True),
        ("dvc exp run -S seeds=[1] --queue", True),
        ("dvc exp run --qu", True),
        ("dvc exp run --dry", True),
        ("dvc exp run --", False),
    ],
)
def test_experiments_in_a_copy_are_told_from_those_in_the_workspace(
    arguments: str, expected: bool
) -> None:
    assert inside_dvc.runs_in_a_copy(arguments.split()) is expected


@pytest.mark.slow
def test_what_dvc_composes_is_remembered_with_the_conf_it_came_from(
    tmp_path: Path, own_home: Path
) -> None:
    for name in ("conf", "src"):
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    code = """
from pathlib import Path
from dvc.utils.hydra import compose_and_dump
compose_and_dump("params.yaml", str(Path.cwd() / "conf"), None, "config", "conf", ["seeds=[9]"])
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    values = yaml.safe_load((tmp_path / "params.yaml").read_text())
    assert values["seeds"] == [9]
    assert composed.origin(values) == composed.conf_digest(tmp_path)
    assert composed.origin({**values, "seeds": [8]}) is None


def test_dvc_does_not_warn_of_outputs_that_no_stage_has_made_yet(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own words, in the logger of its own that it says them with."""
    from dvc_data.index import checkout

    # Where DVC ran in this process before, its handlers write to a stream that is closed.
    monkeypatch.setattr(logging.getLogger("dvc_data"), "handlers", [])
    inside_dvc.register()
    checkout.logger.warning("No file hash info found for '%s'. It won't be created.", "models")
    checkout.logger.warning("something else")
    assert caplog.messages == ["something else"]
