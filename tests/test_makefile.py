"""`make` says what is wrong with `.venv` before it builds on it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "a checkout"
    root.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copyfile(ROOT / name, root / name)
    return root


def make(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Without an index, so that nothing is ever installed."""
    above = ("MAKELEVEL", "MAKEFLAGS", "MFLAGS")  # of the make that runs the tests
    variables = {name: value for name, value in os.environ.items() if name not in above}
    variables |= {"PIP_NO_INDEX": "1", "UV_OFFLINE": "1"}
    command = ["make", f"PYTHON={sys.executable}", *words]
    return subprocess.run(
        command, cwd=root, env=variables, capture_output=True, text=True, check=False
    )


def test_an_environment_of_another_folder_is_refused(root: Path) -> None:
    program = root / ".venv/bin/dvc"
    program.parent.mkdir(parents=True)
    program.write_text("#!/old/place/.venv/bin/python\n")
    (root / ".venv/ready").touch()
    for target in ("setup", "repro", "ui"):
        done = make(root, target)
        assert done.returncode == 2
        assert done.stdout == (
            f"make: .venv was made for another folder than {root}. "
            "Run: rm -rf .venv && make setup\n"
        )
    program.write_text(f"#!/bin/sh\n'''exec' \"{root}/.venv/bin/python\" \"$0\"\n")
    assert make(root, "setup").returncode == 0


@pytest.mark.drill
@pytest.mark.slow
def test_a_half_made_environment_is_completed(root: Path) -> None:
    """As an interrupted `python -m venv` leaves it."""
    command = [sys.executable, "-m", "venv", "--without-pip", ".venv"]
    subprocess.run(command, cwd=root, check=True)
    done = make(root, "setup")
    assert done.returncode == 2  # there is nothing to install from
    assert "make: installing the locked packages into .venv" in done.stdout
    subprocess.run([root / ".venv/bin/python", "-m", "pip", "--version"], check=True)


def test_an_environment_that_cannot_be_made_is_said_with_the_way_out(root: Path) -> None:
    """As where Debian's python3-venv is missing: Python says so itself."""
    (root / ".venv").write_text("in the way")
    done = make(root, "setup")
    assert done.returncode == 2
    assert "make: .venv could not be made, see above. Then run: rm -rf .venv && make setup" in (
        done.stdout
    )
