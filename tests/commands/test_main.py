"""The `transferlab` command: what is wrong, in a line."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from called import failure
from checkout import ROOT

from transferlab.commands import main
from transferlab.settings import compose


def test_all_problems_are_told_a_line_each(params_file: Path) -> None:
    assert failure("preview", "seeds=[0,a]", "+train.epoch=5").splitlines() == [
        "error: conf: seeds.1: expected integer, got 'a'.",
        "conf: train.epoch: unknown key. Did you mean 'max_epochs'? "
        "Choices: augment, batch_size, class_weights, max_epochs, select_by, validation_fraction.",
    ]


def test_a_traceback_is_shown_on_request(
    params_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFERLAB_TRACEBACK", "1")
    with pytest.raises(ValueError, match="frozn"):
        main.main(["preview", "strategy=frozn"])


def test_an_interrupt_is_one_word(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(compose, "compose", interrupt)
    assert failure("preview") == "interrupted"


@pytest.mark.slow
def test_a_wrong_setting_exits_with_1_and_no_traceback() -> None:
    command = [sys.executable, "-m", "transferlab", "preview", "strategy=frozn"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: conf: In 'config': Could not find 'strategy/frozn'")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["ui", "--port", "abc"], ["check", "more"]]
)
def test_a_wrong_command_shows_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(arguments)
    assert caught.value.code == 2
    assert "usage: transferlab" in capsys.readouterr().err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--help"])
    text = capsys.readouterr().out
    assert [
        line.split()[0] for line in text.splitlines() if line.startswith("    ") and line[4] != " "
    ] == [
        "init",
        "compose",
        "preview",
        "check",
        "repro",
        "experiment",
        "train",
        "predict",
        "export",
        "compare",
        "verify",
        "zoo",
        "parts",
        "demo",
        "doctor",
        "sync",
        "ui",
    ]


@pytest.mark.parametrize("name", main.COMMANDS)
def test_the_help_of_a_command_ends_in_an_example_that_it_takes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main.main([name, "--help"])
    said, _, last = " ".join(capsys.readouterr().out.split()).rpartition(
        "for example: transferlab "
    )
    assert main.COMMANDS[name].run.__doc__.split("\n\n")[0].split()[-1] in said  # not cut
    assert main._parser().parse_args(last.split()).command == name


def test_the_command_of_another_checkout_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a copy of a checkout, whose `.venv` starts the original's code."""
    for name in ("dvc.yaml", "src/transferlab/__init__.py", "conf/config.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path / "conf")
    text = f"error: {tmp_path}: expected this checkout's own transferlab, got that of {ROOT}. "
    assert failure("check").startswith(text)
