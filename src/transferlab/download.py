"""From an address or the mirror to a verified file on disk, once per machine.

A file enters the downloads cache only after its digest was checked, under the name of its sha256; until then it is a
`*.part-*` file. The cache is shared by all runs and always safe to delete.
"""

import errno
import hashlib
import logging
import os
import queue
import re
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import quote, unquote, urljoin, urlsplit

import filelock
import requests
import tqdm

from transferlab import files

logger = logging.getLogger(__name__)

TRIES = 3
CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
CHUNK_BYTES = 1 << 16
MAX_UNPACKED_BYTES = 20 * 10**9
MAX_RATIO = 200  # unpacked bytes per byte of archive
DISK_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
CLUTTER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")

sleep = time.sleep  # replaced in tests


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What is known about a file that is now on disk."""

    path: Path  # in the downloads cache, named by its sha256; for a file of the user's own, the file itself
    origin: str  # address or path it came from; 'mirror' for the mirror, wherever that is
    sha256: str
    verified_by: str  # "sha256" | "sha1" | "hash suffix" | "contents" | "first use" | "path" (a file of the user's own)


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What is asked for and how it will be recognised; the strongest digest decides."""

    url: str
    name: str  # what the file is called in a mirror
    sha256: str | None
    sha1: str | None
    sha256_prefix: str | None
    contents_sha256: str | None
    first_use: str | None  # the sha256 that was recorded when this address was first used
    key: str
    url_key: str

    @property
    def suffix(self) -> str:
        suffix = PurePosixPath(self.name).suffix
        return suffix if re.fullmatch(r"\.\w{1,12}", suffix, re.ASCII) else ""

    @property
    def digests(self) -> tuple[str | None, ...]:
        return self.sha256, self.sha1, self.sha256_prefix, self.contents_sha256, self.first_use

    @property
    def has_digest(self) -> bool:
        return any(self.digests)

    @property
    def identity(self) -> str:
        return files.content_hash([self.url, *self.digests])


class _Refused(Exception):
    """This source will not give the file: what happened, and what a person can do about it."""

    def __init__(self, what: str, advice: str):
        super().__init__(what)
        self.advice = advice


class _Broken(Exception):
    """One try went wrong in a way that another may not."""


def fetch(
    url: str,
    *,
    sha1: str | None = None,
    sha256: str | None = None,
    sha256_prefix: str | None = None,
    contents_sha256: str | None = None,
    key: str,
    url_key: str | None = None,
) -> Verified:
    """The file at an address, from the cache, the mirror or the network, in this order.

    Without any digest the first file seen is trusted: its sha256 is recorded in `data/known_hashes.json` and holds
    from then on. `TRANSFERLAB_REQUIRE_HASH=1` forbids that.

    Args:
        url: http(s) address; its last component is the name to look for in the mirror.
        sha1: 40 hex digits; not looked at when `sha256` is given.
        sha256: 64 hex digits.
        sha256_prefix: first digits of the sha256, as in the names of published weights.
        contents_sha256: see `contents_sha256()`; accepts a repackaged zip when the other digests do not match.
        key: section of params.yaml that messages point at, such as `dataset`.
        url_key: dotted key of the address; null: `<key>.url`.

    Raises:
        ValueError: no source gave the file; nothing was kept and nothing that was there is touched.
    """
    request = _Request(
        url=url,
        name=_download_name(url, url_key or f"{key}.url"),
        sha256=sha256,
        sha1=sha1,
        sha256_prefix=sha256_prefix,
        contents_sha256=contents_sha256,
        first_use=None if any((sha256, sha1, sha256_prefix, contents_sha256)) else _known_hashes().get(url),
        key=key,
        url_key=url_key or f"{key}.url",
    )
    if not request.has_digest and os.environ.get("TRANSFERLAB_REQUIRE_HASH", "0") not in ("", "0"):
        raise ValueError(
            f"{key}.sha256: expected the digest of {url} because TRANSFERLAB_REQUIRE_HASH is set, got none. "
            f"Set {key}.sha256=..., or run once without that variable and commit data/known_hashes.json."
        )
    folder = files.cache_folder("downloads")
    with _alone(folder):
        for stale in folder.glob("*.part-*"):  # of a process that was killed: whoever writes one holds the lock
            stale.unlink(missing_ok=True)
        found = _cached(request, folder) or _from_mirror(request, folder) or _from_network(request, folder)
        if not request.has_digest:
            _record_first_use(request, found)
    return found


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
    actual = files.file_hash(path)
    if sha256 and actual != sha256:
        raise ValueError(
            f"{key}: {path} changed since params.yaml was composed: expected sha256 {sha256}, got {actual}. "
            "Compose it again: make repro, or dvc exp run."
        )
    return Verified(path=path, origin=str(path), sha256=actual, verified_by="sha256" if sha256 else "path")


