"""`transferlab compare`: states of a repository beside each other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from called import failure, said
from finished import parameters, write_all

from transferlab.commands import compare
from transferlab.pipeline.files import read_json

STAGE = "{cmd: 'true', outs: [data/processed, runs, predictions]}"


def run(root: Path, *command: str) -> str:
    place = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command,
        cwd=root,
        env={**os.environ, "PATH": place},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def keep(root: Path) -> None:
    run(root, "dvc", "commit", "--force", "--quiet")
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message", "state")


@pytest.fixture
def repository(root: Path, params_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two finished states of two strategies: the tag `before`, and the workspace."""
    monkeypatch.setattr(compare, "checkout", lambda: root)
    for command in ("git init --quiet", "git config user.name test", "git config user.email t@t"):
        run(root, *command.split())
    run(root, "dvc", "init", "--quiet")
    (root / "dvc.yaml").write_text(f"stages: {{all: {STAGE}}}\n")
    write_all(root, parameters("frozen", "probe"))
    keep(root)
    run(root, "git", "tag", "before")
    table = root / "predictions/probe.csv"
    table.unlink()  # a link into the cache
    write_all(root, parameters("frozen", "probe"))
    text = table.read_text().replace("probe,0,test/ants/0.png,ants,bees,0.2,0.8", "", 1)
    row = "probe,0,test/ants/0.png,ants,ants,0.8,0.2"
    table.write_text("\n".join([text.splitlines()[0], row, *text.splitlines()[2:]]) + "\n")
    return root


@pytest.mark.slow
def test_a_commit_stands_beside_the_workspace_which_stays_as_it_is(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = run(repository, "git", "status", "--porcelain"), run(repository, "dvc", "status")
    out = tmp_path / "out"
    lines = said(capsys, "compare", "before", "workspace", "--strategy", "probe", "--out", str(out))
    assert lines[0].startswith("**Use `")
    assert lines[-1] == f"The report is at {out / 'report.md'}"
    summary = read_json(out / "metrics/summary.json")
    assert {name: line["accuracy"] for name, line in summary.items()} == {
        "before": 1 - 2 / 80,
        "workspace": 1 - 1 / 80,
    }
    after = run(repository, "git", "status", "--porcelain"), run(repository, "dvc", "status")
    assert after == before
    assert failure("compare", "before", "workspace", "--out", str(out)) == (
        f"error: {out}: there are files. Replace them with --force, or name --out."
    )
    assert "before: expected the strategy 'mlp', got frozen, probe." in failure(
        "compare", "before", "--strategy", "mlp", "probe"
    )
    missing = failure("compare", "before", "gone")
    assert missing.startswith("error: gone: expected params.yaml in git, DVC's cache or a remote")
    assert "\n" not in missing
    assert not (repository / "reports/compare").exists()


def test_one_state_alone_twice_the_same_and_what_is_no_name_are_refused() -> None:
    assert "expected every experiment once" in failure("compare", "main", "main")
    assert "expected the name of an experiment" in failure("compare", "a b", "main")
