"""A file reaches the cache verified or not at all, whatever the server, the mirror and the disk
do.
"""

import gzip
import hashlib
import io
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from transferlab.data.archive import fetch as fetching
from transferlab.data.archive import local, transfer
from transferlab.data.archive.contents import contents_sha256
from transferlab.data.archive.request import Limits, TooMuch, Verified
from transferlab.data.archive.transfer import CONNECT_SECONDS, TRIES, _is_downgrade
from transferlab.pipeline import files, places

FILES = {
    "top/train/ants/a.jpg": b"ant",
    "top/train/bees/b.jpg": b"bee" * 9,
    "top/val/ants/c.jpg": b"another",
}
# the fixtures unset the variable
REAL = Path(os.environ.get("TRANSFERLAB_MIRROR", "")) / "hymenoptera_data.zip"
LIMITS = Limits(
    max_total_mb=20, max_ratio=200, total_key="dataset.max_total_mb", ratio_key="dataset.max_ratio"
)
NOISE = random.Random(0).randbytes(300_000)  # longer than what is read at once


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return memory.getvalue()


def listing_digest(members: dict[str, bytes]) -> str:
    lines = [f"{sha256(data)}  {name}\n" for name, data in sorted(members.items())]
    return sha256("".join(lines).encode())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


BODY = zipped(FILES | {"top/train/ants/noise.jpg": NOISE})
OTHER = zipped({"top/train/ants/a.jpg": b"changed"})


