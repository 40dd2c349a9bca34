"""The process beside a training that knows MLflow: messages in, runs out."""

import contextlib
import json
import os
import queue
import sys
import threading
import traceback
from typing import Any

from .address import in_one_line, tracking_uri, without_password
from .mlflow_runs import Store, Writer
from .store import expect_answer, prepare_store

Messages = queue.SimpleQueue[dict[str, Any] | None]

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
        store = prepare_store()
        inbox.claim()
        serve(store, inbox.messages)
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

    def read(self) -> None:
        """Take everything; if all has ended well before the store is open, leave it to `sync` and
        end the process.
        """
        for line in sys.stdin.buffer:
            if line.endswith(b"\n"):  # else the training was killed while it wrote
                message = json.loads(line)
                self._statuses[message["key"]] = message.get("status", "RUNNING")
                self.messages.put(message)
        self.messages.put(None)
        self.ended.set()
        # Nobody could watch so short a training, and MLflow's import would take longer than it.
        if set(self._statuses.values()) <= {"FINISHED"} and self._claimed.acquire(blocking=False):
            os._exit(0)

    def claim(self) -> None:
        """From here on every message is logged."""
        self._claimed.acquire()


def serve(store: Store, messages: Messages) -> None:
    """Log messages until None comes; runs that are open then belong to a training that was
    killed.
    """
    store.close_stale()
    writers: dict[str, Writer] = {}
    parents: dict[str, str] = {}  # run id -> how the last of its trainings ended
    while (message := messages.get()) is not None:
        key, writer = message["key"], writers.get(message["key"])
        if message["do"] == "start":
            if writer is None and (begun := store.begin(message)) is not None:
                writers[key] = begun
        elif writer is not None and message["do"] == "log":
            writer.log(message["step"], message["metrics"], message["time"])
        elif writer is not None:
            _close(writers.pop(key), message["status"], parents, message["time"])
        if messages.empty():
            for waiting in writers.values():
                waiting.flush()
    for writer in writers.values():
        _close(writer, "KILLED", parents)
    for parent_id, status in parents.items():
        store.client.set_terminated(parent_id, status)
    store.presence.leave()


def _close(writer: Writer, status: str, parents: dict[str, str], time: int | None = None) -> None:
    writer.end(status, time)
    if writer.parent_id is not None:
        parents[writer.parent_id] = status


if __name__ == "__main__":
    code = main()
    os._exit(code)  # taking MLflow's modules down would keep the training waiting
