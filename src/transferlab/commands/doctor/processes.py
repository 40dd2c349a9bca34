"""What runs or ran for a checkout: stages without their DVC, experiments without a process."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import psutil

from ...settings import at_work
from .finding import Finding

LEFT = ("tmp*", "standalone/tmp*")
"""Below `.dvc/tmp/exps`: copies that experiments run in."""

IN_THE_WORKSPACE = '"location": "workspace"'
"""In the note on an experiment that runs there, which DVC leaves after a good end as well."""


def anybody_at_work(root: Path) -> bool:
    """Whether a git or DVC of this user works in a checkout, or for it."""
    return any(
        _at_home(process, root) and (at_work.is_dvc(process.pid) or _is_git(process))
        for process in _others()
    )


def _is_git(process: psutil.Process) -> bool:
    try:
        return process.name() == "git"
    except psutil.Error:  # it has just ended
        return False


def orphan_stages(root: Path) -> list[Finding]:
    """Stages that DVC started and that live on without it: they would overwrite a newer result."""
    found = []
    for process in _others():
        script = _stage_of(process, root)
        if script and not any(at_work.is_dvc(above.pid) for above in _above(process)):
            what = f"The DVC of {script} (PID {process.pid}) is gone; the stage runs on alone."
            found.append(Finding(what, f"kill {process.pid}"))
    return found


def dead_experiments(root: Path, somebody_is_at_work: bool) -> list[Finding]:
    """What killed experiments left: copies of the checkout, and notes that say they still run."""
    if somebody_is_at_work:
        return []
    folder = root / ".dvc/tmp/exps"
    found = [path for name in LEFT for path in folder.glob(name)]
    found += [path for path in folder.glob("run/*") if not _of_workspace(path)]
    left = sorted(path.relative_to(root) for path in found)
    if not left:
        return []
    places = " ".join(shlex.quote(str(path)) for path in left)
    return [Finding("Killed experiments left their files.", f"rm -rf {places}")]


def _of_workspace(note: Path) -> bool:
    texts = [path.read_text("utf-8", errors="replace") for path in note.glob("*.run")]
    return any(IN_THE_WORKSPACE in text for text in texts)


def _others() -> Iterator[psutil.Process]:
    """Living processes but this one and those that called it."""
    this = psutil.Process()
    ours = {this.pid, *(process.pid for process in this.parents())}
    for process in psutil.process_iter():
        if process.pid not in ours:
            yield process


def _at_home(process: psutil.Process, root: Path) -> bool:
    try:
        return root in (Path(process.cwd()), *Path(process.cwd()).parents)
    except (psutil.Error, OSError):
        return False


def _stage_of(process: psutil.Process, root: Path) -> str | None:
    """`stages/train.py frozen`, where a process is a stage that DVC runs for this checkout."""
    try:
        words, variables = process.cmdline(), process.environ()
    except (psutil.Error, OSError):
        return None
    scripts = [index for index, word in enumerate(words) if Path(word).match("stages/*.py")]
    if not scripts or "python" not in Path(words[0]).name:
        return None
    ours = variables.get("DVC_STAGE") and variables.get("DVC_ROOT") == str(root)
    return " ".join(words[scripts[0] :]) if ours else None


def _above(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.parents()
    except psutil.Error:
        return []
