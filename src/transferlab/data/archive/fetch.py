"""From an address or the mirror to a verified file on disk, once per machine.

A file enters the downloads cache only after its digest was checked, under the name of its sha256;
until then it is a `*.part-*` file. The cache is shared by all runs and always safe to delete.
"""

import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import quote, unquote, urlsplit

import filelock

from ...pipeline import files, places
from .contents import contents_sha256
from .pack import check_space
from .request import DISK_FULL, Limits, Refused, Request, TooMuch, Verified, logger
from .transfer import Transfer

WEIGHTS_MB = 5000
"""What a file of weights may have, unless `TRANSFERLAB_DOWNLOAD_MB` says otherwise; the largest
that is published for a backbone here has 553.
"""


def fetch(
    url: str,
    *,
    sha1: str | None = None,
    sha256: str | None = None,
    sha256_prefix: str | None = None,
    contents_sha256: str | None = None,
    key: str,
    url_key: str | None = None,
    limits: Limits | None = None,
) -> Verified:
    """The file at an address, from the cache, the mirror or the network, in this order.

    Without any digest the first file seen is trusted: its sha256 is recorded in
    `data/known_hashes.json` and holds from then on. `TRANSFERLAB_REQUIRE_HASH=1` forbids that.

    Args:
        url: http(s) address; its last component is the name to look for in the mirror.
        sha1: 40 hex digits; not looked at when `sha256` is given.
        sha256: 64 hex digits.
        sha256_prefix: first digits of the sha256, as in the names of published weights.
        contents_sha256: see `contents_sha256()`; accepts a repackaged zip when the other digests do
            not match.
        key: section of params.yaml that messages point at, such as `dataset`.
        url_key: dotted key of the address; null: `<key>.url`.
        limits: of its size; null: those of a file of weights.

    Raises:
        ValueError: no source gave the file; nothing was kept and nothing that was there is touched.
    """
    request = Request(
        url=url,
        name=_download_name(url, url_key or f"{key}.url"),
        sha256=sha256,
        sha1=sha1,
        sha256_prefix=sha256_prefix,
        contents_sha256=contents_sha256,
        first_use=None
        if any((sha256, sha1, sha256_prefix, contents_sha256))
        else _known_hashes().get(url),
        key=key,
        url_key=url_key or f"{key}.url",
        limits=limits or _limits_of_weights(),
    )
    if not request.has_digest and os.environ.get("TRANSFERLAB_REQUIRE_HASH", "0") not in ("", "0"):
        raise ValueError(
            f"{key}.sha256: expected the digest of {url} because TRANSFERLAB_REQUIRE_HASH is set, "
            "got none. "
            f"Set {key}.sha256=..., or run once without that variable and commit "
            "data/known_hashes.json."
        )
    folder = places.cache_folder("downloads")
    with _alone(folder):
        # of a process that was killed: whoever writes one holds the lock
        for stale in folder.glob("*.part-*"):
            stale.unlink(missing_ok=True)
        found = (
            _cached(request, folder)
            or _from_mirror(request, folder)
            or _from_network(request, folder)
        )
        if not request.has_digest:
            _record_first_use(request, found)
    return found


def _limits_of_weights() -> Limits:
    given = os.environ.get("TRANSFERLAB_DOWNLOAD_MB", "") or str(WEIGHTS_MB)
    if not re.fullmatch("[1-9][0-9]{0,11}", given):
        raise ValueError(
            f"TRANSFERLAB_DOWNLOAD_MB: expected a whole number above 0, got {given!r}. Set it to "
            "the megabytes that a file of weights may have, or unset it."
        )
    return Limits(max_total_mb=int(given), total_key="TRANSFERLAB_DOWNLOAD_MB")


