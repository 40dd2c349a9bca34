"""What git and DVC left of a history; every command that is printed is run."""

import os
import subprocess
from pathlib import Path

import pytest

from transferlab.commands.doctor import history
from transferlab.commands.doctor.finding import Finding


def run(root: Path, command: str, **variables: str) -> str:
    done = subprocess.run(
        command,
        cwd=root,
        shell=True,
        env={**os.environ, **IDENTITY, **variables},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


IDENTITY = {
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@localhost",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@localhost",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one commit on the branch `work`."""
    root = tmp_path / "a checkout"
    root.mkdir()
    (root / "params.yaml").write_text("lr: 1\n")
    run(root, "git init --initial-branch=work && git add --all && git commit --message start")
    return root


def test_no_repository_and_no_commit_are_told_with_what_makes_them(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").touch()
    (found,) = history.no_history(tmp_path)
    assert found == Finding(
        f"{tmp_path} is no git repository (a downloaded zip?), and DVC needs one.",
        "git init && git add --all && git commit --message start",
    )
    run(tmp_path, "git init")
    assert history.no_history(tmp_path, commit=False) == []
    (found,) = history.no_history(tmp_path)
    assert found.what == "git has no commit yet, and experiments start from one."
    run(tmp_path, found.command)
    assert history.no_history(tmp_path) == []


def test_no_git_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(root))
    assert [found.what for found in history.no_history(root)] == [
        "There is no git, which DVC needs."
    ]
    assert history.edited(root, "params.yaml") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_checkout_of_another_user_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root.parent))
    for name in ("SUDO_UID", "GIT_CONFIG_GLOBAL"):
        monkeypatch.delenv(name, raising=False)
    for path in (root, root / ".git"):
        os.chown(path, 12345, 12345)
    (found,) = history.no_history(root)
    assert found.what == f"{root} belongs to another user, so git and DVC refuse to read it."
    run(root, found.command)
    assert history.no_history(root) == []


@pytest.mark.parametrize(("change", "expected"), [("lr: 2", True), ("lr: 1", False)])
def test_edits_are_what_git_says(root: Path, change: str, expected: bool) -> None:
    (root / "params.yaml").write_text(f"{change}\n")
    assert history.edited(root, "params.yaml") is expected


def interrupted(root: Path) -> None:
    """What `dvc exp run` does before its stages run; it is then killed."""
    run(root, "git checkout --detach $(git rev-parse HEAD)")
    run(root, "git update-ref refs/exps/exec/EXEC_BASELINE HEAD")


def test_a_head_that_an_interrupted_experiment_detached_goes_back_to_its_branch(root: Path) -> None:
    interrupted(root)
    (root / "params.yaml").write_text("lr: 2\n")
    assert history.detached_head(root, dvc_is_at_work=True) == []
    (found,) = history.detached_head(root, dvc_is_at_work=False)
    what = "HEAD is detached since an interrupted experiment; the branch was work."
    assert found == Finding(what, "git switch work")
    run(root, found.command)
    assert history.detached_head(root, dvc_is_at_work=False) == []
    assert (root / "params.yaml").read_text() == "lr: 2\n"


def test_a_commit_on_the_detached_head_is_brought_along(root: Path) -> None:
    interrupted(root)
    (root / "params.yaml").write_text("lr: 3\n")
    run(root, "git commit --all --message result")
    (found,) = history.detached_head(root, dvc_is_at_work=False)
    run(root, found.command)
    assert run(root, "git symbolic-ref --short HEAD") == "work"
    assert run(root, "git log -1 --format=%s") == "result"


def test_it_is_still_told_after_another_experiment_ended_well(root: Path) -> None:
    interrupted(root)
    run(root, "git update-ref -d refs/exps/exec/EXEC_BASELINE")
    assert history.detached_head(root, dvc_is_at_work=False) == []
    commit = run(root, "git rev-parse HEAD")
    run(root, "git update-ref -m \"dvc: Restore HEAD to '$COMMIT'\" HEAD $COMMIT~0", COMMIT=commit)
    # git writes no line where nothing moves, DVC does
    log = root / ".git/logs/HEAD"
    who = "test <test@localhost> 1700000000 +0000"
    with log.open("a") as file:
        file.write(f"{commit} {commit} {who}\tdvc: Restore HEAD to '{commit}'\n")
    (found,) = history.detached_head(root, dvc_is_at_work=False)
    assert found.command == "git switch work"


def test_a_head_that_a_person_detached_is_none_of_our_business(root: Path) -> None:
    run(root, "git tag v1 && git checkout v1")
    assert history.detached_head(root, dvc_is_at_work=False) == []
