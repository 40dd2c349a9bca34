"""The `transferlab` command, called in this process."""

from pathlib import Path

import pytest

from transferlab.commands import main


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    main.main(arguments)
    return capsys.readouterr().out.splitlines()


def failure(*arguments: str) -> str:
    """What a failing command prints; Python exits with 1 after a text."""
    with pytest.raises(SystemExit) as caught:
        main.main(arguments)
    assert isinstance(caught.value.code, str)
    return caught.value.code


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
