"""One download over HTTP: tries, resumption, and an end to it in time and in bytes."""

import os
import queue
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

import requests
import tqdm

from ...pipeline import heartbeat
from ...pipeline.terminal import printable
from .pack import MB, check_space
from .request import Broken, Refused, Request, logger

TRIES = 3

CONNECT_SECONDS = 5.0

READ_SECONDS = 30.0

CHUNK_BYTES = 1 << 16

CHUNK_SECONDS = 60.0
"""For the head of an answer, and for every chunk: what is slower than about a kilobyte a second is
given up.
"""

TOTAL_SECONDS = 6 * 3600.0
"""For a whole download with all its tries, unless `TRANSFERLAB_DOWNLOAD_SECONDS` says otherwise."""

sleep = time.sleep  # replaced in tests


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """The address that an answer leads to; None where it leads nowhere."""
        try:
            target = super().get_redirect_target(resp)
            downgrade = target is not None and _is_downgrade(resp.url, urljoin(resp.url, target))
        except ValueError as error:  # neither text nor an address; requests lets that through
            resp.close()
            raise requests.exceptions.InvalidHeader(f"Location: {error}") from error
        if downgrade:
            resp.close()
            raise Refused(
                f"{printable(resp.url)}: Refusing to follow a redirect from https to http "
                f"({printable(target)}).",
                (
                    "Use an address that stays on https, or put the file into a folder and set "
                    "TRANSFERLAB_MIRROR to it."
                ),
            )
        return target


def _is_downgrade(source: str, target: str) -> bool:
    return urlsplit(source).scheme == "https" and urlsplit(target).scheme != "https"


