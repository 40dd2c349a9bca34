"""What happens on a node: files are laid out, one training runs, its save goes back."""

import os
import platform
import socket
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock

from ...network import device
from ...params.learning.engine import REFERENCE, Engine
from ...params.reading import load_params
from ...pipeline.awaited import saved_as
from ...pipeline.code import files_in
from ...pipeline.files import atomic, content_hash, file_hash
from ...training.facts import PACKAGES
from .jobs import Job, trainings_of


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A file on its way.

    Args:
        sha256: Of its bytes.
        pieces: Ray's references to them, in order.
    """

    sha256: str
    pieces: list[Any]


@dataclass(frozen=True, kw_only=True)
class Done:
    """A training that ended.

    Args:
        saved: The bytes of its save.
        status: "finished", or "diverged".
        place: The node's name.
        seconds: It took there, from the first file on.
    """

    saved: bytes
    status: str
    place: str
    seconds: float


def machine(engine: Engine) -> dict[str, Any]:
    """What the bytes of a training depend on beside its files."""
    compute = device.prepare(engine, REFERENCE)
    package = Path(__file__).parents[2]
    code = {str(file.relative_to(package)): file_hash(file) for file in files_in(package)}
    return {
        "device": device.describe(compute.device),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "code": content_hash({name: it for name, it in code.items() if name.endswith(".py")})[:8],
    }


def perform(job: Job, files: Mapping[str, Sent]) -> Done:
    """Train, from the save of an earlier attempt on this node where there is one.

    Args:
        job: The training.
        files: All that it depends on, by their names in a checkout.

    Raises:
        ValueError: It is another training here, or it failed.
    """
    begun, home = time.perf_counter(), _home()
    os.environ["DVC_ROOT"] = str(home)
    with tempfile.TemporaryDirectory(prefix="job-", dir=home) as place:
        root = Path(place)
        for name, sent in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.hardlink_to(_kept(sent, home))
        status = _train(root, job)
    return Done(
        saved=saved_as(job.key).read_bytes(),
        status=status,
        place=socket.gethostname(),
        seconds=time.perf_counter() - begun,
    )


def _train(root: Path, job: Job) -> str:
    """Gives how it ended."""
    params = load_params(root / "params.yaml")
    trainer, asked = trainings_of(root, params, job.stage, job.strategy, job.code)
    one = asked[job.title]
    if trainer.key(one.recipe, one.seed, one.rows) != job.key:
        raise ValueError(
            "expected a node of the sender's kind, got one where this training would be another. "
            "Send again: all nodes are looked at first."
        )
    made = trainer.train(one.recipe, one.seed, one.rows, lambda key, facts: lambda row: None)
    return made.done.status


def _home() -> Path:
    """A node's folder of files by content, and of saved trainings: nobody else's."""
    home = Path(tempfile.gettempdir()) / f"transferlab-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    if home.is_symlink() or home.stat().st_uid != os.getuid():
        raise ValueError(f"{home}: expected a folder of this user, got another's. Set TMPDIR.")
    return home


def _kept(sent: Sent, home: Path) -> Path:
    """The file with these bytes; brought here by whoever needs it first."""
    import ray

    path = home / "files" / sent.sha256
    path.parent.mkdir(exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.exists():
            with atomic(path, "wb") as file:
                for piece in sent.pieces:
                    file.write(ray.get(piece))
    return path
