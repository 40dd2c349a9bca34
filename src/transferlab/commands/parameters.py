"""Commands about settings: compose, preview and check `params.yaml`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..params.reading import load_params, parse, read_params
from ..pipeline.files import write_text
from ..pipeline.places import checkout
from ..pipeline.terminal import printable
from ..settings import at_work, compose, composed
from ..settings.amount import known
from ..settings.changes import differences
from ..settings.cost import expectation
from .doctor import history


def compose_params(settings: Sequence[str] = ()) -> None:
    """Compose conf/ into params.yaml, saying what changes and what the run will take; without
    settings, they become the defaults that reports compare with.
    """
    path = checkout() / "params.yaml"
    text = compose.compose(settings)
    take(path, current(path), text)
    if not settings:
        compose.record_defaults(text, path.parent)


def take(path: Path, old: Any, text: str) -> None:
    """Write what was composed, unless it is there; say what changes and what a run will take.

    Raises:
        ValueError: Another run reads the file that would be replaced.
    """
    differs = not path.is_file() or path.read_bytes() != text.encode()
    if differs:
        at_work.expect_nobody_else(path.parent)
    show(old, yaml.safe_load(text))
    if differs:
        write_text(path, text)
    composed.note(yaml.safe_load(text), path.parent)


def preview(settings: Sequence[str] = ()) -> None:
    """Say what `dvc exp run -S ...` changes in params.yaml, and which edits of that file it
    replaces.
    """
    old, new = current(checkout() / "params.yaml"), yaml.safe_load(compose.compose(settings))
    show(old, new)
    if not old or composed.origin(old) or history.edited(checkout(), "params.yaml") is False:
        return  # composed here, or committed: nobody's hand
    replaced = {key for key, _, _ in differences(old, new)}
    edits = [
        change
        for change in differences(old, yaml.safe_load(compose.compose()))
        if change[0] in replaced
    ]
    if edits:
        print(
            f"params.yaml differs from conf/ in {in_words(edits)}; that is replaced. Edit conf/ "
            "instead."
        )


def check() -> None:
    """Check params.yaml by itself and, as data, against what conf/ composes to."""
    path = checkout() / "params.yaml"
    load_params(path)
    if changes := list(differences(read_params(path), yaml.safe_load(compose.compose()))):
        raise ValueError(
            "params.yaml: expected what conf/ composes to, got other values of "
            f"{in_words(changes)}. "
            "Run: transferlab compose && dvc repro, or dvc exp run with these settings"
        )
    print("params.yaml is what conf/ composes to")


def current(path: Path) -> Any:
    """The params file as it is; nothing where it is not there or cannot be read, since it is about
    to be replaced.
    """
    try:
        return read_params(path)
    except ValueError:
        return {}


def show(old: Any, new: Any) -> None:
    """Print every key that changes, and what to expect of a run; of a first one there is none."""
    for change in differences(old, new) if old else ():
        print(f"params.yaml: {in_words([change])}")
    values = parse(new, "conf")
    print(expectation(values, known(values.dataset)))


def in_words(changes: Sequence[tuple[str, Any, Any]]) -> str:
    """Keys with their old and new values, at most five of them."""
    words = [f"{key} ({_change(before, after)})" for key, before, after in changes[:5]]
    return ", ".join(words) + (f" and {len(changes) - 5} more" if len(changes) > 5 else "")


def _change(before: Any, after: Any) -> str:
    """Of a whole section, such as a strategy, only whether it comes or goes."""
    if isinstance(before, dict):
        return "left out"
    return "new" if isinstance(after, dict) else f"{short(before)} -> {short(after)}"


def short(value: Any) -> str:
    """A value in one line of at most 60 characters."""
    text = "none" if value is None else printable(value)
    return text if len(text) <= 60 else text[:57] + "..."