def own_file(name: str, *, sha256: str | None, key: str) -> Verified:
    """A file of the user's own by its path, or one of the mirror by its name; the hash suffix of a name is checked.

    Args:
        name: path (relative ones count from the repository), or the name of a file in the mirror.
        sha256: its digest when params.yaml was composed, if known.
        key: dotted key of the parameter that names it.

    Raises:
        ValueError: there is no such file, it changed since, or its bytes are not those that its name promises.
    """
    path, mirror = files.from_home(name), files.mirror()
    if not path.is_file() and mirror is not None and Path(name).name == name:
        if mirror.startswith("http"):
            path = fetch(f"{mirror}/{name}", sha256=sha256, sha256_prefix=_suffix(name), key=key, url_key=key).path
        else:
            path = Path(mirror) / name
    if not path.is_file():
        where = f"nor in the mirror ({mirror})" if mirror else "and TRANSFERLAB_MIRROR is not set"
        raise ValueError(
            f"{key}: expected official, none, source, or a file, got '{name}': there is no such file, {where}. "
            f"Give a path, or a name in the mirror."
        )
    found = local(path, sha256=sha256, key=key)
    suffix = _suffix(name)
    if suffix and not found.sha256.startswith(suffix):
        raise ValueError(
            f"{key}: {name}: expected a sha256 that starts with {suffix}, as its name says, got {found.sha256[:16]}. "
            f"Fetch the file again, or rename it if it is your own."
        )
    return Verified(path=path, origin=name, sha256=found.sha256, verified_by="hash suffix" if suffix else "sha256")


def _suffix(name: str) -> str | None:
    """The digits that published weights carry at the end of their names: resnet18-f37072fd.pth."""
    found = re.search(r"-([0-9a-f]{8,64})\.(?:pth|pt|safetensors)$", name)
    return found[1] if found else None


def contents_sha256(archive: Path) -> str:
    """Digest of what is inside a zip, however it was packed.

    The sha256 of the text that `sha256sum` prints for all files, sorted bytewise by path. A single top folder is not
    part of the paths; clutter of desktop systems does not count.

    Raises:
        ValueError: not a readable zip, or one that unpacks to more than 20 GB or 200 times its size.
    """
    try:
        budget = min(MAX_UNPACKED_BYTES, MAX_RATIO * archive.stat().st_size)
        lines = {}
        with zipfile.ZipFile(archive) as source:
            members = [info for info in source.infolist() if not info.is_dir() and not _is_clutter(info.filename)]
            tops = {info.filename.partition("/")[0] for info in members}
            strip = len(tops) == 1 and all("/" in info.filename for info in members)
            for info in members:
                digest, size = _member_digest(source, info, budget)
                budget -= size
                path = info.filename.partition("/")[2] if strip else info.filename
                lines[path.encode()] = f"{digest}  {path}\n".encode()
    # What zipfile raises for damaged input; RuntimeError is an encrypted member.
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{archive} is not a readable zip ({error}). Delete it and run again to download it afresh."
        ) from error
    return hashlib.sha256(b"".join(lines[path] for path in sorted(lines))).hexdigest()


def _download_name(url: str, url_key: str) -> str:
    """Last component of an address's path."""
    try:
        name = PurePosixPath(unquote(urlsplit(url).path)).name
    except ValueError as error:
        raise ValueError(f"{url_key}: expected an http(s) address, got {url!r} ({error}). Check {url_key}.") from error
    return re.sub(r"[\x00-\x1f\\]", "_", name) or "download"


