"""The demo works in a copy of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from called import failure, said
from checkout import ROOT

from transferlab.commands import demo, main

PARTS = ("conf", "src", "stages", "dvc.yaml", ".dvcignore", ".dvc/config", ".dvc/plots")
RESULTS = (
    "params.yaml",
    "dvc.lock",
    "metrics/summary.json",
    "reports/report.md",
    "models/probe/seed-0.safetensors",
)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole checkout with results in it."""
    root = tmp_path / "checkout"
    for name in PARTS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=ignore)
        else:
            shutil.copyfile(ROOT / name, root / name)
    for name in RESULTS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"the real {name}")
    (root / "src/transferlab/__pycache__").mkdir()
    (root / "src/transferlab/__pycache__/cli.pyc").touch()
    monkeypatch.setattr(demo, "checkout", lambda: root)
    return root


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """What the demo would run; it succeeds."""
    made: list[SimpleNamespace] = []

    def run(command: list[str], *, cwd: Path, env: dict[str, str], check: bool) -> SimpleNamespace:
        made.append(SimpleNamespace(command=command, cwd=cwd, env=env))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    return made


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".demo" not in path.relative_to(root).parts
    }


def test_the_demo_composes_and_runs_in_a_copy(
    checkout: Path, calls: list[SimpleNamespace], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = said(capsys, "demo")
    commands = [["transferlab", "compose", "preset=demo"], ["dvc", "repro"]]
    assert [call.command for call in calls] == [
        [sys.executable, "-m", *command] for command in commands
    ]
    assert {call.cwd for call in calls} == {checkout / ".demo"}
    assert lines == [f"The report is at {checkout}/.demo/reports/report.md"]


def test_the_demo_copies_the_code_and_no_results(
    checkout: Path, calls: list[SimpleNamespace]
) -> None:
    main.main(["demo"])
    copied = contents(checkout / ".demo")
    sources = {name for name in contents(checkout) if name not in RESULTS}
    code = {name for name in copied if "__pycache__" not in name}
    assert code == {name for name in sources if "__pycache__" not in name} | {".dvc/config.local"}
    compiled = {Path(name).name.split(".")[0] for name in {*copied} - code}
    assert compiled == {
        Path(name).stem for name in code if name.endswith(".py") and "conf/" not in name
    }
    assert copied[".dvc/config.local"] == b"[core]\n    no_scm = true\n"
    assert (checkout / "src/transferlab/commands/main.py").read_bytes() == copied[
        "src/transferlab/commands/main.py"
    ]


def test_the_demo_touches_nothing_outside_its_copy(
    checkout: Path, calls: list[SimpleNamespace]
) -> None:
    before = contents(checkout)
    main.main(["demo"])
    assert contents(checkout) == before


def test_a_second_demo_takes_the_code_of_now_and_keeps_its_results(
    checkout: Path, calls: list[SimpleNamespace]
) -> None:
    main.main(["demo"])
    kept = checkout / ".demo/models/probe/seed-0.safetensors"
    kept.parent.mkdir(parents=True)
    kept.touch()
    (checkout / "stages/report.py").unlink()
    (checkout / "conf/config.yaml").write_text("# edited")
    main.main(["demo"])
    assert not (checkout / ".demo/stages/report.py").exists()
    assert (checkout / ".demo/conf/config.yaml").read_text() == "# edited"
    assert kept.exists()


def test_the_demo_hears_nothing_of_the_repository_around_it(
    checkout: Path, calls: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DVC_ROOT", "DVC_EXP_NAME", "TRANSFERLAB_MIRROR", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    main.main(["demo"])
    for call in calls:
        assert not {"DVC_ROOT", "DVC_EXP_NAME", "TRANSFERLAB_MIRROR", "MLFLOW_TRACKING_URI"} & set(
            call.env
        )
        assert call.env["PYTHONPATH"] == str(checkout / ".demo/src")
        assert call.env["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
        assert call.env["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_failing_demo_says_where_its_files_are(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Any] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        ran.append(command)
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(subprocess, "run", run)
    assert failure("demo").endswith(f"see above. Its files are in {checkout / '.demo'}.")
    assert len(ran) == 1
