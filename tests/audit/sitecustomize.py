"""Writes down which files a stage opens and which it puts into place, one a line.

Python imports this module before a script when its folder stands on PYTHONPATH. AUDIT names the
folder of the lists: one for each stage and strategy, where processes that a stage starts write too.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
ITSELF = {
    ("fingerprint", "stage.py"),  # these read whatever dvc.yaml lists
    ("code_digest", "stage.py"),
    ("note", "code.py"),  # and these all code
    ("edited", "code.py"),
}


def hook(root: str, log: int, child: bool) -> Any:
    """Give the audit hook that writes to an open file.

    Args:
        root: the checkout; what lies outside is nobody's dependency.
        log: descriptor of the list.
        child: of a stage. Its code is no dependency of the stage: it is started, not imported.
    """
    seen = set()

    def audit(event: str, values: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(values[0], str):
            kind, path = ("written" if writes(*values[1:]) else "read"), values[0]
        elif event == "os.rename":
            kind, path = "written", os.fspath(values[1])
        else:
            return
        if kind == "written" and "__pycache__" in path:
            return  # Python's own cache
        path = os.path.relpath(source(os.path.abspath(path)), root)
        line = f"{kind} {path}\n"
        foreign = path.startswith("..") or (child and path.startswith("src/"))
        if foreign or line in seen or within_stage_itself():
            return
        seen.add(line)
        os.write(log, line.encode())

    return audit


def writes(mode: str | None, flags: int) -> bool:
    return bool(flags & WRITING) if mode is None else bool(set(mode) & set("wax+"))


def source(path: str) -> str:
    """The module behind a compiled file."""
    return importlib.util.source_from_cache(path) if path.endswith(".pyc") else path


def within_stage_itself() -> bool:
    frame = sys._getframe()
    while frame is not None:
        code = frame.f_code
        folder, name = os.path.split(code.co_filename)
        if folder.endswith("pipeline") and (code.co_name, name) in ITSELF:
            return True
        frame = frame.f_back
    return False


def begin(folder: Path, command: list[str]) -> None:
    """Begin in a stage, and in what a stage starts; DVC itself is left alone."""
    child = "AUDITED" in os.environ
    scripts = [number for number, word in enumerate(command) if word.startswith("stages/")]
    if not child and not scripts:
        return
    if not child:
        words = [Path(command[scripts[0]]).stem, *command[scripts[0] + 1 :]]
        os.environ["AUDITED"] = "@".join(words)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    log = os.open(folder / os.environ["AUDITED"], flags, 0o644)
    sys.addaudithook(hook(os.getcwd(), log, child))


if "AUDIT" in os.environ:
    begin(Path(os.environ["AUDIT"]), sys.orig_argv)