def _is_clutter(name: str) -> bool:
    return any(part in CLUTTER or part.startswith("._") for part in name.split("/"))


def _member_digest(source: zipfile.ZipFile, info: zipfile.ZipInfo, budget: int) -> tuple[str, int]:
    """sha256 and size of a member; counts real bytes, because a header can lie."""
    # Python unpacks bzip2 and LZMA without bound: one chunk of a bomb would fill the memory.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"{info.filename!r} is neither stored nor deflated")
    digest, size = hashlib.sha256(), 0
    with source.open(info) as member:
        while chunk := member.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            if size > budget:
                raise zipfile.BadZipFile(f"unpacks to more than 20 GB or {MAX_RATIO} times its size")
    return digest.hexdigest(), size


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


def _cached(request: _Request, folder: Path) -> Verified | None:
    """A file that an earlier request verified, after hashing it again."""
    index = _read_index(folder)
    wanted = request.sha256 or request.first_use
    entry = index.get(request.identity) or next((e for e in index.values() if wanted and e["sha256"] == wanted), None)
    if entry is None:
        return None
    path = folder / entry["file"]
    if not path.is_file():
        return None
    if files.file_hash(path) != entry["sha256"]:
        logger.warning("The cached copy of %s is damaged; it was deleted and is fetched again.", request.url)
        path.unlink()
        return None
    proof = entry["verified_by"]
    if wanted == entry["sha256"]:
        proof = "sha256" if request.sha256 else "first use"
    return Verified(path=path, origin=entry["origin"], sha256=entry["sha256"], verified_by=proof)


def _read_index(folder: Path) -> dict[str, dict[str, str]]:
    """Request -> facts of the file that answered it; a damaged index is an empty one, the cache refills itself."""
    try:
        index = files.read_json(folder / "index.json")
    except (OSError, ValueError):
        return {}
    needed = {"file", "origin", "sha256", "verified_by"}
    complete = isinstance(index, dict) and all(isinstance(e, dict) and needed <= e.keys() for e in index.values())
    return index if complete else {}


def _from_mirror(request: _Request, folder: Path) -> Verified | None:
    """The mirror's copy. Whatever is wrong with it is a warning, and the mirror is never written to."""
    mirror = files.mirror()
    if mirror is None:
        return None
    try:
        with _part(request, folder) as part:
            if mirror.startswith(("http://", "https://")):
                _Transfer(f"{mirror}/{quote(request.name)}", request, part).run()
            else:
                _copy(Path(mirror) / request.name, part)
            return _keep(part, request, origin="mirror", source=f"{request.name} in the mirror")
    except (_Refused, OSError) as error:
        logger.warning("The mirror %s cannot help: %s Trying %s instead.", mirror, error, request.url)
        return None


def _copy(source: Path, part: IO[bytes]) -> None:
    if not source.is_file():
        raise _Refused(f"it has no {source.name}.", "")
    _need_space(Path(part.name).parent, source.stat().st_size)
    with source.open("rb") as file:
        shutil.copyfileobj(file, part)


def _from_network(request: _Request, folder: Path) -> Verified:
    try:
        with _part(request, folder) as part:
            _Transfer(request.url, request, part).run()
            return _keep(part, request, origin=request.url, source=request.url)
    except _Refused as error:
        raise ValueError(f"{error} {error.advice}") from error


@contextmanager
def _part(request: _Request, folder: Path) -> Iterator[IO[bytes]]:
    """A temporary file in the cache that is gone afterwards, unless it was renamed."""
    # Not in one `with`: closing a file on a full disk fails once more, and that has to be caught too.
    part = tempfile.NamedTemporaryFile(  # noqa: SIM115
        dir=folder, prefix="download.part-", suffix=request.suffix, delete=False
    )
    try:
        with part as file:
            yield file
    except OSError as error:
        if error.errno in DISK_FULL:
            raise ValueError(
                f"{folder}: no room for {request.name} ({os.strerror(error.errno)}). Free some space and run again."
            ) from error
        raise
    finally:
        Path(part.name).unlink(missing_ok=True)


