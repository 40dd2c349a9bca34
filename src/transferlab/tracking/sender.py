"""The training's end of the tracking: every row goes to a child process, which knows MLflow, and
nobody waits for it.

So a dead, slow or hanging server can neither delay nor fail a training, MLflow's import (6 to 10 s
of a core) runs beside it, and an edit of `child.py`, which this module starts but does not import,
invalidates no training.
"""

import contextlib
import fcntl
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ..pipeline.files import content_hash
from ..pipeline.places import cache_folder, checkout, home

RESEND = "The results are not affected. Send them later with: transferlab sync"

LOG_BYTES = 1_000_000  # of tracking.log, before it is moved aside once

PIPE_BYTES = 1 << 20  # thousands of rows; by default it would be hundreds

LEAVING_SECONDS = 1.0  # what an interrupted or failed training still grants the child

logger = logging.getLogger(__name__)


def enabled() -> bool:
    """False under `TRANSFERLAB_TRACKING=off`."""
    return os.environ.get("TRANSFERLAB_TRACKING", "").strip().lower() != "off"


def log_file() -> Path:
    """Where the child writes what it has to say beyond its one reason for giving up."""
    return cache_folder("") / "tracking.log"


def milliseconds() -> int:
    """Now, as MLflow counts time."""
    return time.time_ns() // 1_000_000


def parent_identity(params_sha256: str) -> dict[str, str]:
    """What names the comparison that a training belongs to: the DVC experiment, else the parameters
    alone.

    Args:
        params_sha256: digest of the file params.yaml.

    Returns:
        `key`; what else there is becomes tags of the parent run.
    """
    experiment = os.environ.get("DVC_EXP_NAME")
    tags = {"transferlab.params_sha256": params_sha256}
    if not experiment:
        return {"key": params_sha256, **tags}
    # A name can be used again for other parameters (`exp run --force --name`); that is another
    # comparison.
    tags |= {
        "dvc.experiment": experiment,
        "dvc.baseline": os.environ.get("DVC_EXP_BASELINE_REV", ""),
    }
    return {"key": content_hash([experiment, params_sha256]), **tags}


class Tracker:
    """Sends what a training does to MLflow, one run per strategy and seed; what goes wrong there is
    one warning.

    Args:
        patience: seconds to wait at the end for the child; then it is left behind to finish alone,
            with a warning. 0 means hardly any and no warning: `sync`, which waits for such
            children, will tell if something is missing.
    """

    def __init__(self, patience: float = 60.0) -> None:
        self._patience = patience
        self._child: subprocess.Popen[bytes] | None = None
        self._unsent = bytearray()
        self._open: dict[str, None] = {}  # the keys that started and did not end, in order

    def __enter__(self) -> "Tracker":
        """Start the child, unless tracking is off."""
        if enabled():
            try:
                self._child = _start_child()
            except OSError as error:
                logger.warning("Tracking could not start: %s. %s", error, RESEND)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the runs that are still open, as KILLED after an interruption and as FAILED
        otherwise.
        """
        interrupted = kind is not None and not issubclass(kind, Exception)
        for key in list(self._open):
            self.end(key, "KILLED" if interrupted else "FAILED")
        if self._child is not None:
            patience = self._patience if kind is None else 0.0
            self._finish(self._child, max(patience, LEAVING_SECONDS), quiet=patience == 0)

    def start(
        self,
        key: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        parent: Mapping[str, str],
    ) -> None:
        """Begin, or continue, the run of one strategy and seed.

        Args:
            key: digest that names this training; the same key always means the same run.
            params: JSON-able; nested mappings become dotted names.
            tags: strategy, backbone, seed and dataset, so that a list without its parents can be
                filtered.
            parent: from `parent_identity`.
        """
        self._open[key] = None
        self._send(
            do="start",
            key=key,
            params=dict(params),
            tags=dict(tags),
            parent=dict(parent),
        )

    def log(self, key: str, step: int, metrics: Mapping[str, float | None]) -> None:
        """Hand over one row of the history; its names are those of history.csv and its step is the
        epoch.
        """
        self._send(do="log", key=key, step=step, metrics=dict(metrics))

    def end(self, key: str, status: str) -> None:
        """Close a run as FINISHED, FAILED or KILLED."""
        self._open.pop(key, None)
        self._send(do="end", key=key, status=status)

    def _send(self, **message: Any) -> None:
        """Write as much as the pipe takes; what it does not take waits here for the next message or
        the end.
        """
        child = self._child
        if child is None or child.stdin is None:
            return
        try:
            # float: what NumPy and torch call a number is none to JSON.
            self._unsent += (
                json.dumps({"time": milliseconds(), **message}, default=float).encode() + b"\n"
            )
            while self._unsent:
                sent = os.write(child.stdin.fileno(), self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            pass
        except OSError:  # the child gave up; its reason waits in its stdout
            self._finish(child, LEAVING_SECONDS)
        except (TypeError, ValueError) as error:
            logger.warning("Tracking skipped a message that is no JSON: %s", error)

    def _finish(self, child: subprocess.Popen[bytes], seconds: float, quiet: bool = False) -> None:
        """Send the rest, wait for the child at most so many seconds, and say once if something went
        wrong.
        """
        self._child = None
        try:
            reason, _ = child.communicate(bytes(self._unsent), timeout=seconds)
        except subprocess.TimeoutExpired:
            if not quiet:
                logger.warning(
                    "Tracking still runs after %g s and was left behind. %s", seconds, RESEND
                )
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
            return
        if child.returncode:
            text = (
                reason.decode(errors="replace").strip()
                or f"exit code {child.returncode}, see {log_file()}"
            )
            logger.warning("Tracking stopped: %s. %s", text, RESEND)


def _start_child() -> subprocess.Popen[bytes]:
    """Start `python -m transferlab.tracking.child` from this checkout's own src."""
    log = log_file()
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.old"))
    path = os.pathsep.join(filter(None, [str(checkout() / "src"), os.environ.get("PYTHONPATH")]))
    with log.open("ab") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "transferlab.tracking.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,  # carries nothing but the reason for giving up
            stderr=stderr,
            bufsize=0,
            cwd=home(),  # a queued experiment's checkout may be deleted before the child is through
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for the training; the child then closes its runs
        )
    assert child.stdin is not None
    os.set_blocking(child.stdin.fileno(), False)
    # A short training is over before the child reads its first row.
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        # The kernel grants a user only so much; the usual size will do.
        with contextlib.suppress(OSError):
            fcntl.fcntl(child.stdin, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return child
