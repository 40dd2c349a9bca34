"""Commands that run DVC: `params.yaml` settled and the ground looked at, then DVC in our place."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from ..params.reading import load_params
from ..pipeline.places import checkout
from ..settings import at_work, between_stages, compose, composed
from ..settings.changes import differences
from .doctor import history
from .parameters import current, in_words, preview, take

KEPT = "dvc repro"
REPLACED = "transferlab compose && dvc repro"
DIGESTS = {"dataset.path_sha256", "backbone.weights_sha256"}
"""Composed from files outside: they change where nobody edits a setting."""


def repro() -> None:
    """Settle which of params.yaml and conf/ is meant where they differ, then run `dvc repro`."""
    root = checkout()
    expect_history(root, commit=False)
    settle(root)
    become_dvc("repro")


def experiment(settings: Sequence[str] = ()) -> None:
    """Say what changes, then run `dvc exp run` with these settings."""
    expect_history(checkout())
    at_work.expect_nobody_else(checkout())  # DVC asks so late that it has put edits aside by then
    preview(settings)
    become_dvc("exp", "run", *(word for setting in settings for word in ("-S", setting)))


def expect_history(root: Path, commit: bool = True) -> None:
    """Refuse in a line what DVC would refuse in its own words.

    Raises:
        ValueError: There is no git repository to work in, or no commit where one is needed.
    """
    for finding in history.no_history(root, commit):
        raise ValueError(str(finding))


def settle(root: Path) -> None:
    """Make `params.yaml` what is to be run, and say what it is where conf/ says something else.

    Raises:
        ValueError: Both were edited, or one of them does not pass the check.
    """
    path = root / "params.yaml"
    old = current(path)
    try:
        text = compose.compose(root=root)
    except ValueError as error:
        if not old or not _conf_is_old(old, root):
            raise
        load_params(path)
        print(f"{error}\nSo conf/ is not composed here, and params.yaml is run as it stands.")
        return
    changes = list(differences(old, yaml.safe_load(text)))
    meant = _meant(old, changes, root) if old and changes else "conf"
    if meant == "unknown":
        raise ValueError(
            "params.yaml: expected what conf/ composes to, or edits of one of the two, got "
            f"{in_words(changes)}. To run params.yaml: {KEPT}. To run conf/: {REPLACED}."
        )
    if meant == "params":
        load_params(path)
        print(
            f"params.yaml is run as it stands ({KEPT}); conf/ would give {in_words(changes)}. To "
            f"run conf/: {REPLACED}"
        )
        return
    committed = bool(old and changes) and history.edited(root, "params.yaml") is False
    take(path, old, text)
    if committed:
        print(
            "conf/ was edited, so params.yaml was composed anew. To run the committed one: git "
            f"checkout params.yaml && {KEPT}"
        )


def _meant(old: Any, changes: Sequence[tuple[str, Any, Any]], root: Path) -> str:
    """Which of the two that differ is to be run: "params", "conf", or "unknown"."""
    if composed.origin(old) is not None and {key for key, _, _ in changes} <= DIGESTS:
        return "conf"
    edited = [history.edited(root, name) for name in ("params.yaml", "conf")]
    return composed.newer(old, root, *edited)


def _conf_is_old(values: Any, root: Path) -> bool:
    """Whether nobody edited conf/ since these values were composed or committed."""
    if (before := composed.origin(values)) is not None:
        return before == composed.conf_digest(root)
    return history.edited(root, "conf") is False


def become_dvc(*words: str) -> NoReturn:
    """Go on as DVC, with this environment's `python` for the stages."""
    folder = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", "")])
    print("dvc", *words, flush=True)
    os.execv(sys.executable, [sys.executable, "-m", between_stages.__name__, "dvc", *words])