def _keep(part: IO[bytes], request: _Request, *, origin: str, source: str) -> Verified:
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
    files.write_json(path.parent / "index.json", _read_index(path.parent) | {request.identity: entry})
    return found


def _verify(path: Path, sha256: str, request: _Request, source: str) -> str:
    """How the file was recognised."""
    proof, expected, actual = _strongest(path, sha256, request)
    if actual == expected:
        return proof
    if request.contents_sha256 and _contents_or_none(path) == request.contents_sha256:
        logger.warning("%s was repackaged: another archive with exactly the published files.", source)
        return "contents"
    if not request.has_digest:
        if request.suffix == ".zip" and not zipfile.is_zipfile(path):  # recorded, it would be trusted for ever
            raise _Refused(f"{source} is not a readable zip.", f"Nothing was kept. Check {request.url_key}.")
        return "first use"
    label = {"sha1": "SHA-1", "contents": "SHA-256 of the contents"}.get(proof, "SHA-256")
    trust = "" if proof == "hash suffix" else f"; if you trust the new file set {request.key}.sha256={sha256}"
    raise _Refused(
        f"{label} of {source} is {actual or 'unknown (no readable zip)'}, expected {expected}.",
        f"Nothing was kept. The file changed upstream or was damaged on the way{trust}.",
    )


def _strongest(path: Path, sha256: str, request: _Request) -> tuple[str, str | None, str | None]:
    """The best digest that is known: how it is called, what is expected, what the file has."""
    if request.sha256:
        return "sha256", request.sha256, sha256
    if request.sha1:
        return "sha1", request.sha1, files.file_hash(path, "sha1")
    if request.sha256_prefix:
        return "hash suffix", request.sha256_prefix, sha256[: len(request.sha256_prefix)]
    if request.contents_sha256:
        return "contents", request.contents_sha256, _contents_or_none(path)
    return "first use", request.first_use, sha256


def _contents_or_none(path: Path) -> str | None:
    try:
        return contents_sha256(path)
    except ValueError:
        return None


def _known_hashes_path() -> Path:
    return files.home() / "data" / "known_hashes.json"


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
    raise ValueError(f"{path}: expected a JSON object of addresses and sha256 digests. Restore it with git.")


def _record_first_use(request: _Request, found: Verified) -> None:
    known = _known_hashes() | {request.url: found.sha256}
    files.write_json(_known_hashes_path(), dict(sorted(known.items())))
    logger.warning(
        "First use of %s: no digest is known, so sha256 %s was recorded in data/known_hashes.json. Commit that file, "
        "or set %s.sha256=%s.",
        request.url,
        found.sha256,
        request.key,
        found.sha256,
    )


def _need_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise ValueError(f"Need {_size(size)} in {folder}, {_size(free)} free. Free some space and run again.")


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is not None and _is_downgrade(resp.url, urljoin(resp.url, target)):
            resp.close()
            raise _Refused(
                f"{resp.url}: Refusing to follow a redirect from https to http ({target}).",
                "Use an address that stays on https, or put the file into a folder and set TRANSFERLAB_MIRROR to it.",
            )
        return target


def _is_downgrade(source: str, target: str) -> bool:
    return urlsplit(source).scheme == "https" and urlsplit(target).scheme != "https"


