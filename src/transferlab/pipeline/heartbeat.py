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
        self.hushed = False

    def look(self) -> float:
        """Say a line if one is due; gives the seconds until the next one is."""
        now = self.clock()
        if now >= self.due:
            self.due = now + EVERY
            told = [count() for count in list(self.counts)]
            doing = ", ".join(text for text in (*told, self.what) if text) or "at work"
            if not self.hushed:
                self.say(f"{self.title}: {doing} ({self._since(now)})")
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


def hush(hushed: bool) -> None:
    """Say no lines while a bar shows the same to a person at a terminal."""
    if _State.now is not None:
        _State.now.hushed = hushed


def each(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """The items, counted for the lines that fall due meanwhile.

    Args:
        items: Of which each takes its time.
        what: They are, such as `images decoded`.
        total: How many there are; None where that is not known.
    """
    done, heartbeat = 0, _State.now
    if heartbeat is None:
        yield from items
        return

    def count() -> str:
        return f"{done:,}{'' if total is None else f' of {total:,}'} {what}"

    heartbeat.counts.append(count)
    try:
        for item in items:
            yield item
            done += 1
            heartbeat.what = ""
    finally:
        heartbeat.counts.remove(count)
