"""The process beside a training that knows MLflow: messages in, runs out."""

import contextlib
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..pipeline.places import checkout
from .address import in_one_line, tracking_uri, without_password
from .mlflow_runs import Store
from .provenance import of_code
from .shown import defaults_of
from .store import expect_answer, prepare_store
from .writer import Writer

Messages = queue.SimpleQueue[dict[str, Any] | None]

SAMPLING_SECONDS = 2.0  # MLflow's own 10 leave a short training without a curve
SHORT_SECONDS = 10.0  # a training gets before MLflow's import takes 6 to 12 s of a core


def main() -> int:
    """The child: log what comes as JSON lines on stdin until it ends; give up at the first failure,
    with one reason.
    """
    reasons = os.dup(1)
    os.dup2(2, 1)  # what libraries print belongs into the log
    os.nice(10)  # the cores are for the training
    inbox = Inbox()
    threading.Thread(target=inbox.read, daemon=True).start()
    try:
        expect_answer(tracking_uri())
        inbox.ended.wait(SHORT_SECONDS)
        if (dataset := inbox.dataset()) is not None:
            live = Live(prepare_store(dataset), checkout())
            inbox.claim()
            live.serve(inbox.messages)
    except Exception as error:
        print(without_password(traceback.format_exc()), file=sys.stderr, flush=True)
        with contextlib.suppress(BrokenPipeError):
            os.write(reasons, in_one_line(error).encode())
        return 1
    return 0


class Inbox:
    """What comes on stdin, taken from the pipe at once, so that the training never waits to
    write.
    """

    def __init__(self) -> None:
        self.messages: Messages = queue.SimpleQueue()
        self.ended = threading.Event()
        self._statuses: dict[str, str] = {}
        self._claimed = threading.Lock()
        self._begun = threading.Event()
        self._dataset: str | None = None

    def read(self) -> None:
        """Take everything; if all has ended well before the store is open, leave it to `sync` and
        end the process.
        """
        for line in sys.stdin.buffer:
            if line.endswith(b"\n"):  # else the training was killed while it wrote
                message = json.loads(line)
                self._statuses[message["key"]] = message.get("status", "RUNNING")
                self.messages.put(message)
                if not self._begun.is_set():
                    self._dataset = message["tags"]["dataset"]
                    self._begun.set()
        self.messages.put(None)
        self.ended.set()
        self._begun.set()
        # Nobody could watch so short a training, and MLflow's import would take longer than it.
        if set(self._statuses.values()) <= {"FINISHED"} and self._claimed.acquire(blocking=False):
            os._exit(0)

    def dataset(self) -> str | None:
        """Of which images, as soon as a training says it; None if none ever does."""
        self._begun.wait()
        return self._dataset

    def claim(self) -> None:
        """From here on every message is logged."""
        self._claimed.acquire()


class Live:
    """The runs of a process that trains.

    Args:
        store: the experiment.
        root: the checkout that the process runs from.
    """

    def __init__(self, store: Store, root: Path) -> None:
        self.store = store
        self.defaults, self.code = defaults_of(root), of_code(root)
        self.writers: dict[str, Writer] = {}
        self.machines: dict[str, Any] = {}  # by key, what watches CPU, memory, disk and GPU
        self.parents: dict[str, str] = {}  # run id -> how the last of its trainings ended

    def serve(self, messages: Messages) -> None:
        """Log messages until None comes; runs that are open then belong to a training that was
        killed.
        """
        self.store.close_stale()
        while (message := messages.get()) is not None:
            key = message["key"]
            if message["do"] == "start":
                self.start(key, message)
            elif key in self.writers and message["do"] == "log":
                self.writers[key].log(message["step"], message["metrics"], message["time"])
            elif key in self.writers:
                self.end(key, message["status"], message["time"])
            if messages.empty():
                for waiting in self.writers.values():
                    waiting.flush()
        for key in list(self.writers):
            self.end(key, "KILLED")
        for parent_id, status in self.parents.items():
            self.store.client.set_terminated(parent_id, status)
        self.store.presence.leave()

    def start(self, key: str, message: Mapping[str, Any]) -> None:
        """Open the run of a training, unless it is open or finished."""
        if key in self.writers:
            return
        writer = self.store.begin(message, self.defaults, self.code)
        if writer is not None:
            self.writers[key] = writer
            self.machines[key] = watched_machine(writer.run_id)

    def end(self, key: str, status: str, time: int | None = None) -> None:
        """Close it."""
        if (machine := self.machines.pop(key)) is not None:
            machine.finish()
        writer = self.writers.pop(key)
        writer.end(status, time)
        if writer.parent_id is not None:
            self.parents[writer.parent_id] = status


def watched_machine(run_id: str) -> Any | None:
    """MLflow's monitor of the machine, which logs to a run until its `finish`; None where
    `MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING` says so.
    """
    from mlflow.system_metrics import system_metrics_monitor as monitor

    if os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "").lower() in ("false", "0"):
        return None
    of_run: Any = monitor.SystemMetricsMonitor
    machine = of_run(run_id, SAMPLING_SECONDS, resume_logging=True, tracking_uri=tracking_uri())
    machine.start()
    return machine


if __name__ == "__main__":
    code = main()
    os._exit(code)  # taking MLflow's modules down would keep the training waiting