@dataclass
class _Transfer:
    """One address read into a file, in as many requests as it takes."""

    url: str
    request: _Request
    file: IO[bytes]
    total: int | None = None  # bytes; unknown when the server does not say
    validator: str | None = None  # names the version being read; without one a broken transfer starts over

    def run(self) -> None:
        """Fill `file`, or raise `_Refused`."""
        with _Session() as session:
            for attempt in range(TRIES):
                try:
                    return self._try(session)
                except _Broken as error:
                    reason = str(error)
                if attempt + 1 < TRIES:
                    wait = 2**attempt
                    logger.warning("%s: %s. Try %d of %d in %d s.", self.url, reason, attempt + 2, TRIES, wait)
                    sleep(wait)
        raise _Refused(
            f"Could not download {self.url} ({reason}). Tried {TRIES} times.",
            f"Put {self.request.name} into a folder and set TRANSFERLAB_MIRROR to it, or try make demo.",
        )

    def _try(self, session: _Session) -> None:
        # Any other encoding would make Content-Length and Range count other bytes than the file's.
        headers = {"Accept-Encoding": "identity"}
        if self.file.tell() and self.validator:
            headers |= {"Range": f"bytes={self.file.tell()}-", "If-Range": self.validator}
        try:
            request = session.prepare_request(requests.Request("GET", self.url, headers=headers))
            _reach(str(request.url))
            with session.get(
                self.url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)
            ) as response:
                self._begin(response)
                self._read(response)
        except requests.exceptions.ChunkedEncodingError as error:
            raise _Broken(self._truncated()) from error
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            raise _Broken(_reason(error)) from error
        except requests.exceptions.RequestException as error:
            raise _Refused(f"Could not download {self.url} ({error}).", f"Check {self.request.url_key}.") from error
        if self.total is not None and self.file.tell() < self.total:
            raise _Broken(self._truncated())

    def _begin(self, response: requests.Response) -> None:
        """Judge the answer by its head; leaves `file` where the body belongs."""
        status, here = response.status_code, self.file.tell()
        if status in (408, 416, 429) or status >= 500:
            if status == 416:  # what we hold is no part of what is there now
                self._start_over()
            raise _Broken(f"answered {status}")
        if status not in (200, 206):
            raise _Refused(f"{self.url} answered {status}.", f"Check {self.request.url_key}.")
        if status == 206:
            part = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
            if not part or (int(part[1]), int(part[2])) != (here, self.total):
                self._start_over()
                raise _Broken("answered with another part than asked for")
            return
        self._start_over()
        if response.headers.get("Content-Encoding", "identity") == "identity":
            length = response.headers.get("Content-Length", "")
            self.total = int(length) if length.isdecimal() else None
            tag = response.headers.get("ETag", "W/")
            self.validator = response.headers.get("Last-Modified") if tag.startswith("W/") else tag
        if self.total is not None:
            _need_space(Path(self.file.name).parent, self.total)

    def _read(self, response: requests.Response) -> None:
        bar: Any = tqdm.tqdm(
            desc=self.request.name,
            total=self.total,
            initial=self.file.tell(),
            unit="B",
            unit_scale=True,
            disable=not sys.stderr.isatty(),
        )
        with bar:
            for chunk in response.iter_content(CHUNK_BYTES):
                if self.file.tell() == 0:
                    self._refuse_page(response.headers.get("Content-Type", ""), chunk)
                self.file.write(chunk)
                bar.update(len(chunk))

    def _refuse_page(self, content_type: str, start: bytes) -> None:
        looks = re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)", start, re.IGNORECASE)
        if looks or (content_type.startswith("text/html") and not start.startswith(b"PK")):
            kind = {".zip": "zip", "": "file"}.get(self.request.suffix, f"{self.request.suffix} file")
            raise _Refused(
                f"{self.url}: The server sent a web page, not a {kind}.",
                f"Nothing was kept. Open the address in a browser, log in if it asks for that, or check "
                f"{self.request.url_key}.",
            )

    def _start_over(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.total = self.validator = None

    def _truncated(self) -> str:
        done = f"{self.file.tell() / 1e6:.1f}"
        return f"truncated ({done} of {self.total / 1e6:.1f} MB)" if self.total else f"truncated (after {done} MB)"


def _reach(url: str) -> None:
    """Resolve and connect within `CONNECT_SECONDS` in all, or raise `_Broken`.

    requests' own timeout holds for each address of a host and not at all for the resolver: behind a firewall that
    drops packets a single try at a host with twelve addresses would take a minute.
    """
    if requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)):
        return
    parts = urlsplit(url)
    place = (parts.hostname or "", parts.port or {"http": 80}.get(parts.scheme, 443))
    outcome: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def connect() -> None:
        try:
            socket.create_connection(place, timeout=CONNECT_SECONDS).close()
            outcome.put(None)
        except (OSError, UnicodeError) as error:
            outcome.put(error)

    threading.Thread(target=connect, daemon=True).start()
    try:
        error = outcome.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        error = TimeoutError(f"no connection within {CONNECT_SECONDS:g} s")
    if error:
        raise _Broken(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """The innermost cause, in the operating system's words where it has some."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
