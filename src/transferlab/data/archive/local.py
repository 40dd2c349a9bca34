"""Files of a person's own, used where they lie, and files of the mirror by their names."""

from pathlib import Path

from ...pipeline import places
from .digests import file_digests
from .fetch import fetch
from .request import Verified, suffix_of


class Absent(ValueError):
    """A file of the user's own that is not here."""


def local(path: Path, *, sha256: str | None, key: str) -> Verified:
    """A file of the user's own, used where it lies.

    Args:
        path: the file.
        sha256: its digest when params.yaml was composed, if known.
        key: section of params.yaml that messages point at.

    Raises:
        ValueError: there is no such file, or it changed since params.yaml was composed.
    """
    if not path.is_file():
        raise ValueError(f"{key}: expected a file at {path}, found none. Check the path.")
    actual = file_digests(path, {path.name: path})[path.name]
    if sha256 and actual != sha256:
        raise ValueError(
            f"{key}: {path} changed since params.yaml was composed: expected sha256 {sha256}, got "
            f"{actual}. Compose again, with the same settings: transferlab compose && dvc repro, "
            "or dvc exp run."
        )
    return Verified(
        path=path, origin=str(path), sha256=actual, verified_by="sha256" if sha256 else "path"
    )


def place_of(name: str) -> Path | None:
    """Where a file of the user's own is to be read from: at its path or, by its name, in the
    mirror.

    Returns:
        A path at which there may be nothing; None: it is fetched from a mirror with an address.
    """
    path, mirror = places.from_home(name), places.mirror()
    if path.is_file() or mirror is None or Path(name).name != name:
        return path
    return None if mirror.startswith("http") else Path(mirror) / name


def own_file(name: str, *, sha256: str | None, key: str) -> Verified:
    """A file of the user's own by its path, or one of the mirror by its name; the hash suffix of a
    name is checked.

    Args:
        name: path (relative ones count from the repository), or the name of a file in the mirror.
        sha256: its digest when params.yaml was composed, if known.
        key: dotted key of the parameter that names it.

    Raises:
        ValueError: there is no such file, it changed since, or its bytes are not those that its
            name promises.
    """
    path, mirror = place_of(name), places.mirror()
    if path is None:
        path = fetch(
            f"{mirror}/{name}",
            sha256=sha256,
            sha256_prefix=suffix_of(name),
            key=key,
            url_key=key,
        ).path
    if not path.is_file():
        where = f"nor in the mirror ({mirror})" if mirror else "and TRANSFERLAB_MIRROR is not set"
        raise Absent(
            f"{key}: expected official, none, source, or a file, got '{name}': there is no such "
            f"file, {where}. "
            "Give a path, or a name in the mirror."
        )
    found = local(path, sha256=sha256, key=key)
    suffix = suffix_of(name)
    if suffix and not found.sha256.startswith(suffix):
        raise ValueError(
            f"{key}: {name}: expected a sha256 that starts with {suffix}, as its name says, got "
            f"{found.sha256[:16]}. "
            "Fetch the file again, or rename it if it is your own."
        )
    return Verified(
        path=path,
        origin=name,
        sha256=found.sha256,
        verified_by="hash suffix" if suffix else "sha256",
    )
