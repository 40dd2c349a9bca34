"""What git says of a checkout: whether there is a history at all, and whose branch it is on."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .finding import Finding

COMMIT = "git add --all && git commit --message start"


def git(root: Path, *words: str) -> str | None:
    """What a git command says; None where it fails, or there is no git."""
    try:
        done = _run(root, words)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def edited(root: Path, name: str) -> bool | None:
    """Whether a file or folder is not as the last commit has it; None where git cannot say."""
    if git(root, "rev-parse", "--verify", "--quiet", "HEAD") is None:
        return None
    status = git(root, "status", "--porcelain", "--untracked-files=all", "--", name)
    return None if status is None else bool(status.strip())


def no_history(root: Path, commit: bool = True) -> list[Finding]:
    """No git, no repository, one that git refuses to read, or no commit; DVC tells none of it.

    Args:
        root: The checkout.
        commit: Whether a commit is needed; `dvc repro` does without.
    """
    if shutil.which("git") is None:
        return [Finding("There is no git, which DVC needs.", "sudo apt-get install git")]
    done = _run(root, ["rev-parse", "--git-dir"])
    if "dubious ownership" in done.stderr:
        place = shlex.quote(str(_repository(root)))
        return [
            Finding(
                f"{root} belongs to another user, so git and DVC refuse to read it.",
                f"git config --global --add safe.directory {place}",
            )
        ]
    if done.returncode:
        what = f"{root} is no git repository (a downloaded zip?), and DVC needs one."
        return [Finding(what, f"git init && {COMMIT}")]
    if commit and git(root, "rev-parse", "--verify", "--quiet", "HEAD") is None:
        return [Finding("git has no commit yet, and experiments start from one.", COMMIT)]
    return []


def detached_head(root: Path, dvc_is_at_work: bool) -> list[Finding]:
    """A HEAD that DVC took off its branch for an experiment and could not put back."""
    if dvc_is_at_work or git(root, "symbolic-ref", "--quiet", "HEAD") is not None:
        return []
    log = (git(root, "reflog", "--format=%gs", "HEAD") or "").splitlines()
    left = [line for line in log if line.startswith("checkout: moving from ")]
    branch = next((name for name in map(_left, left) if _is_branch(root, name)), None)
    by_dvc = git(root, "rev-parse", "--verify", "--quiet", "refs/exps/exec/EXEC_BASELINE")
    if branch is None or (by_dvc is None and not _restored_by_dvc(log, branch)):
        return []
    command = f"git switch {shlex.quote(branch)}"
    if git(root, "merge-base", "--is-ancestor", "HEAD", branch) is None:
        commit = (git(root, "rev-parse", "HEAD") or "").strip()
        command = f"{command} && git merge {commit}"
    what = f"HEAD is detached since an interrupted experiment; the branch was {branch}."
    return [Finding(what, command)]


def _left(line: str) -> str:
    return line.removeprefix("checkout: moving from ").rpartition(" to ")[0]


def _is_branch(root: Path, name: str) -> bool:
    reference = f"refs/heads/{name}"
    return git(root, "show-ref", "--verify", "--quiet", reference) is not None


def _restored_by_dvc(log: Sequence[str], branch: str) -> bool:
    """Whether DVC put HEAD back to a commit, as it does in a run after the interrupted one."""
    since = [index for index, line in enumerate(log) if _left(line) == branch]
    return any(re.match(r"dvc: Restore HEAD to '[0-9a-f]{40}'", line) for line in log[: since[0]])


def _repository(root: Path) -> Path:
    """The folder that git speaks of: the nearest one with a `.git`."""
    return next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)


def _run(root: Path, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    return subprocess.run(
        ["git", *words], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
