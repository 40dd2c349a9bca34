"""Places and files: where the repository is, hashes, atomic writes, JSON and CSV in and out.

Standard library only, because every stage and the composition check import it.
"""

import csv
import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


def checkout() -> Path:
    """The checkout this code runs from; in a queued experiment, its temporary copy."""
    return Path(__file__).resolve().parents[2]


def home() -> Path:
    """The user's repository: DVC_ROOT when DVC runs us, else this checkout.

    In `--temp` and `--queue` runs the checkout is deleted afterwards, so whatever must outlive a run
    (caches, the tracking store) and every relative path that a person gives counts from here.
    """
    return Path(os.environ.get("DVC_ROOT") or checkout()).resolve()


def cache_folder(kind: str) -> Path:
    """An ignored folder that is always safe to delete, created on first use."""
    folder = home() / ".cache" / "transferlab" / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def mirror() -> str | None:
    """`TRANSFERLAB_MIRROR`: an http(s) prefix as it is, or the absolute path of a folder; None when unset."""
    value = os.environ.get("TRANSFERLAB_MIRROR", "").strip()
    if not value:
        return None
    return value.rstrip("/") if value.startswith(("http://", "https://")) else str(from_home(value))


def baseline() -> str | None:
    """The commit that the running experiment started from; None where there is no git history."""
    if revision := os.environ.get("DVC_EXP_BASELINE_REV"):
        return revision
    command = ["git", "rev-parse", "--verify", "--quiet", "HEAD"]
    try:
        found = subprocess.run(command, cwd=checkout(), capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def from_home(path: str | Path) -> Path:
    """A path that a person wrote: absolute as it is, relative counted from `home()`."""
    return home() / Path(path).expanduser()


def file_hash(path: Path, algorithm: str = "sha256") -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def content_hash(value: Any) -> str:
    """sha256 of a JSON-able value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


@contextmanager
def atomic(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path` and move it into place only when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.part-")
    try:
        text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
        with open(descriptor, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are refused, since JSON has neither."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows of dicts as CSV, atomically; None becomes an empty cell."""
    with atomic(path) as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a CSV as rows of text."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
