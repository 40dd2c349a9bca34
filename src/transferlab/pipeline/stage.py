"""What every stage does around its work: run alone, check all parameters first, notice edits made
meanwhile, fail in one line.
"""

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..params.reading import load_params, read_params
from ..params.whole import Params
from . import (
    awaited,
    code,
    disk,
    heartbeat,
    memory,
    parent,
    parts,
    recorded,
    signals,
)
from .files import content_hash, file_hash
from .lock import Lock
from .places import checkout, home
from .terminal import message

Work = Callable[[Path, Params, str], None]

log = logging.getLogger(__name__)

SMALL = 10_000_000  # bytes up to which a file's content is compared; beyond, size and time


def main(name: str, work: Work, first: Callable[[Path, Params], None] | None = None) -> None:
    """Run one stage of `dvc.yaml` and exit with its status.

    Args:
        name: The stage.
        work: Receives the checkout, the checked parameters, and the strategy ("" where the stage
            has none).
        first: What may change inputs, before they are looked at; receives checkout and parameters.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    run = _Run(checkout(), name, sys.argv[1] if len(sys.argv) > 1 else "")
    try:
        with signals.interrupting():
            if first is not None:
                first(run.root, load_params(run.root / "params.yaml"))
            run(work)
    except KeyboardInterrupt:
        signals.ignore()
        sys.exit(run.interrupted())
    except (ValueError, OSError, RuntimeError, MemoryError, ImportError) as error:
        text = None if os.environ.get("TRANSFERLAB_TRACEBACK") else run.in_one_line(error)
        if text is None:
            raise
        sys.exit(message(text))


class _Run:
    """One run of a stage.

    Args:
        root: The checkout.
        name: The stage.
        key: The strategy; "" where the stage has none.
    """

    def __init__(self, root: Path, name: str, key: str):
        self.root, self.name, self.key = root, name, key
        self.instance = name
        self.params: Params | None = None
        self.outputs: list[Path] = []

    def __call__(self, work: Work) -> None:
        """Check, run the work alone, and compare what it depends on with what it was before."""
        # ahead of loading: what is loaded is never older than the marks
        before = fingerprint(self.root, self.name, self.key)
        self.params = checked = load_params(self.root / "params.yaml")
        declared = declaration(self.root, self.name)
        if "${key}" in declared["cmd"]:
            self.require_strategy(checked)
            self.instance = f"{self.name}@{self.key}"
        self.outputs = [self.root / out for out in written(declared, self.key)]
        deps = [item.replace("${key}", self.key) for item in declared.get("deps", [])]
        self.require_whole(deps, checked)
        edited = [item for item in declared.get("deps", []) if code.edited(self.root / item)]
        self.require_no(edited)  # while packages were imported
        lock = Lock(self.root, self.instance)
        with (
            lock.taken() as killed,
            parent.watched(self.root, self.instance, lock.clear),
            heartbeat.beating(self.instance),
        ):
            if killed is not None:
                log.info(memory.killed(self.instance, killed, checked))
            parts.sweep(self.outputs, home() / ".cache/transferlab")
            awaited.note_records(self.root)
            work(self.root, checked, self.key)
            # DVC hashes parameters and dependencies after the command ends (treeverse/dvc#11058):
            # without this, values edited meanwhile would be bound to a result they did not make.
            after = fingerprint(self.root, self.name, self.key, noted=False)
            items = {**before, **after}
            self.require_no([item for item in items if before.get(item) != after.get(item)])
            parent.stop_if_gone()

    def require_strategy(self, checked: Params) -> None:
        """Refuse a strategy that `params.yaml` does not name."""
        if self.key not in checked.strategies:
            raise ValueError(
                f"{self.name}: expected one of {', '.join(checked.strategies)}, got "
                f"'{self.key}'. Name one of them."
            )

    def require_whole(self, deps: Sequence[str], checked: Params) -> None:
        """Refuse inputs that are not what DVC recorded. Started by hand, a stage only says so: the
        stages before it may have been, too.
        """
        for line in recorded.damage(self.root, deps, checked.strategies):
            if parent.is_dvc(self.instance):
                raise ValueError(line)
            log.warning(line)

    def require_no(self, changed: Sequence[str]) -> None:
        """Refuse a result that is not what its inputs of now would give."""
        if changed:
            raise ValueError(
                f"{self.name}: expected its inputs to stay as they were, but {', '.join(changed)} "
                "changed while it ran. "
                "Nothing was recorded; run again."
            )

    def interrupted(self) -> str:
        """Why it stops, and that nothing is lost."""
        if not parent.gone():
            return signals.interrupted(self.instance)
        return (
            f"{self.instance}: the DVC that started it is gone, so it stops and writes no result. "
            "Run the same command again to go on."
        )

    def in_one_line(self, error: Exception) -> str | None:
        """What a failure says; None for a mistake in the code, which needs its traceback."""
        if memory.ran_out(error):
            return f"error: {memory.in_words(error, self.instance, self.params)}"
        if isinstance(error, OSError):
            return f"error: {self._named(error)}"
        return f"error: {error}" if isinstance(error, ValueError) else None

    def _named(self, error: OSError) -> OSError:
        """With the file that it is about, of a copy the target; else with the fullest folder."""
        if isinstance(name := error.filename2 or error.filename, str):
            return disk.named(error, Path(name))
        folders = [*self.outputs, self.root, home() / ".cache", Path(tempfile.gettempdir())]
        return disk.of_some_file(error, folders, f"what {self.instance} writes")


def fingerprint(root: Path, name: str, key: str = "", *, noted: bool = True) -> dict[str, str]:
    """Marks of the parameters and dependencies that `dvc.yaml` lists for a stage, by name.

    Args:
        root: The checkout.
        name: The stage.
        key: The strategy.
        noted: Of the code that this process runs, as it was noted at its beginning; else of now.
    """
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
        known = code.noted(path) if noted else {}
        found = [[str(file), it] for file, it in known.items()] or [
            _mark(file) for file in code.files_in(path)
        ]
        marks[str(path.relative_to(root))] = content_hash(found)
    return marks


def code_digest(root: Path, name: str) -> str:
    """Digest of the code that a stage lists among its dependencies, as this process runs it."""
    listed = [
        item for item in declaration(root, name)["deps"] if item.startswith(("src/", "stages/"))
    ]
    known = {file: it for item in listed for file, it in code.noted(root / item).items()}
    known = known or {
        file: file_hash(file) for item in listed for file in code.files_in(root / item)
    }
    return content_hash(
        {str(file.relative_to(root)): it for file, it in known.items() if file.suffix == ".py"}
    )


def declaration(root: Path, name: str) -> dict[str, Any]:
    """A stage's entry in `dvc.yaml`, that of a `foreach` stage without its loop."""
    # libyaml, where it is there, reads in a tenth of the time
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = (root / "dvc.yaml").read_text(encoding="utf-8")
    entry = yaml.load(text, Loader=loader)["stages"][name]
    found: dict[str, Any] = entry.get("do", entry)
    return found


def written(declared: Mapping[str, Any], key: str) -> list[str]:
    """The paths of a stage's entry that it writes."""
    listed = [*declared.get("outs", []), *declared.get("metrics", [])]
    names = [next(iter(item)) if isinstance(item, dict) else item for item in listed]
    return [name.replace("${key}", key) for name in names]


def _mark(file: Path) -> list[Any]:
    if not file.is_file():
        return [file.name, None]
    status = file.stat()
    return [
        str(file),
        file_hash(file) if status.st_size < SMALL else [status.st_size, status.st_mtime_ns],
    ]
