"""Where the checkout is, the home of what outlives it, and the caches.

Standard library only, because every stage and the composition check import it.
"""

import os
import subprocess
from pathlib import Path


def checkout() -> Path:
    """The checkout this code runs from; in a queued experiment, its temporary copy."""
    return Path(__file__).resolve().parents[3]


def home() -> Path:
    """The user's repository: DVC_ROOT when DVC runs us, else this checkout.

    In `--temp` and `--queue` runs the checkout is deleted afterwards, so whatever must outlive a
    run (caches, the tracking store) and every relative path that a person gives counts from here.
    """
    return Path(os.environ.get("DVC_ROOT") or checkout()).resolve()


def cache_folder(kind: str) -> Path:
    """An ignored folder that is always safe to delete, created on first use."""
    folder = home() / ".cache" / "transferlab" / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def lies_in_cache(path: Path) -> bool:
    """Whether a path is below the caches: nobody's result."""
    return home() / ".cache" in path.absolute().parents


def mirror() -> str | None:
    """`TRANSFERLAB_MIRROR`: an http(s) prefix as it is, or the absolute path of a folder; None when
    unset.
    """
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
