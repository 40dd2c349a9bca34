"""A stage that DVC started ends when DVC is gone: it would overwrite what a newer run has made.

Standard library only at first, because the first lines of every stage import it.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import signals

SECONDS = 0.5  # between two looks; one takes 50 microseconds
PATIENCE = 10.0  # seconds for an interrupted stage to leave by itself


class _State:
    """Of the process: who started it, and the watch that is kept."""

    pid = 0
    watch: "Watch | None" = None


def note() -> None:
    """Remember who started this process, before that one may end."""
    _State.pid = os.getppid()


class Watch:
    """The way from this process up to DVC.

    DVC runs a command through a shell, which some shells replace by the command and others do not:
    a killed DVC then leaves the shell behind, as the stage's living parent.

    Args:
        root: The checkout; a temporary one is deleted when its DVC fails.
    """

    def __init__(self, root: Path):
        import psutil

        self.root, self.gone = root, False
        self.above: list[tuple[psutil.Process, int]] = []
        try:
            process = psutil.Process(os.getppid())
            while "-c" in process.cmdline()[1:] and process.name().endswith("sh"):
                self.above.append((process, process.ppid()))
                process = psutil.Process(process.ppid())
        except psutil.Error:  # another user's: as far as can be seen
            pass

    def look(self) -> bool:
        """Whether DVC is gone. A parent that dies hands its children on to another one, so that no
        number given anew can deceive.
        """
        import psutil

        try:
            left = os.getppid() != _State.pid or any(p.ppid() != pid for p, pid in self.above)
        except psutil.Error:
            left = True
        self.gone = self.gone or left or not self.root.exists()
        return self.gone


def is_dvc(instance: str) -> bool:
    """Whether DVC runs this very stage, as `train@frozen`."""
    return os.environ.get("DVC_STAGE", "").rpartition(":")[2] == instance


@contextmanager
def watched(root: Path, instance: str, last: Callable[[], None]) -> Iterator[None]:
    """Interrupt the block when the DVC that started this process is gone.

    Only where DVC says that it runs this very stage: who starts one by hand, with `nohup` or in a
    container, may leave.

    Args:
        root: The checkout.
        instance: The stage, as `train@frozen`.
        last: Called before the process is ended by force, because it did not leave by itself.
    """
    if not (_State.pid and is_dvc(instance)):
        yield
        return
    _State.watch, done = Watch(root), threading.Event()
    threading.Thread(target=_keep, args=(_State.watch, done, last), daemon=True).start()
    try:
        yield
    finally:
        done.set()


def gone() -> bool:
    """Whether this stage has lost the DVC that started it."""
    return _State.watch is not None and _State.watch.look()


def stop_if_gone() -> None:
    """What an orphan has made is nobody's any more.

    Raises:
        KeyboardInterrupt: This stage has lost the DVC that started it.
    """
    if gone():
        raise KeyboardInterrupt


def _keep(watch: Watch, done: threading.Event, last: Callable[[], None]) -> None:
    while not watch.look():
        if done.wait(SECONDS):
            return
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    if done.wait(PATIENCE):
        return
    while signals.holding():
        time.sleep(SECONDS)
    last()
    os._exit(1)
