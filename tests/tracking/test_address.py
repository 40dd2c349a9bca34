"""MLflow's address, what is needed to get in, and errors that harm no terminal."""

import os
from pathlib import Path

import pytest

from transferlab.pipeline import files
from transferlab.tracking import address


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("sqlite:////data/runs.db", "sqlite:////data/runs.db"),
        ("sqlite:///runs.db", "sqlite:///{home}/runs.db"),
    ],
)
def test_a_given_address_wins_and_relative_ones_count_from_the_repository(
    given: str, used: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert address.tracking_uri() == used.format(home=home)


@pytest.mark.parametrize("name", ["100%", "50%20", "why?", "?%"])
def test_a_path_that_sqlite_cannot_carry_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / name))
    with pytest.raises(ValueError, match=r"expected a path without % and \?.*Rename the folder"):
        address.tracking_uri()


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sets by itself is unset after it."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("unset")
def test_credentials_come_from_the_repository_s_env_file_unless_they_are_set(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["# of our server", "MLFLOW_TRACKING_URI='http://tracking:5000'"]
    lines += ["export MLFLOW_TRACKING_USERNAME=anna", "MLFLOW_TRACKING_PASSWORD=a#b c", "MINE=1"]
    files.write_text(home / ".env", "\n".join(lines))
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ben")
    monkeypatch.chdir(tmp_path)  # as in a queued experiment
    assert address.tracking_uri() == "http://tracking:5000"
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "ben"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "a#b c"
    assert "MINE" not in os.environ


def test_an_env_file_that_is_no_text_is_named(home: Path) -> None:
    (home / ".env").write_bytes(b"MLFLOW_TRACKING_PASSWORD=\xff")
    with pytest.raises(ValueError, match=r"\.env: expected UTF-8 text, got something else\. Save"):
        address.tracking_uri()


def test_what_a_server_answers_is_one_line_and_does_nothing_to_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://anna:secret@tracking:5000")
    error = RuntimeError(
        "http://anna:secret@tracking:5000 says\n\n\x1b[2Jno\x07\x9b1m " + 500 * "x"
    )
    said = address.in_one_line(error)
    assert said.startswith("http://tracking:5000 says ?[2Jno??1m xxx")
    assert len(said) == 403