def _download_name(url: str, url_key: str) -> str:
    """Last component of an address's path."""
    try:
        name = PurePosixPath(unquote(urlsplit(url).path)).name
    except ValueError as error:
        raise ValueError(
            f"{url_key}: expected an http(s) address, got {url!r} ({error}). Check {url_key}."
        ) from error
    return "".join(c if c.isprintable() and c != "\\" else "_" for c in name) or "download"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time, so that two that need the same file cause one download."""
    lock = filelock.FileLock(folder / "downloads.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        logger.warning("Waiting for another process that is downloading.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _cached(request: Request, folder: Path) -> Verified | None:
    """A file that an earlier request verified, after hashing it again."""
    index = _read_index(folder)
    wanted = request.sha256 or request.first_use
    entry = index.get(request.identity) or next(
        (e for e in index.values() if wanted and e["sha256"] == wanted), None
    )
    if entry is None:
        return None
    path = folder / entry["file"]
    if not path.is_file():
        return None
    if files.file_hash(path) != entry["sha256"]:
        logger.warning(
            "The cached copy of %s is damaged; it was deleted and is fetched again.", request.url
        )
        path.unlink()
        return None
    proof = entry["verified_by"]
    if wanted == entry["sha256"]:
        proof = "sha256" if request.sha256 else "first use"
    return Verified(path=path, origin=entry["origin"], sha256=entry["sha256"], verified_by=proof)


def _read_index(folder: Path) -> dict[str, dict[str, str]]:
    """Request -> facts of the file that answered it; a damaged index is an empty one, the cache
    refills itself.
    """
    try:
        index = files.read_json(folder / "index.json")
    except (OSError, ValueError):
        return {}
    needed = {"file", "origin", "sha256", "verified_by"}
    complete = isinstance(index, dict) and all(
        isinstance(e, dict) and needed <= e.keys() for e in index.values()
    )
    return index if complete else {}


def _from_mirror(request: Request, folder: Path) -> Verified | None:
    """The mirror's copy. Whatever is wrong with it is a warning, and the mirror is never written
    to.
    """
    mirror = places.mirror()
    if mirror is None:
        return None
    try:
        with _part(request, folder) as part:
            if mirror.startswith(("http://", "https://")):
                Transfer(f"{mirror}/{quote(request.name)}", request, part).run()
            else:
                _copy(Path(mirror) / request.name, part)
            return _keep(part, request, origin="mirror", source=f"{request.name} in the mirror")
    except (Refused, OSError) as error:
        logger.warning(
            "The mirror %s cannot help: %s Trying %s instead.", mirror, error, request.url
        )
        return None


def _copy(source: Path, part: IO[bytes]) -> None:
    if not source.is_file():
        raise Refused(f"it has no {source.name}.", "")
    check_space(Path(part.name).parent, source.stat().st_size)
    with source.open("rb") as file:
        shutil.copyfileobj(file, part)


def _from_network(request: Request, folder: Path) -> Verified:
    try:
        with _part(request, folder) as part:
            Transfer(request.url, request, part).run()
            return _keep(part, request, origin=request.url, source=request.url)
    except Refused as error:
        raise ValueError(f"{error} {error.advice}") from error


@contextmanager
def _part(request: Request, folder: Path) -> Iterator[IO[bytes]]:
    """A temporary file in the cache that is gone afterwards, unless it was renamed."""
    # Not in one `with`: closing a file on a full disk fails once more, and that has to be caught
    # too.
    part = tempfile.NamedTemporaryFile(  # noqa: SIM115
        dir=folder, prefix="download.part-", suffix=request.suffix, delete=False
    )
    try:
        with part as file:
            yield file
    except OSError as error:
        if error.errno in DISK_FULL:
            raise ValueError(
                f"{folder}: no room for {request.name} ({os.strerror(error.errno)}). Free some "
                "space and run again."
            ) from error
        raise
    finally:
        Path(part.name).unlink(missing_ok=True)


def _keep(part: IO[bytes], request: Request, *, origin: str, source: str) -> Verified:
    """Verify a complete temporary file and give it its place and its entry in the index."""
    part.flush()
    os.fsync(part.fileno())
    unverified = Path(part.name)
    sha256 = files.file_hash(unverified)
    verified_by = _verify(unverified, sha256, request, source)
    path = unverified.parent / f"{sha256}{request.suffix}"
    unverified.chmod(0o644)
    os.replace(unverified, path)
    found = Verified(path=path, origin=origin, sha256=sha256, verified_by=verified_by)
    entry = {"url": request.url, "file": path.name, **asdict(found)}
    del entry["path"]  # a copied cache stays valid
    files.write_json(
        path.parent / "index.json", _read_index(path.parent) | {request.identity: entry}
    )
    return found


def _verify(path: Path, sha256: str, request: Request, source: str) -> str:
    """How the file was recognised."""
    proof, expected, actual = _strongest(path, sha256, request, source)
    if actual == expected:
        return proof
    if request.contents_sha256 and _contents(path, request, source) == request.contents_sha256:
        logger.warning(
            "%s was repackaged: another archive with exactly the published files.", source
        )
        return "contents"
    if not request.has_digest:
        # recorded, it would be trusted for ever
        if request.suffix == ".zip" and not zipfile.is_zipfile(path):
            raise Refused(
                f"{source} is not a readable zip.", f"Nothing was kept. Check {request.url_key}."
            )
        return "first use"
    label = {"sha1": "SHA-1", "contents": "SHA-256 of the contents"}.get(proof, "SHA-256")
    trust = (
        ""
        if proof == "hash suffix"
        else f"; if you trust the new file set {request.key}.sha256={sha256}"
    )
    raise Refused(
        f"{label} of {source} is {actual or 'unknown (no readable zip)'}, expected {expected}.",
        f"Nothing was kept. The file changed upstream or was damaged on the way{trust}.",
    )


def _strongest(
    path: Path, sha256: str, request: Request, source: str
) -> tuple[str, str | None, str | None]:
    """The best digest that is known: how it is called, what is expected, what the file has."""
    if request.sha256:
        return "sha256", request.sha256, sha256
    if request.sha1:
        return "sha1", request.sha1, files.file_hash(path, "sha1")
    if request.sha256_prefix:
        return "hash suffix", request.sha256_prefix, sha256[: len(request.sha256_prefix)]
    if request.contents_sha256:
        return "contents", request.contents_sha256, _contents(path, request, source)
    return "first use", request.first_use, sha256


def _contents(path: Path, request: Request, source: str) -> str | None:
    """Digest of what is inside; None where that cannot be read."""
    try:
        return contents_sha256(path, request.limits, title=source)
    except TooMuch as error:
        raise Refused(str(error), "Nothing was kept.") from error
    except ValueError:
        return None


def _known_hashes_path() -> Path:
    return places.home() / "data" / "known_hashes.json"


def _known_hashes() -> dict[str, str]:
    """Address -> sha256 of the first file that came from it."""
    path = _known_hashes_path()
    if not path.exists():
        return {}
    try:
        known = files.read_json(path)
        if all(re.fullmatch("[0-9a-f]{64}", digest) for digest in known.values()):
            return dict(known)
    except (ValueError, AttributeError, TypeError):
        pass
    raise ValueError(
        f"{path}: expected a JSON object of addresses and sha256 digests. Restore it with git."
    )


def _record_first_use(request: Request, found: Verified) -> None:
    known = _known_hashes() | {request.url: found.sha256}
    files.write_json(_known_hashes_path(), dict(sorted(known.items())))
    logger.warning(
        "First use of %s: no digest is known, so sha256 %s was recorded in "
        "data/known_hashes.json. Commit that file, "
        "or set %s.sha256=%s.",
        request.url,
        found.sha256,
        request.key,
        found.sha256,
    )
