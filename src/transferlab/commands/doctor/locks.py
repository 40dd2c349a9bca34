"""Locks whose holder is gone: of DVC, and of git."""

import json
import shlex
from pathlib import Path

import psutil

from ...settings import at_work
from .finding import Finding
from .history import git

LOCKS = (".dvc/tmp/rwlock", ".dvc/tmp/exps/rwlock")
GIT_LOCKS = ("index.lock", "HEAD.lock", "packed-refs.lock", "config.lock")


def stale_dvc_locks(root: Path) -> list[Finding]:
    """Files of locks that name no living DVC, or that cannot be read."""
    return [found for name in LOCKS if (found := _stale(root, name))]


def _stale(root: Path, name: str) -> Finding | None:
    path = root / name
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return Finding(f"{name} is damaged, and stops every command of DVC.", f"rm -f {name}")
    holders = at_work.holders(path)
    if not holders or any(at_work.is_dvc(holder.pid) for holder in holders):
        return None
    told = ", ".join(f"PID {holder.pid}: {_now(holder.pid)}" for holder in holders)
    return Finding(f"{name} holds locks of processes that are no DVC ({told}).", f"rm -f {name}")


def _now(pid: int) -> str:
    """What a number of a process stands for today."""
    try:
        return f"now {psutil.Process(pid).name()}"
    except psutil.Error:
        return "gone"


def suspended_dvc(root: Path) -> list[Finding]:
    """A DVC that was put to sleep (Ctrl-Z) holds its locks until it goes on."""
    found = []
    for holder in at_work.holders(root / LOCKS[0]):
        if at_work.is_dvc(holder.pid) and _status(holder.pid) == psutil.STATUS_STOPPED:
            what = f"A run (PID {holder.pid}) is suspended and holds its locks; let it go on."
            found.append(Finding(what, f"kill -CONT {holder.pid}"))
    return found


def _status(pid: int) -> str:
    try:
        return str(psutil.Process(pid).status())
    except psutil.Error:
        return ""


def stale_git_locks(root: Path, somebody_is_at_work: bool) -> list[Finding]:
    """Files of locks that a killed git, or DVC, left; every commit and experiment stops at them."""
    if somebody_is_at_work:
        return []
    found = []
    for name in GIT_LOCKS:
        place = (git(root, "rev-parse", "--git-path", name) or "").strip()
        if place and (root / place).exists():
            what = f"{place} was left by a git or DVC that was killed."
            found.append(Finding(what, f"rm -f {shlex.quote(place)}"))
    return found
