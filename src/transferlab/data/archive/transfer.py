"""One download over HTTP: tries, time-outs, resumption."""

import queue
import re
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

import requests
import tqdm

from .contents import CHUNK_BYTES
from .pack import check_space
from .request import Broken, Refused, Request, logger

TRIES = 3

CONNECT_SECONDS = 5.0

READ_SECONDS = 30.0

sleep = time.sleep  # replaced in tests


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is not None and _is_downgrade(resp.url, urljoin(resp.url, target)):
            resp.close()
            raise Refused(
                f"{resp.url}: Refusing to follow a redirect from https to http ({target}).",
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
    validator: str | None = (
        None  # names the version being read; without one a broken transfer starts over
    )

    def run(self) -> None:
        """Fill `file`, or raise `_Refused`."""
        with _Session() as session:
            for attempt in range(TRIES):
                try:
                    return self._try(session)
                except Broken as error:
                    reason = str(error)
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
            with session.get(
                self.url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)
            ) as response:
                self._begin(response)
                self._read(response)
        except requests.exceptions.ChunkedEncodingError as error:
            raise Broken(self._truncated()) from error
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            raise Broken(_innermost_cause(error)) from error
        except requests.exceptions.RequestException as error:
            raise Refused(
                f"Could not download {self.url} ({error}).", f"Check {self.request.url_key}."
            ) from error
        if self.total is not None and self.file.tell() < self.total:
            raise Broken(self._truncated())

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
            check_space(Path(self.file.name).parent, self.total)

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


def _reach(url: str) -> None:
    """Resolve and connect within `CONNECT_SECONDS` in all, or raise `_Broken`.

    requests' own timeout holds for each address of a host and not at all for the resolver: behind a
    firewall that drops packets a single try at a host with twelve addresses would take a minute.
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
        raise Broken(_innermost_cause(error)) from error


def _innermost_cause(error: BaseException) -> str:
    """The innermost cause, in the operating system's words where it has some."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