class Server(ThreadingHTTPServer):
    """Answers every GET with `answer` and remembers the requests."""

    daemon_threads = True
    body = BODY
    answer: Callable[["Handler"], None]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[dict[str, str]] = []
        self.asked, self.go_on = threading.Event(), threading.Event()
        self.answer = ok

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/files/a.zip"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append({"path": self.path, **self.headers})
        self.server.answer(self)

    def head(self, status: int, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


Answer = Callable[[Handler], None]


def ok(handler: Handler) -> None:
    handler.head(200, len(handler.server.body))
    handler.wfile.write(handler.server.body)


def status(number: int) -> Answer:
    return lambda handler: handler.head(number, 0)


def in_turn(*answers: Answer) -> Answer:
    """The first request gets the first answer, and so on; the last one repeats."""
    return lambda handler: answers[min(len(handler.server.seen), len(answers)) - 1](handler)


def half(handler: Handler, **headers: str) -> None:
    handler.head(200, len(handler.server.body), **headers)
    handler.wfile.write(handler.server.body[: len(handler.server.body) // 2])


def half_with_tag(handler: Handler) -> None:
    half(handler, ETag='"v1"')


def rest(handler: Handler) -> None:
    body, start = (
        handler.server.body,
        int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-")),
    )
    handler.head(
        206,
        len(body) - start,
        Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}",
        ETag='"v1"',
    )
    handler.wfile.write(body[start:])


def some_of_the_rest(handler: Handler) -> None:
    body, start = (
        handler.server.body,
        int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-")),
    )
    handler.head(206, 9, Content_Range=f"bytes {start}-{start + 8}/{len(body)}")
    handler.wfile.write(body[start : start + 9])


def compressed(handler: Handler) -> None:
    data = gzip.compress(handler.server.body, compresslevel=0)  # longer than the file itself
    handler.head(200, len(data), Content_Encoding="gzip", ETag='"v1"')
    handler.wfile.write(data)


def wrong_rest(handler: Handler) -> None:
    body = handler.server.body
    handler.head(206, len(body), Content_Range=f"bytes 0-{len(body) - 1}/{len(body)}")
    handler.wfile.write(body)


def page(content_type: str, body: bytes) -> Answer:
    def answer(handler: Handler) -> None:
        handler.head(200, len(body), Content_Type=content_type)
        handler.wfile.write(body)

    return answer


def half_then_wait(handler: Handler) -> None:
    body = handler.server.body
    handler.head(200, len(body))
    handler.wfile.write(body[: len(body) // 2])
    handler.wfile.flush()
    handler.server.asked.set()
    handler.server.go_on.wait(30)
    handler.wfile.write(body[len(body) // 2 :])


def never(handler: Handler) -> None:
    handler.server.go_on.wait(30)
    handler.close_connection = True


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository, no mirror, no proxy between the test and its server."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("TRANSFERLAB_MIRROR", raising=False)
    monkeypatch.delenv("TRANSFERLAB_REQUIRE_HASH", raising=False)
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, which no test sits through."""
    recorded: list[float] = []
    monkeypatch.setattr(transfer, "sleep", recorded.append)
    return recorded


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv("TRANSFERLAB_MIRROR", str(folder))
    return folder


def kept() -> dict[str, bytes]:
    """Everything in the downloads cache except the lock."""
    folder = places.cache_folder("downloads")
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}


def fetch(server: Server, **digests: str) -> Verified:
    digests = digests or {"sha256": sha256(BODY)}
    return fetching.fetch(server.url, key="dataset", limits=LIMITS, **digests)


def refused(server: Server, match: str, **digests: str) -> str:
    """The message of a fetch that must fail and leave the cache as it was."""
    before = kept()
    with pytest.raises(ValueError, match=match) as caught:
        fetch(server, **digests)
    assert kept() == before
    return str(caught.value)


# Digests


@pytest.mark.parametrize(
    ("digests", "verified_by"),
    [
        ({"sha256": sha256(BODY)}, "sha256"),
        ({"sha1": hashlib.sha1(BODY).hexdigest()}, "sha1"),
        ({"sha256_prefix": sha256(BODY)[:8]}, "hash suffix"),
        (
            {
                "contents_sha256": listing_digest(
                    {"train/ants/noise.jpg": NOISE} | {k[4:]: v for k, v in FILES.items()}
                )
            },
            "contents",
        ),
        ({"sha256": sha256(BODY), "sha1": "0" * 40}, "sha256"),  # the stronger digest decides
    ],
)
def test_a_matching_digest_keeps_the_file_under_its_sha256(
    server: Server, digests: dict[str, str], verified_by: str
) -> None:
    found = fetch(server, **digests)
    assert found == Verified(
        path=places.cache_folder("downloads") / f"{sha256(BODY)}.zip",
        origin=server.url,
        sha256=sha256(BODY),
        verified_by=verified_by,
    )
    assert sorted(kept()) == [found.path.name, "index.json"]
    assert kept()[found.path.name] == BODY
    assert found.path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("digests", "message"),
    [
        (
            {"sha256": sha256(BODY)},
            (
                rf"SHA-256 of .*a\.zip is {sha256(OTHER)}, expected {sha256(BODY)}\. Nothing was "
                rf"kept\."
            ),
        ),
        (
            {"sha1": "0" * 40},
            rf"SHA-1 of .*a\.zip is {hashlib.sha1(OTHER).hexdigest()}, expected {'0' * 40}\.",
        ),
        (
            {"sha256_prefix": "01234567"},
            rf"SHA-256 of .*a\.zip is {sha256(OTHER)[:8]}, expected 01234567\.",
        ),
        (
            {"contents_sha256": "0" * 64},
            rf"SHA-256 of the contents of .*a\.zip is [0-9a-f]{{64}}, expected {'0' * 64}\.",
        ),
    ],
)
def test_wrong_bytes_are_named_and_not_kept(
    server: Server, digests: dict[str, str], message: str
) -> None:
    server.body = OTHER
    text = refused(server, message, **digests)
    assert (f"set dataset.sha256={sha256(OTHER)}" in text) == ("sha256_prefix" not in digests)
    assert len(server.seen) == 1


def test_contents_that_cannot_be_read_are_named(server: Server) -> None:
    server.body = NOISE
    refused(
        server,
        r"contents of .*a\.zip is unknown \(no readable zip\), expected 0{64}",
        contents_sha256="0" * 64,
    )


def test_setting_the_sha256_that_the_message_shows_accepts_the_new_file(server: Server) -> None:
    text = refused(server, "SHA-1", sha1="0" * 40)
    shown = text.partition("dataset.sha256=")[2].rstrip(".")
    assert fetch(server, sha1="0" * 40, sha256=shown).sha256 == sha256(BODY)


def test_a_repackaged_archive_with_the_published_contents_is_accepted_and_said(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.body = zipped(FILES, zipfile.ZIP_DEFLATED)
    contents = listing_digest({name.removeprefix("top/"): data for name, data in FILES.items()})
    found = fetch(server, sha1="0" * 40, contents_sha256=contents)
    assert (found.verified_by, found.sha256) == ("contents", sha256(server.body))
    assert "was repackaged" in caplog.text
    assert fetch(server, sha1="0" * 40, contents_sha256=contents) == found
    assert len(server.seen) == 1


def test_the_published_digest_is_the_one_reported_when_the_contents_differ_too(
    server: Server,
) -> None:
    refused(server, "SHA-1 of", sha1="0" * 40, contents_sha256="0" * 64)


# Trust on first use


def test_an_unknown_hash_is_recorded_on_first_use_and_holds_from_then_on(
    server: Server, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = fetching.fetch(server.url, key="dataset")
    assert found.verified_by == "first use"
    assert files.read_json(home / "data" / "known_hashes.json") == {server.url: sha256(BODY)}
    assert sha256(BODY) in caplog.text
    assert fetching.fetch(server.url, key="dataset") == found
    assert len(server.seen) == 1

    server.body = OTHER
    shutil.rmtree(places.cache_folder("downloads"))
    with pytest.raises(
        ValueError, match=f"is {sha256(OTHER)}, expected {sha256(BODY)}.*set dataset.sha256="
    ):
        fetching.fetch(server.url, key="dataset")
    assert kept() == {}
    assert files.read_json(home / "data" / "known_hashes.json") == {server.url: sha256(BODY)}


def test_a_recorded_hash_outweighs_what_the_cache_holds(server: Server, home: Path) -> None:
    fetching.fetch(server.url, key="dataset")
    files.write_json(home / "data" / "known_hashes.json", {server.url: sha256(OTHER)})
    server.body = OTHER
    assert fetching.fetch(server.url, key="dataset").sha256 == sha256(OTHER)


def test_a_required_hash_that_is_unknown_is_an_error_before_any_request(
    server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFERLAB_REQUIRE_HASH", "1")
    with pytest.raises(ValueError, match=r"dataset\.sha256: expected the digest .* got none"):
        fetching.fetch(server.url, key="dataset")
    assert server.seen == []
    files.write_json(home / "data" / "known_hashes.json", {server.url: sha256(BODY)})
    assert fetching.fetch(server.url, key="dataset").verified_by == "first use"


def test_a_file_that_is_no_zip_is_not_trusted_on_first_use(server: Server, home: Path) -> None:
    server.body = b"not what the name says"
    with pytest.raises(
        ValueError, match=r"a\.zip is not a readable zip\. Nothing was kept\. Check dataset\.url"
    ):
        fetching.fetch(server.url, key="dataset")
    assert kept() == {}
    assert not (home / "data").exists()


@pytest.mark.parametrize("text", ["<<<<<<< HEAD", "[]", '{"http://x": "y"}', '{"http://x": 1}'])
def test_a_damaged_list_of_known_hashes_is_named(server: Server, home: Path, text: str) -> None:
    files.write_text(home / "data" / "known_hashes.json", text)
    with pytest.raises(
        ValueError, match=r"known_hashes\.json: expected a JSON object.*Restore it with git"
    ):
        fetching.fetch(server.url, key="dataset")
    assert server.seen == []


# Servers


def test_a_failing_server_is_asked_again_with_growing_waits(
    server: Server, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    server.answer = in_turn(status(503), status(503), ok)
    assert fetch(server).sha256 == sha256(BODY)
    assert waits == [1, 2]
    assert len(server.seen) == 3
    warnings = [record.getMessage() for record in caplog.records]
    assert [line.partition(": ")[2] for line in warnings] == [
        "answered 503. Try 2 of 3 in 1 s.",
        "answered 503. Try 3 of 3 in 2 s.",
    ]


@pytest.mark.parametrize(
    ("number", "requests_made"), [(404, 1), (403, 1), (204, 1), (408, 3), (429, 3), (500, 3)]
)
def test_only_an_answer_that_may_change_is_asked_for_again(
    server: Server, number: int, requests_made: int
) -> None:
    server.answer = status(number)
    text = refused(server, f"answered {number}")
    assert len(server.seen) == requests_made
    assert ("Check dataset.url." in text) == (requests_made == 1)


def test_the_address_can_have_a_key_of_its_own(server: Server) -> None:
    server.answer = status(404)
    with pytest.raises(ValueError, match=r"answered 404\. Check backbone\.official_url\."):
        fetching.fetch(
            server.url, key="backbone", url_key="backbone.official_url", sha256_prefix="01234567"
        )


def test_a_server_that_is_down_costs_three_tries_and_the_message_shows_the_ways_out(
    server: Server, waits: list[float]
) -> None:
    with socket.socket() as nobody:  # bound, not listening: connections are refused
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/a.zip"
        with pytest.raises(ValueError) as caught:
            fetching.fetch(url, key="dataset", sha256=sha256(BODY))
    assert str(caught.value) == (
        f"Could not download {url} (Connection refused). Tried 3 times. "
        "Put a.zip into a folder and set TRANSFERLAB_MIRROR to it, or try make demo."
    )
    assert waits == [1, 2]
    assert kept() == {}


def test_a_name_that_does_not_resolve_counts_as_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(
        ValueError,
        match=r"http://data\.invalid/a\.zip \(Name or service not known\)\. Tried 3 times",
    ):
        fetching.fetch("http://data.invalid/a.zip", key="dataset", sha256=sha256(BODY))


def test_a_resolver_that_never_answers_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def silent(*args: object, **kwargs: object) -> None:
        released.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    monkeypatch.setattr(transfer, "CONNECT_SECONDS", 0.05)
    with pytest.raises(ValueError, match=r"\(no connection within 0\.05 s\)\. Tried 3 times"):
        fetching.fetch("http://data.invalid/a.zip", key="dataset", sha256=sha256(BODY))
    released.set()


def test_no_network_takes_less_than_half_a_minute() -> None:
    waits = sum(2**attempt for attempt in range(TRIES - 1))
    assert TRIES * CONNECT_SECONDS + waits < 30


def test_a_proxy_is_left_to_requests(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    url = "http://data.invalid/a.zip"
    assert fetching.fetch(url, key="dataset", sha256=sha256(BODY)).origin == url
    assert [request["path"] for request in server.seen] == [url]


def test_a_server_that_never_answers_is_given_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "READ_SECONDS", 0.1)
    server.answer = never
    refused(server, r"timed out\)\. Tried 3 times")
    assert len(server.seen) == 3


def endless(handler: Handler) -> None:
    handler.head(200)
    while not handler.server.go_on.is_set():
        handler.wfile.write(NOISE)


def endless_in_chunks(handler: Handler) -> None:
    handler.head(200, Transfer_Encoding="chunked")
    while not handler.server.go_on.is_set():
        handler.wfile.write(f"{len(NOISE):x}\r\n".encode() + NOISE + b"\r\n")


def promised(handler: Handler) -> None:
    handler.head(200, 10**12)


@pytest.mark.parametrize("answer", [endless, endless_in_chunks, promised])
def test_a_body_larger_than_the_limit_stops_there_and_is_not_asked_for_again(
    server: Server, answer: Answer
) -> None:
    server.answer = answer
    refused(server, r"/a\.zip: expected at most dataset\.max_total_mb=20 MB, got more\. Raise")
    assert len(server.seen) == 1


def test_a_file_of_weights_has_a_limit_of_its_own(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = promised
    message = "expected at most TRANSFERLAB_DOWNLOAD_MB={} MB, got more. Raise TRANSFERLAB_DOWN"
    with pytest.raises(ValueError, match=message.format(5000)):
        fetching.fetch(server.url, key="backbone", sha256="0" * 64)
    monkeypatch.setenv("TRANSFERLAB_DOWNLOAD_MB", "7000")
    with pytest.raises(ValueError, match=message.format(7000)):
        fetching.fetch(server.url, key="backbone", sha256="0" * 64)


def drips(*begin: bytes) -> Answer:
    """A byte now and then, faster than any time-out of the socket."""

    def answer(handler: Handler) -> None:
        for part in begin:
            handler.wfile.write(part)
        while not handler.server.go_on.wait(0.02):
            handler.wfile.write(b"0")

    return answer


DRIPPING = {
    "head": drips(b"HTTP/1.1 200 OK\r\nX: "),
    "body": drips(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n"),
    "endless body": drips(b"HTTP/1.1 200 OK\r\n\r\n"),
    "size of a chunk": drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
}


@pytest.mark.slow
@pytest.mark.parametrize("part", DRIPPING)
def test_a_server_that_sends_a_byte_now_and_then_is_given_up(
    server: Server, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(transfer, "CHUNK_SECONDS", 0.15)
    server.answer = DRIPPING[part]
    refused(server, r"\(less than 64 kB within 0\.15 s\)\. Tried 3 times")
    assert len(server.seen) == 3


def test_a_download_ends_with_its_total_time_whatever_its_rate(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def steady(handler: Handler) -> None:
        handler.head(200)
        while not handler.server.go_on.wait(0.02):
            handler.wfile.write(NOISE[:70_000])

    monkeypatch.setenv("TRANSFERLAB_DOWNLOAD_SECONDS", "0.2")
    server.answer = steady
    message = refused(server, r"at most 0\.2 s, got \d\.\d MB in that time\. Nothing was kept\.")
    assert message.endswith("Allow more with TRANSFERLAB_DOWNLOAD_SECONDS.")
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("TRANSFERLAB_DOWNLOAD_SECONDS", value) for value in ("soon", "0", "-1", "nan", "1e9")),
        *(("TRANSFERLAB_DOWNLOAD_MB", value) for value in ("5 GB", "0", "1.5")),
    ],
)
def test_a_limit_that_is_no_number_is_refused_before_any_request(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=rf"{name}: expected a .*number above 0, got '{value}'\."):
        fetching.fetch(server.url, key="backbone", sha256="0" * 64)
    assert server.seen == []


def said_raw(handler: Handler) -> None:
    handler.wfile.write(b"\x1b[31mred\x9b2J\r\n\r\n")


def said_in_a_redirect(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: ftp://\x1b[31m\x9b2J\r\n\r\n")


def said_as_no_address(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: http://[\x1b[31m\r\n\r\n")


def said_as_encoding(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1b[31m\x9b2J")


@pytest.mark.parametrize(
    "answer", [said_raw, said_in_a_redirect, said_as_no_address, said_as_encoding]
)
def test_no_character_of_a_server_moves_the_cursor(
    server: Server, caplog: pytest.LogCaptureFixture, answer: Answer
) -> None:
    server.answer = answer
    message = refused(server, "Could not download")
    for text in (message, *(record.getMessage() for record in caplog.records)):
        assert text.isprintable()


@pytest.mark.parametrize(
    "url", ["http://[/a.zip", "http://host:port/a.zip", "http:///a.zip", "http://.../a.zip"]
)
def test_an_address_that_is_none_is_refused_at_once(url: str, waits: list[float]) -> None:
    with pytest.raises(ValueError, match=r"Check dataset\.url\."):
        fetching.fetch(url, key="dataset", sha256=sha256(BODY))
    assert waits == []


def test_a_truncated_file_is_named_and_not_kept(server: Server) -> None:
    server.answer = half
    refused(server, r"\(truncated \(0\.[01] of 0\.3 MB\)\)\. Tried 3 times")
    assert len(server.seen) == 3
    assert not any("Range" in request for request in server.seen)  # nothing named the version


def test_a_broken_transfer_goes_on_where_it_stopped(server: Server) -> None:
    server.answer = in_turn(half_with_tag, rest)
    assert fetch(server).sha256 == sha256(BODY)
    first, second = server.seen
    assert "Range" not in first
    assert 0 < int(second["Range"].removeprefix("bytes=").removesuffix("-")) <= len(BODY) // 2
    assert second["If-Range"] == '"v1"'


def test_a_server_may_send_the_rest_in_pieces(server: Server) -> None:
    server.answer = in_turn(half_with_tag, some_of_the_rest, rest)
    assert fetch(server).sha256 == sha256(BODY)
    assert len(server.seen) == 3


def test_a_body_that_is_compressed_unasked_is_unpacked(server: Server) -> None:
    server.answer = compressed
    assert fetch(server).sha256 == sha256(BODY)
    assert server.seen[0]["Accept-Encoding"] == "identity"
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param((half_with_tag, ok), id="the server ignores ranges"),
        pytest.param((half_with_tag, wrong_rest, ok), id="another part"),
        pytest.param((half_with_tag, status(416), ok), id="not satisfiable"),
        pytest.param((lambda handler: half(handler, ETag='W/"v1"'), ok), id="weak tag"),
        pytest.param((half, half, ok), id="no tag"),
    ],
)
def test_a_transfer_that_cannot_go_on_starts_over(
    server: Server, answers: tuple[Answer, ...]
) -> None:
    server.answer = in_turn(*answers)
    assert fetch(server).path.read_bytes() == BODY
    assert len(server.seen) == len(answers)
    assert "Range" not in server.seen[-1] or answers[-2] is half_with_tag


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html; charset=utf-8", b"Please log in"),
        ("application/zip", b"\n <!DOCTYPE html><title>Login</title>"),
        ("application/octet-stream", b"\xef\xbb\xbf<HTML>"),
    ],
)
def test_a_web_page_is_no_zip(server: Server, content_type: str, body: bytes) -> None:
    server.answer = page(content_type, body)
    refused(server, "The server sent a web page, not a zip")
    assert len(server.seen) == 1


def test_a_zip_that_is_called_a_web_page_is_a_zip(server: Server) -> None:
    server.answer = page("text/html", BODY)
    assert fetch(server).sha256 == sha256(BODY)


@pytest.mark.parametrize(
    ("source", "target", "refused"),
    [
        ("https://host/a", "http://host/a", True),
        ("https://host/a", "http://other/b", True),
        ("https://host/a", "file:///b", True),
        ("https://host/a", "https://other/b", False),
        ("http://host/a", "https://host/a", False),
        ("http://host/a", "http://other/b", False),
    ],
)
def test_only_a_redirect_that_leaves_https_is_a_downgrade(
    source: str, target: str, refused: bool
) -> None:
    assert _is_downgrade(source, target) == refused


def test_a_downgrade_is_refused_and_not_requested(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        transfer, "_is_downgrade", lambda source, target: target.endswith("/elsewhere/b")
    )
    server.answer = in_turn(lambda handler: handler.head(302, 0, Location="/elsewhere/b"), ok)
    refused(
        server,
        "Refusing to follow a redirect from https to http .*Use an address that stays on https",
    )
    assert len(server.seen) == 1


def test_a_redirected_file_keeps_the_address_that_was_asked_for(server: Server) -> None:
    server.answer = in_turn(lambda handler: handler.head(302, 0, Location="/elsewhere/b"), ok)
    assert fetch(server).origin == server.url
    assert [request["path"] for request in server.seen] == ["/files/a.zip", "/elsewhere/b"]


def test_no_module_uses_torchvisions_downloader() -> None:
    sources = list(Path(fetching.__file__).parents[2].rglob("*.py"))
    assert Path(fetching.__file__) in sources
    assert [
        path.name for path in sources if "download_url" in path.read_text(encoding="utf-8")
    ] == []


# The cache


def test_a_second_fetch_needs_no_request(server: Server) -> None:
    assert fetch(server) == fetch(server)
    assert len(server.seen) == 1


def test_a_file_with_the_wanted_sha256_serves_any_address(server: Server) -> None:
    first = fetch(server, sha1=hashlib.sha1(BODY).hexdigest())
    again = fetching.fetch(f"{server.url}?version=2", key="dataset", sha256=sha256(BODY))
    assert (again.path, again.origin, again.verified_by) == (first.path, server.url, "sha256")
    assert len(server.seen) == 1


@pytest.mark.parametrize("damage", [b"", BODY[:-1], bytes([BODY[0] ^ 1]) + BODY[1:]])
def test_a_damaged_cached_file_is_deleted_and_fetched_again(
    server: Server, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    fetch(server).path.write_bytes(damage)
    assert fetch(server).path.read_bytes() == BODY
    assert len(server.seen) == 2
    assert "is damaged; it was deleted" in caplog.text


def test_a_damaged_cached_file_is_not_handed_out_without_a_network(server: Server) -> None:
    path = fetch(server).path
    path.write_bytes(OTHER)
    server.answer = status(404)
    with pytest.raises(ValueError, match="answered 404"):
        fetch(server)
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "[]", '{"x": 1}', '{"x": {"file": "a"}}'])
def test_a_damaged_index_is_an_empty_one(server: Server, text: str) -> None:
    (places.cache_folder("downloads") / "index.json").write_text(text)
    assert fetch(server) == fetch(server)
    assert len(server.seen) == 1


def test_a_failed_download_leaves_finished_files_alone(server: Server) -> None:
    found = fetch(server)
    server.body = OTHER
    refused(server, "expected 0", sha256="0" * 64)
    assert found.path.read_bytes() == BODY
    assert fetch(server) == found


def test_a_full_disk_is_noticed_before_the_first_byte(
    server: Server, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=9))
    refused(server, r"downloads: expected room for 300\.5 kB, got 9 bytes free\. Free some space")
    assert len(server.seen) == 1
    (mirror / "a.zip").write_bytes(BODY)
    refused(server, r"downloads: expected room for 300\.5 kB, got 9 bytes free\. Free some space")
    assert len(server.seen) == 1


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(
    server: Server, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stderr)
    fetch(server)
    assert ("a.zip: 100%" in stderr.getvalue()) == terminal


# Killed, concurrent and starved processes

CHILD = """
import logging, sys
from transferlab.data.archive import fetch
logging.basicConfig(format="%(message)s")
if len(sys.argv) > 3:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    print(fetch.fetch(sys.argv[1], key="dataset", sha256=sys.argv[2]).path.name)
except ValueError as error:
    print(error)
"""


def start(server: Server, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, server.url, sha256(BODY), *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(fetching.__file__).parents[3])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_a_killed_process_left_is_removed_and_the_result_is_the_same(server: Server) -> None:
    server.answer = half_then_wait
    with start(server) as child:
        assert server.asked.wait(30)
        child.send_signal(signal.SIGKILL)
    assert [name for name in kept() if ".part-" in name] == list(kept())
    assert len(kept()) == 1
    server.answer = ok
    found = fetch(server)
    assert sorted(kept()) == [found.path.name, "index.json"]
    assert found.path.read_bytes() == BODY


@pytest.mark.slow
def test_two_processes_that_want_one_file_cause_one_request(server: Server) -> None:
    server.answer = half_then_wait
    with start(server) as first:
        assert server.asked.wait(30)
        with start(server) as second:
            assert second.stderr is not None
            assert second.stderr.readline() == "Waiting for another process that is downloading.\n"
            server.go_on.set()
            assert [child.communicate()[0] for child in (first, second)] == [
                f"{sha256(BODY)}.zip\n"
            ] * 2
    assert len(server.seen) == 1


def test_a_disk_that_fills_up_half_way_is_named_and_nothing_is_kept(server: Server) -> None:
    with start(server, "100000") as child:
        output, errors = child.communicate()
    assert "no room for a.zip (File too large). Free some space and run again." in output, errors
    assert kept() == {}


# The mirror


def test_the_mirror_is_asked_first(server: Server, mirror: Path) -> None:
    (mirror / "a.zip").write_bytes(BODY)
    found = fetch(server)
    assert (found.origin, found.sha256, found.path.read_bytes()) == ("mirror", sha256(BODY), BODY)
    assert server.seen == []


def test_a_file_that_the_mirror_lacks_is_downloaded(
    server: Server, mirror: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert fetch(server).origin == server.url
    assert f"The mirror {mirror} cannot help: it has no a.zip." in caplog.text
    assert list(mirror.iterdir()) == []


def test_wrong_bytes_in_the_mirror_are_a_warning_and_stay_there(
    server: Server, mirror: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (mirror / "a.zip").write_bytes(OTHER)
    assert fetch(server).origin == server.url
    assert (
        f"The mirror {mirror} cannot help: SHA-256 of a.zip in the mirror is {sha256(OTHER)}"
        in caplog.text
    )
    assert (mirror / "a.zip").read_bytes() == OTHER
    assert sorted(kept()) == sorted([f"{sha256(BODY)}.zip", "index.json"])


def test_a_mirror_can_be_a_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFERLAB_MIRROR", server.url.rpartition("/")[0] + "/mirror/")
    found = fetching.fetch(
        "https://data.invalid/deep/a%20b.zip?x=1", key="dataset", sha256=sha256(BODY)
    )
    assert found.origin == "mirror"
    assert [request["path"] for request in server.seen] == ["/files/mirror/a%20b.zip"]


@pytest.mark.parametrize("answer", [status(404), page("text/html", b"<html>")])
def test_a_mirror_server_without_the_file_falls_through(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answer: Answer,
) -> None:
    monkeypatch.setenv("TRANSFERLAB_MIRROR", server.url.rpartition("/")[0] + "/mirror")
    server.answer = in_turn(answer, ok)
    assert fetch(server).origin == server.url
    assert [request["path"] for request in server.seen] == ["/files/mirror/a.zip", "/files/a.zip"]
    assert "cannot help" in caplog.text


@pytest.mark.parametrize("path", ["..", "%2e%2e", "..%2Fsecret.zip", "%00", "..%5Csecret.zip", ""])
def test_no_address_reaches_outside_the_mirror_or_the_cache(
    server: Server, mirror: Path, path: str
) -> None:
    (mirror.parent / "secret.zip").write_bytes(b"secret")
    found = fetching.fetch(
        f"http://127.0.0.1:{server.server_port}/{path}", key="dataset", sha256=sha256(BODY)
    )
    assert found.origin != "mirror"
    assert found.path.parent == places.cache_folder("downloads")


# What is inside an archive


@pytest.mark.parametrize(
    "members",
    [
        pytest.param(FILES, id="a top folder"),
        pytest.param({name.removeprefix("top/"): data for name, data in FILES.items()}, id="none"),
        pytest.param(dict(reversed(FILES.items())), id="another order"),
        pytest.param(
            FILES
            | {"__MACOSX/top/._a.jpg": b"x", "top/.DS_Store": b"x", "top/train/ants/._a.jpg": b"x"}
            | {"Thumbs.db": b"x", "top/val/DESKTOP.INI": b"x", "top/empty/": b""}
            | {"top/.gitignore": b"x", "top/.thumbnails/a.jpg": b"x"},
            id="clutter",
        ),
    ],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_digest_of_the_contents_does_not_depend_on_the_packaging(
    tmp_path: Path, members: dict[str, bytes], method: int
) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(members, method))
    expected = listing_digest({name.removeprefix("top/"): data for name, data in FILES.items()})
    assert contents_sha256(tmp_path / "a.zip", LIMITS) == expected


def test_the_listing_is_sorted_by_bytes(tmp_path: Path) -> None:
    names = ["b", "Z", "a/b", "a.b", "é", "zz"]
    (tmp_path / "a.zip").write_bytes(zipped({name: name.encode() for name in names}))
    lines = [f"{sha256(name.encode())}  {name}\n" for name in ["Z", "a.b", "a/b", "b", "zz", "é"]]
    assert contents_sha256(tmp_path / "a.zip", LIMITS) == sha256("".join(lines).encode())


def test_the_digest_changes_with_a_name_and_with_a_byte(tmp_path: Path) -> None:
    variants = [FILES, FILES | {"top/new": b""}, FILES | {"top/val/ants/c.jpg": b"Another"}]
    digests = set()
    for number, members in enumerate(variants):
        (tmp_path / f"{number}.zip").write_bytes(zipped(members))
        digests.add(contents_sha256(tmp_path / f"{number}.zip", LIMITS))
    assert len(digests) == len(variants)


def encrypted() -> bytes:
    """A zip whose flags say that its first member is encrypted."""
    data = bytearray(zipped(FILES))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "not a zip file", id="empty"),
        pytest.param(NOISE, "not a zip file", id="noise"),
        pytest.param(BODY[:-30], "not a zip file", id="truncated"),
        pytest.param(
            BODY.replace(NOISE[:9], b"different"),
            "Bad CRC-32 for file 'top/train/ants/noise.jpg'",
            id="CRC",
        ),
        pytest.param(encrypted(), "encrypted", id="encrypted"),
        pytest.param(zipped(FILES, zipfile.ZIP_BZIP2), "neither stored nor deflated", id="bzip2"),
    ],
)
def test_what_is_no_readable_zip_is_named(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(
        ValueError,
        match=rf"a\.zip: expected a readable zip, got .*{reason}.*\. Delete it and run again",
    ):
        contents_sha256(tmp_path / "a.zip", LIMITS)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (LIMITS, r"a\.zip: expected files .* dataset\.max_ratio=200 times smaller, got 'zeros'"),
        (
            replace(LIMITS, max_ratio=2000, max_total_mb=1),
            r"a\.zip: expected at most dataset\.max_total_mb=1 MB, got more\. Raise dataset\.max",
        ),
    ],
)
def test_a_bomb_is_refused_by_the_limit_that_raises_it(
    tmp_path: Path, limits: Limits, message: str
) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"zeros": bytes(2 * 10**6)}, zipfile.ZIP_DEFLATED))
    with pytest.raises(TooMuch, match=message):
        contents_sha256(tmp_path / "a.zip", limits)
    contents_sha256(tmp_path / "a.zip", replace(LIMITS, max_ratio=2000))


def test_a_small_file_may_be_as_empty_as_it_likes(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"zeros": bytes(10**6)}, zipfile.ZIP_DEFLATED))
    contents_sha256(tmp_path / "a.zip", LIMITS)


def test_a_download_that_unpacks_to_too_much_names_the_limit(server: Server) -> None:
    server.body = zipped({"zeros": bytes(2 * 10**6)}, zipfile.ZIP_DEFLATED)
    refused(server, r"dataset\.max_ratio=200 times smaller, got 'zeros'", contents_sha256="0" * 64)


def test_no_damage_to_a_zip_causes_another_kind_of_error(tmp_path: Path) -> None:
    sound, chance = zipped(FILES, zipfile.ZIP_DEFLATED), random.Random(1)
    for _ in range(300):
        damaged = bytearray(sound)
        damaged[chance.randrange(len(sound))] ^= 1 << chance.randrange(8)
        (tmp_path / "a.zip").write_bytes(damaged)
        try:
            contents_sha256(tmp_path / "a.zip", LIMITS)
        except ValueError as error:
            assert "expected a readable zip" in str(error)


@pytest.mark.skipif(
    not REAL.is_file(), reason="set TRANSFERLAB_MIRROR to a folder with hymenoptera_data.zip"
)
def test_the_published_ants_and_bees_are_recognised() -> None:
    contents = "b0e3506710bc375be5996e1c9b29818c80cdfc19bcc324e560091da6690149ec"
    assert contents_sha256(REAL, replace(LIMITS, max_total_mb=100)) == contents


# Files of the user's own


def test_a_file_of_the_users_own_is_used_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "mine.zip"
    path.write_bytes(BODY)
    expected = Verified(path=path, origin=str(path), sha256=sha256(BODY), verified_by="path")
    assert local.local(path, sha256=None, key="dataset") == expected
    assert local.local(path, sha256=sha256(BODY), key="dataset").verified_by == "sha256"


def test_a_file_that_changed_since_composition_is_refused_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "mine.zip"
    path.write_bytes(OTHER)
    with pytest.raises(
        ValueError,
        match=r"dataset: .*mine\.zip changed since params\.yaml .*compose && dvc repro, or",
    ):
        local.local(path, sha256=sha256(BODY), key="dataset")
    assert path.read_bytes() == OTHER


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"dataset: expected a file at .*mine\.zip, found none"):
        local.local(tmp_path / "mine.zip", sha256=None, key="dataset")
