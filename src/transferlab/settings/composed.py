"""Which `params.yaml` were composed here, and from which `conf/`: what tells an edit of the one
from an edit of the other.
"""

import contextlib
from pathlib import Path
from typing import Any, Literal

from ..pipeline.files import content_hash, file_hash, write_text
from ..pipeline.places import cache_folder
from .compose import DEFAULTS


def note(values: Any, root: Path) -> None:
    """Remember that `values` were composed from the `conf/` of now; without a disk, forget it."""
    with contextlib.suppress(OSError):
        write_text(_place(values), conf_digest(root))


def origin(values: Any) -> str | None:
    """The digest of the `conf/` that these values were composed from; None: nobody composed them
    here.
    """
    try:
        return _place(values).read_text(encoding="utf-8")
    except OSError:
        return None


def newer(
    values: Any, root: Path, edited: bool | None, conf_edited: bool | None
) -> Literal["params", "conf", "unknown"]:
    """Which of `params.yaml` and `conf/` was changed last, where the two disagree.

    Args:
        values: What `params.yaml` holds.
        root: The checkout.
        edited: Whether `params.yaml` is not as git has it; None where git cannot say.
        conf_edited: The same of `conf/`.
    """
    if (before := origin(values)) is not None:
        return "params" if before == conf_digest(root) else "conf"
    if edited is None or (edited and conf_edited):
        return "unknown"
    return "conf" if conf_edited else "params"


def conf_digest(root: Path) -> str:
    """Digest of the names and bytes of all that `conf/` composes."""
    files = sorted({*(root / "conf").rglob("*.yaml")} - {root / DEFAULTS})
    return content_hash({str(path.relative_to(root)): file_hash(path) for path in files})


def _place(values: Any) -> Path:
    return cache_folder("composed") / content_hash(values)
