"""From a run to the repository and back: what it used, and the commands that make it again."""

import subprocess
from pathlib import Path

import pytest

from transferlab.pipeline import files, places
from transferlab.tracking import provenance


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One commit with code, settings and results."""
    root = tmp_path / "repository"
    for name in ("src/a.py", "params.yaml", "metrics/numbers.json", "dvc.lock"):
        files.write_text(root / name, "old")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "-m", "one")
    monkeypatch.setattr(places, "checkout", lambda: root)
    monkeypatch.delenv("DVC_EXP_BASELINE_REV", raising=False)
    return root


def git(root: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_clean_checkout_is_its_commit_whatever_its_results_are(repository: Path) -> None:
    for name in ("metrics/numbers.json", "dvc.lock", "notes.txt"):
        files.write_text(repository / name, "new")
    commit = git(repository, "rev-parse", "HEAD")
    assert provenance.of_code(repository) == {
        "mlflow.source.git.commit": commit,
        "transferlab.uncommitted": "none",
    }


def test_what_is_edited_or_new_and_not_committed_is_named(repository: Path) -> None:
    files.write_text(repository / "params.yaml", "new")
    files.write_text(repository / "src/b.py", "new")
    found = provenance.of_code(repository)["transferlab.uncommitted"]
    assert found == "params.yaml, src/b.py"
    for number in range(10, 16):
        files.write_text(repository / f"src/{number}.py", "new")
    found = provenance.of_code(repository)["transferlab.uncommitted"]
    assert found == "params.yaml, src/10.py, src/11.py, src/12.py, src/13.py and 3 more"


def test_without_git_no_commit_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "checkout", lambda: tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.of_code(tmp_path) == {}
    assert provenance.again({}, ["report"]) == "dvc repro report"


def test_a_run_is_made_again_from_its_commit_or_its_experiment() -> None:
    commit = {"mlflow.source.git.commit": "abc", "transferlab.uncommitted": "none"}
    assert provenance.again(commit, ["train@probe"]).splitlines() == [
        "git checkout abc",
        "make setup",
        "dvc repro train@probe",
    ]
    edited = commit | {"transferlab.uncommitted": "params.yaml"}
    assert provenance.again(edited | {"dvc.experiment": "tidal-mint"}, ["report"]).splitlines() == [
        "git checkout abc",
        "make setup",
        "dvc exp apply tidal-mint",
        "dvc repro report",
    ]
    assert "# not in that commit: params.yaml" in provenance.again(edited, ["report"])
