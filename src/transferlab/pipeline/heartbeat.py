"""What a stage or a command is doing, said in a line now and then where it takes long."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

FIRST = 10.0
"""Seconds until the first line."""

EVERY = 20.0
"""Seconds between two lines: within thirty on a busy machine, too."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class Heartbeat:
    """Lines of what is being done, each when it is due.

    Args:
        title: Of the stage or command.
        say: Receives a line.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        title: str,
        say: Callable[[str], object] = log.info,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.title, self.say, self.clock = title, say, clock
        self.begun = clock()
        self.due = self.begun + FIRST
        self.counts: list[Callable[[], str]] = []  # outermost first
        self.what = ""
        self.shown: Callable[[str], object] | None = None  # where a bar stands in for the lines
        self.outside = 0  # counts that are none of the bar's

    def look(self) -> float:
        """Say a line if one is due; gives the seconds until the next one is."""
        now = self.clock()
        if now >= self.due:
            self.due = now + EVERY
            if self.shown is None:
                told = [count() for count in list(self.counts)]
                doing = ", ".join(text for text in (*told, self.what) if text) or "at work"
                self.say(f"{self.title}: {doing} ({self._since(now)})")
            elif inside := ", ".join(count() for count in self.counts[self.outside :]):
                self.shown(inside)
        return self.due - now

    def _since(self, now: float) -> str:
        seconds = round(now - self.begun)
        return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"


class _State:
    """Of the process: whose lines are said, if anybody's."""

    now: Heartbeat | None = None


@contextmanager
def beating(title: str, say: Callable[[str], object] = log.info) -> Iterator[None]:
    """Say lines while the block runs.

    Args:
        title: Of the stage or command.
        say: Receives a line, in a thread of its own.
    """
    before, _State.now = _State.now, Heartbeat(title, say)
    done = threading.Event()
    threading.Thread(target=_keep, args=(_State.now, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()
        _State.now = before


def _keep(heartbeat: Heartbeat, done: threading.Event) -> None:
    while not done.wait(heartbeat.look()):
        pass


def doing(what: str) -> None:
    """Tell what is being done from here on; only a line that falls due says it.

    Args:
        what: In a few words, such as `drawing figures`.
    """
    if _State.now is not None:
        _State.now.what = what


def hush(shown: Callable[[str], object] | None) -> None:
    """Say no lines while a bar shows the same to a person at a terminal.

    Args:
        shown: Receives what is counted from here on, when a line falls due; None: lines again.
    """
    if _State.now is not None:
        _State.now.shown, _State.now.outside = shown, len(_State.now.counts)


@contextmanager
def telling(what: Callable[[], str]) -> Iterator[None]:
    """Say this, too, while the block runs; it is asked only when a line falls due."""
    heartbeat = _State.now
    if heartbeat is None:
        yield
        return
    heartbeat.counts.append(what)
    try:
        yield
    finally:
        heartbeat.counts.remove(what)


def each(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """The items, counted for the lines that fall due meanwhile.

    Args:
        items: Of which each takes its time.
        what: They are, such as `images decoded`.
        total: How many there are; None where that is not known.
    """
    done = 0

    def count() -> str:
        """Such as `12 of 300 images decoded`."""
        return f"{done:,}{'' if total is None else f' of {total:,}'} {what}"

    with telling(count):
        for item in items:
            yield item
            done += 1
            doing("")
