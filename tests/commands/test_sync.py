"""`transferlab sync`: whether everything arrived is the exit code."""

import pytest
from called import failure, said

from transferlab.commands import main
from transferlab.tracking import sync

pytestmark = pytest.mark.usefixtures("params_file")


def test_what_is_in_mlflow_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def sent(_: object, params: dict[str, dict[str, str]]) -> str:
        asked.append(params["dataset"]["name"])
        return "12 trainings of hymenoptera are in MLflow"

    monkeypatch.setattr(sync, "sync", sent)
    assert said(capsys, "sync") == ["12 trainings of hymenoptera are in MLflow"]
    assert asked == ["hymenoptera"]


def test_what_did_not_arrive_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "sync", lambda *_: None)
    with pytest.raises(SystemExit) as caught:
        main.main(["sync"])
    assert caught.value.code == 1


def test_with_tracking_off_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFERLAB_TRACKING", "off")
    text = failure("sync")
    assert text.startswith("error: TRANSFERLAB_TRACKING: expected tracking to be on, got off.")
