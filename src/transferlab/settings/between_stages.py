"""What DVC itself does between stages, said in a line now and then: its bars are for terminals."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from ..pipeline.heartbeat import Heartbeat

SECONDS = 2.0  # between two looks; one takes milliseconds


class Between:
    """Lines while no stage runs; a stage speaks for itself.

    Args:
        say: Receives a line.
        stage_runs: Whether one does now.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        say: Callable[[str], object],
        stage_runs: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ):
        self.say, self.stage_runs, self.clock = say, stage_runs, clock
        self.heartbeat: Heartbeat | None = None

    def look(self) -> None:
        """Say a line if one is due."""
        if self.stage_runs():
            self.heartbeat = None
            return
        if self.heartbeat is None:
            self.heartbeat = Heartbeat("dvc", self.say, self.clock)
            self.heartbeat.what = "hashing files, or taking them to or from its cache"
        self.heartbeat.look()


def speak() -> None:
    """Say such lines in a process of DVC's, unless a terminal shows its bars or they are said."""
    speaks = any(thread.name == __doc__ for thread in threading.enumerate())  # as another module
    if is_dvc(sys.argv[0]) and not sys.stderr.isatty() and not speaks:
        threading.Thread(target=_keep, name=__doc__, daemon=True).start()


def is_dvc(program: str) -> bool:
    """Whether a process that was started by this name is DVC."""
    return Path(program).name == "dvc" or Path(program).match("dvc/__main__.py")


def _keep() -> None:
    between = Between(lambda line: print(line, file=sys.stderr, flush=True), _stage_runs)
    while True:
        between.look()
        time.sleep(SECONDS)


def _stage_runs() -> bool:
    try:
        below = psutil.Process().children(recursive=True)
        return any("stages/" in word for process in below for word in process.cmdline())
    except psutil.Error:  # one has just ended
        return True


def main() -> None:
    """Become DVC, with the arguments behind its name, as in `dvc repro`."""
    sys.argv = sys.argv[1:]
    speak()
    from dvc.cli import main as dvc

    sys.exit(dvc(sys.argv[1:]))


if __name__ == "__main__":
    main()