@dataclass
class Transfer:
    """One address read into a file, in as many requests as it takes."""

    url: str
    request: Request
    file: IO[bytes]
    total: int | None = None  # bytes; unknown when the server does not say
    # names the version being read; without one a broken transfer starts over
    validator: str | None = None
    deadline: float = field(default_factory=lambda: time.monotonic() + total_seconds())

    def run(self) -> None:
        """Fill `file`, or raise `Refused`."""
        with _Session() as session:
            for attempt in range(TRIES):
                try:
                    return self._try(session)
                except Broken as error:
                    reason = str(error)
                    self._patience()
                if attempt + 1 < TRIES:
                    wait = 2**attempt
                    logger.warning(
                        "%s: %s. Try %d of %d in %d s.", self.url, reason, attempt + 2, TRIES, wait
                    )
                    sleep(wait)
        raise Refused(
            f"Could not download {self.url} ({reason}). Tried {TRIES} times.",
            (
                f"Put {self.request.name} into a folder and set TRANSFERLAB_MIRROR to it, or try "
                "make "
                "demo."
            ),
        )

    def _try(self, session: _Session) -> None:
        # Any other encoding would make Content-Length and Range count other bytes than the file's.
        headers = {"Accept-Encoding": "identity"}
        if self.file.tell() and self.validator:
            headers |= {"Range": f"bytes={self.file.tell()}-", "If-Range": self.validator}
        try:
            request = session.prepare_request(requests.Request("GET", self.url, headers=headers))
            _reach(str(request.url))
            with _arriving(_answer(session, self.url, headers), self._patience) as arriving:
                response = next(arriving)
                assert isinstance(response, requests.Response)
                self._begin(response)
                self._read(response, arriving)
        except requests.exceptions.ChunkedEncodingError as error:
            raise Broken(self._truncated()) from error
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            raise Broken(_innermost_cause(error)) from error
        except requests.exceptions.RequestException as error:
            raise Refused(
                f"Could not download {self.url} ({printable(error)}).",
                f"Check {self.request.url_key}.",
            ) from error
        if self.total is not None and self.file.tell() < self.total:
            raise Broken(self._truncated())

    def _patience(self) -> float:
        """Seconds that the next piece may take."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            done = f"{self.file.tell() / MB:.1f} MB"
            raise Refused(
                f"{self.url}: expected a download of at most {total_seconds():g} s, got {done} in "
                "that time.",
                "Nothing was kept. Allow more with TRANSFERLAB_DOWNLOAD_SECONDS.",
            )
        return min(left, CHUNK_SECONDS)

    def _begin(self, response: requests.Response) -> None:
        """Judge the answer by its head; leaves `file` where the body belongs."""
        status, here = response.status_code, self.file.tell()
        if status in (408, 416, 429) or status >= 500:
            if status == 416:  # what we hold is no part of what is there now
                self._start_over()
            raise Broken(f"answered {status}")
        if status not in (200, 206):
            raise Refused(f"{self.url} answered {status}.", f"Check {self.request.url_key}.")
        if status == 206:
            part = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
            if not part or (int(part[1]), int(part[2])) != (here, self.total):
                self._start_over()
                raise Broken("answered with another part than asked for")
            return
        self._start_over()
        if response.headers.get("Content-Encoding", "identity") == "identity":
            length = response.headers.get("Content-Length", "")
            self.total = int(length) if length.isdecimal() else None
            tag = response.headers.get("ETag", "W/")
            self.validator = response.headers.get("Last-Modified") if tag.startswith("W/") else tag
        if self.total is not None:
            self._check_size(self.total)
            check_space(Path(self.file.name).parent, self.total)

    def _check_size(self, size: int) -> None:
        if size > self.request.limits.max_total_mb * MB:
            raise Refused(self.request.limits.total_exceeded(self.url), "Nothing was kept.")

    def _read(self, response: requests.Response, chunks: Iterator[Any]) -> None:
        bar: Any = tqdm.tqdm(
            desc=printable(self.request.name),
            total=self.total,
            initial=self.file.tell(),
            unit="B",
            unit_scale=True,
            disable=not sys.stderr.isatty(),
        )
        heartbeat.hush(None if bar.disable else bar.set_postfix_str)
        with bar:
            for chunk in chunks:
                heartbeat.doing(f"downloading {printable(self.request.name)}{self._so_far()}")
                if self.file.tell() == 0:
                    self._refuse_page(response.headers.get("Content-Type", ""), chunk)
                self._check_size(self.file.tell() + len(chunk))
                self.file.write(chunk)
                bar.update(len(chunk))

    def _so_far(self) -> str:
        of = "" if self.total is None else f" of {self.total / MB:.1f}"
        return f", {self.file.tell() / MB:.1f}{of} MB"

    def _refuse_page(self, content_type: str, start: bytes) -> None:
        looks = re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)", start, re.IGNORECASE)
        if looks or (content_type.startswith("text/html") and not start.startswith(b"PK")):
            kind = {".zip": "zip", "": "file"}.get(
                self.request.suffix, f"{self.request.suffix} file"
            )
            raise Refused(
                f"{self.url}: The server sent a web page, not a {kind}.",
                "Nothing was kept. Open the address in a browser, log in if it asks for that, or "
                "check "
                f"{self.request.url_key}.",
            )

    def _start_over(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.total = self.validator = None

    def _truncated(self) -> str:
        done = f"{self.file.tell() / 1e6:.1f}"
        return (
            f"truncated ({done} of {self.total / 1e6:.1f} MB)"
            if self.total
            else f"truncated (after {done} MB)"
        )


def total_seconds() -> float:
    """How long a download may take in all."""
    given = os.environ.get("TRANSFERLAB_DOWNLOAD_SECONDS", "")
    if not given:
        return TOTAL_SECONDS
    if re.fullmatch(r"\d+(\.\d+)?", given, re.ASCII) and float(given) > 0:
        return float(given)
    raise ValueError(
        f"TRANSFERLAB_DOWNLOAD_SECONDS: expected a number above 0, got {given!r}. Set it to the "
        "seconds that a download may take, or unset it."
    )


def _answer(session: _Session, url: str, headers: dict[str, str]) -> Iterator[Any]:
    """The head of an answer, then its body in chunks."""
    timeout = (CONNECT_SECONDS, READ_SECONDS)
    with session.get(url, headers=headers, stream=True, timeout=timeout) as response:
        yield response
        yield from response.iter_content(CHUNK_BYTES)


class _End:
    """What follows the last piece."""


@contextmanager
def _arriving(pieces: Iterator[Any], patience: Callable[[], float]) -> Iterator[Iterator[Any]]:
    """The pieces, fetched by a thread and each awaited no longer than `patience()` says.

    A time-out of requests holds for a single read of the socket: a server that sends a byte now and
    then, in the head or in the size of a chunk, would never meet it.
    """
    ready: queue.Queue[Any] = queue.Queue(maxsize=4)
    given_up = threading.Event()

    def fetch() -> None:
        """Put every piece into the queue, and what ended them."""
        try:
            for piece in pieces:
                ready.put(piece)
                if given_up.is_set():
                    return
            ready.put(_End())
        except BaseException as error:
            ready.put(error)

    def arrive() -> Iterator[Any]:
        """The pieces out of the queue."""
        while not isinstance(piece := _next(ready, patience()), _End):
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    threading.Thread(target=fetch, daemon=True).start()
    try:
        yield arrive()
    finally:
        given_up.set()
        while not ready.empty():  # the thread may be waiting for room
            ready.get_nowait()


def _next(ready: "queue.Queue[Any]", seconds: float) -> Any:
    try:
        return ready.get(timeout=seconds)
    except queue.Empty:
        raise Broken(f"less than {CHUNK_BYTES // 1024} kB within {seconds:.3g} s") from None


def _reach(url: str) -> None:
    """Resolve and connect within `CONNECT_SECONDS` in all, or raise `Broken`.

    requests' own timeout holds for each address of a host and not at all for the resolver: behind a
    firewall that drops packets a single try at a host with twelve addresses would take a minute.
    """
    if requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)):
        return
    parts = urlsplit(url)
    place = (parts.hostname or "", parts.port or {"http": 80}.get(parts.scheme, 443))
    outcome: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def connect() -> None:
        """Put what came of it into the queue."""
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
        raise Broken(_innermost_cause(error)) from error


def _innermost_cause(error: BaseException) -> str:
    """The innermost cause, in the operating system's words where it has some."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return printable(getattr(error, "strerror", None) or str(error) or type(error).__name__)
