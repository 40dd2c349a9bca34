"""The doctor says all of it, changes nothing, and tells by its exit code whether it found some."""

from pathlib import Path

import pytest

from transferlab.commands import main
from transferlab.commands.doctor import examine, surroundings


@pytest.fixture
def patient(params_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that is well but for what the machine of the tests has installed, and git."""
    monkeypatch.setattr(examine, "checkout", lambda: params_file.parent)
    monkeypatch.setattr(surroundings, "installed_elsewhere", lambda _: [])
    monkeypatch.setattr(examine.history, "no_history", lambda _: [])
    return params_file.parent


def everything(root: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_a_checkout_that_is_well(patient: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main.main(["doctor"])
    assert capsys.readouterr().out == ("Nothing is wrong, as far as can be seen without --deep\n")
    main.main(["doctor", "--deep"])
    assert capsys.readouterr().out == "Nothing is wrong\n"


def test_each_finding_is_told_with_its_command_and_nothing_changes(
    patient: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (patient / ".dvc/tmp/exps/tmp1").mkdir(parents=True)
    (patient / ".dvc/tmp/rwlock").write_text("{")
    before = everything(patient)
    with pytest.raises(SystemExit) as caught:
        main.main(["doctor"])
    assert caught.value.code == 1
    assert capsys.readouterr().out.splitlines() == [
        ".dvc/tmp/rwlock is damaged, and stops every command of DVC.",
        "    rm -f .dvc/tmp/rwlock",
        "Killed experiments left their files.",
        "    rm -rf .dvc/tmp/exps/tmp1",
    ]
    assert everything(patient) == before
