"""The workflows that a fork on GitHub runs call what there is."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout import ROOT

from transferlab.commands.main import COMMANDS

FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def steps(path: Path) -> list[dict[str, Any]]:
    (job,) = yaml.safe_load(path.read_text())["jobs"].values()
    return list(job["steps"])


def test_there_are_two() -> None:
    assert [path.name for path in FILES] == ["check.yml", "run.yml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_command_of_a_workflow_is_one_of_ours(path: Path) -> None:
    lines = [line for step in steps(path) for line in step.get("run", "").splitlines()]
    assert lines
    for line in lines:
        assert set(re.findall(r"\bmake ([a-z-]+)", line)) <= TARGETS
        assert set(re.findall(r"\btransferlab ([a-z]+)", line)) <= set(COMMANDS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_input_of_a_person_stands_in_a_shell_line(path: Path) -> None:
    """It would be run as code; as a variable it is a value."""
    for step in steps(path):
        assert "${{" not in step.get("run", "")


def test_settings_of_the_example_reach_the_command_as_the_words_that_they_are() -> None:
    (line,) = [
        line
        for step in steps(ROOT / ".github/workflows/run.yml")
        for line in step.get("run", "").splitlines()
        if "xargs" in line
    ]
    assert shlex.split(line) == [
        *("printf", "%s\\n", "$SETTINGS", "|"),
        "xargs",
        "transferlab",
        "experiment",
    ]


def test_the_tests_of_a_fork_with_images_of_its_own_see_the_templates_data_set(
    tmp_path: Path,
) -> None:
    """`transferlab init` has written another one into conf/config.yaml."""
    came = (ROOT / "conf/config.yaml").read_text()
    (tmp_path / "conf").mkdir()
    forked = tmp_path / "conf/config.yaml"
    forked.write_text(came.replace("  - dataset: hymenoptera\n", "  - dataset: photos\n"))
    assert forked.read_text() != came
    lines = [
        line
        for step in steps(ROOT / ".github/workflows/check.yml")
        for line in step.get("run", "").splitlines()
    ]
    (line,) = [line for line in lines if line.startswith("sed ")]
    subprocess.run(shlex.split(line), cwd=tmp_path, check=True)
    assert forked.read_text() == came
    after = lines[lines.index(line) + 1 :]
    assert after == [".venv/bin/transferlab compose", "make test-fast"]
