"""DVC says that it is at work where no terminal shows its bars, and not while a stage speaks."""

import subprocess
import sys

import pytest

from transferlab.settings.between_stages import Between, is_dvc


def test_lines_are_said_while_no_stage_runs_and_begin_anew_behind_one() -> None:
    said: list[tuple[float, str]] = []
    now, running = 0.0, False
    between = Between(lambda line: said.append((now, line)), lambda: running, lambda: now)
    for second in range(100):
        now, running = float(second), 35 <= second < 60
        between.look()
    assert [when for when, _ in said] == [10, 30, 70, 90]
    assert said[0][1] == "dvc: hashing files, or taking them to or from its cache (10 s)"


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("/somewhere/.venv/bin/dvc", True),
        ("/somewhere/site-packages/dvc/__main__.py", True),
        ("/somewhere/bin/pytest", False),
        ("/somewhere/pytest/__main__.py", False),
    ],
)
def test_only_a_process_of_dvc_speaks_for_it(program: str, expected: bool) -> None:
    assert is_dvc(program) is expected


@pytest.mark.slow
def test_what_speaks_is_dvc_itself() -> None:
    command = [sys.executable, "-m", Between.__module__, "dvc", "version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("DVC version: ")
