"""What ends a stage from outside: Ctrl-C, a closed terminal, a polite kill.

Standard library only, because the first lines of every stage import it.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_REQUEST = 1.0  # seconds in which a second signal is the first one's echo


class _State:
    """Of the process: how many blocks hold signals back, whether one waits, when one was raised."""

    held = 0
    waiting = False
    raised = -SAME_REQUEST


def leave_at_once() -> None:
    """While nothing was begun, a signal ends the process in one line.

    An exception would surface within somebody's import, as a traceback or as another error.
    """
    _handle(_leave)


@contextmanager
def interrupting() -> Iterator[None]:
    """Within the block, a signal raises KeyboardInterrupt in the main thread."""
    before = _handle(_interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """A block that no signal cuts short; one that came meanwhile ends the stage after it."""
    _State.held += 1
    try:
        yield
    finally:
        _State.held -= 1
    if _State.waiting and not _State.held:
        _State.waiting = False
        raise KeyboardInterrupt


def holding() -> bool:
    """Whether such a block runs."""
    return _State.held > 0


def ignore() -> None:
    """The stage is on its way out: a further signal changes nothing."""
    _handle(signal.SIG_IGN)


def interrupted(instance: str) -> str:
    """The one line."""
    return f"{instance}: interrupted. Run the same command again to go on."


def _handle(handler: Any) -> dict[signal.Signals, Any]:
    """Set a handler for all that end a stage, but those that `nohup` or a shell has switched
    off.
    """
    before = {number: signal.getsignal(number) for number in ENDING}
    before = {number: old for number, old in before.items() if old is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, handler)
    return before


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _State.held:
        _State.waiting = True
    elif time.monotonic() - _State.raised >= SAME_REQUEST:
        _State.raised = time.monotonic()
        raise KeyboardInterrupt


def _leave(number: int, frame: FrameType | None) -> None:
    instance = "@".join([Path(sys.argv[0]).stem, *sys.argv[1:2]])
    print(interrupted(instance), file=sys.stderr, flush=True)
    os._exit(1)
