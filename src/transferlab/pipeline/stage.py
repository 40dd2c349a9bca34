"""What every stage does around its work: check all parameters first, notice edits made meanwhile,
fail in one line.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from ..params.reading import load_params, read_params
from ..params.whole import Params
from .files import content_hash, file_hash
from .places import checkout

SMALL = (
    10_000_000  # bytes up to which a file is compared by content; data beyond it by size and time
)


def main(
    name: str,
    work: Callable[[Path, Params, str], None],
    first: Callable[[Path, Params], None] | None = None,
) -> None:
    """Run one stage of `dvc.yaml` and exit with its status.

    Args:
        name: The stage.
        work: Receives the checkout, the checked parameters, and the strategy ("" where the stage
            has none).
        first: What may change inputs, before they are looked at; receives checkout and parameters.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _interrupt)
    root, key = checkout(), sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        if first is not None:
            first(root, load_params(root / "params.yaml"))
        # ahead of loading: what is loaded is never older than the marks
        before = fingerprint(root, name, key)
        checked = load_params(root / "params.yaml")
        if "${key}" in declaration(root, name)["cmd"] and key not in checked.strategies:
            raise ValueError(
                f"{name}: expected one of {', '.join(checked.strategies)}, got '{key}'. Name one "
                "of them."
            )
        work(root, checked, key)
        # DVC hashes parameters and dependencies after the command ends (treeverse/dvc#11058):
        # without this, values edited meanwhile would be bound to a result they did not make.
        after = fingerprint(root, name, key)
        changed = [item for item in {**before, **after} if before.get(item) != after.get(item)]
        if changed:
            raise ValueError(
                f"{name}: expected its inputs to stay as they were, but {', '.join(changed)} "
                "changed while it ran. "
                f"Nothing was recorded; run again."
            )
    except KeyboardInterrupt:
        sys.exit(f"{name}: interrupted. Run the same command again to go on.")
    except (ValueError, OSError) as error:
        if os.environ.get("TRANSFERLAB_TRACEBACK"):
            raise
        sys.exit(f"error: {error}")


def fingerprint(root: Path, name: str, key: str = "") -> dict[str, str]:
    """Marks of the parameters and dependencies that `dvc.yaml` lists for a stage, by name."""
    declared = declaration(root, name)
    values = read_params(root / "params.yaml")
    marks = {}
    for item in declared.get("params", []):
        value: Any = values
        for step in item.replace("${key}", key).split("."):
            value = value.get(step) if isinstance(value, dict) else None
        marks[item.replace("${key}", key)] = content_hash(value)
    for item in declared.get("deps", []):
        path = root / item.replace("${key}", key)
        marks[str(path.relative_to(root))] = content_hash([_mark(file) for file in _files(path)])
    return marks


def code_digest(root: Path, name: str) -> str:
    """Digest of the code that a stage lists among its dependencies."""
    listed = [
        item for item in declaration(root, name)["deps"] if item.startswith(("src/", "stages/"))
    ]
    files = [file for item in listed for file in _files(root / item) if file.suffix == ".py"]
    return content_hash({str(file.relative_to(root)): file_hash(file) for file in files})


def declaration(root: Path, name: str) -> dict[str, Any]:
    """A stage's entry in `dvc.yaml`, that of a `foreach` stage without its loop."""
    entry = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"][name]
    found: dict[str, Any] = entry.get("do", entry)
    return found


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(
            file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts
        )
    else:
        yield path


def _mark(file: Path) -> list[Any]:
    if not file.is_file():
        return [file.name, None]
    status = file.stat()
    return [
        str(file),
        file_hash(file) if status.st_size < SMALL else [status.st_size, status.st_mtime_ns],
    ]


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
