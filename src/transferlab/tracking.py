"""MLflow: the child process that logs a training while it runs, and the sync that makes the runs equal to the files.

The only module that knows MLflow. The files are the truth: whatever the child could not log, `sync` adds. One training
(a strategy and seed, named by its key) is one run, however often it is resumed, restored or sent again. It stands under
the first comparison that was completed with it; every comparison lists all its runs in `trainings.csv`.
"""

import contextlib
import glob
import json
import logging
import math
import os
import platform
import queue
import re
import sqlite3
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psutil
from filelock import FileLock

from .files import cache_folder, content_hash, file_hash, from_home, home, read_csv, read_json, write_csv
from .tracker import RESEND, enabled, milliseconds, parent_identity

Messages = queue.SimpleQueue[dict[str, Any] | None]

KEY, PARENT_KEY, PARENT = "transferlab.key", "transferlab.parent_key", "mlflow.parentRunId"
PARAMS_SHA256, COMPLETE, ARTIFACTS = "transferlab.params_sha256", "transferlab.complete", "transferlab.artifacts"
REPEATED = ("strategy", "backbone", "seed", "dataset")
"""Tags that are params too, because filters of a list of runs look at one or the other."""
NOT_METRICS = frozenset(("strategy", "seed", "phase", "epoch", "chosen"))
"""Columns of the history that are no measurements."""

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Bounds: a refusing server costs a call 1 s, a hanging one 20 s; MLflow's own are 248 s and 1208 s.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # every failure is reported once, by us
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Set before MLflow is imported, where the user has not set them."""
SHORT_SECONDS = 10.0  # a training gets before MLflow's import takes 6 to 12 s of a core
HEALTH_SECONDS = 3.0  # for a server to answer at all
LOCK_SECONDS = 120.0  # creating the schema takes up to 15 s, and others may be waiting too
SENDER_SECONDS = 30.0  # that `sync` waits for a child of an earlier stage
KIND = {"mlflow.experimentKind": "custom_model_development"}  # the pages then show what belongs to training

logger = logging.getLogger(__name__)


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, else mlflow.db in the user's repository; a local file is always given absolutely.

    Raises:
        ValueError: the file's path holds a character that no SQLite address can carry.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    database = _database(uri or "sqlite:///mlflow.db")
    if database is None:
        return uri
    if found := set("%?") & set(str(database)):
        raise ValueError(
            f"{database}: expected a path without % and ? for MLflow's database, got {' and '.join(sorted(found))}. "
            "Rename the folder, or set MLFLOW_TRACKING_URI."
        )
    return f"sqlite:///{database}"


def prepare_store() -> "Store":
    """Open the store of `tracking_uri()`; where it is a file that does not exist, create it whole or not at all.

    Raises:
        ValueError: the server does not answer, or the database is damaged or of another version.
    """
    uri = tracking_uri()
    _expect_answer(uri)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it tells of every retry
    from mlflow.exceptions import MlflowException  # 6 to 10 s
    from mlflow.tracking.client import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    database = _database(uri)
    if database is None:
        client = MlflowClient(uri, registry_uri=uri)
        return Store(client, _experiment(client, None))
    artifacts = (home() / "mlartifacts").as_uri()
    database.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that create the tables at once make each other fail.
    with FileLock(f"{database}.init.lock", timeout=LOCK_SECONDS):
        _create_database(database, artifacts)
    try:
        client = MlflowClient(uri, registry_uri=uri)
        return Store(client, _experiment(client, artifacts))
    except (MlflowException, SQLAlchemyError) as error:
        reason = str(error).splitlines()[0]
        advice = "Copy it before you upgrade it; move it away if its creation was interrupted."
        if "locked" in reason:
            advice = "Try again when the process that holds it is done."
        raise ValueError(f"{database}: MLflow cannot use it: {reason}. {advice}") from error


def _database(uri: str) -> Path | None:
    """The file behind a SQLite address, relative ones counted from the repository; None for all other addresses."""
    if not uri.startswith("sqlite:///") or "?" in uri or uri.endswith(":memory:"):
        return None
    return from_home(uri.removeprefix("sqlite:///"))


def _expect_answer(uri: str) -> None:
    """Find out in seconds, before the import, whether a server is there."""
    if not uri.startswith(("http://", "https://")):
        return
    import requests

    try:
        with requests.get(f"{uri.rstrip('/')}/health", timeout=HEALTH_SECONDS, stream=True) as answer:
            problem = f"status {answer.status_code}" if answer.status_code >= 500 else ""
    except requests.exceptions.SSLError:
        problem = ""  # somebody answers; which certificates are good is set for MLflow, not here
    except requests.RequestException as error:
        problem = type(error).__name__
    if problem:
        raise ValueError(f"{uri}: expected an MLflow server, got no usable answer ({problem})")


def _create_database(database: Path, artifacts: str) -> None:
    """Create the tables beside their place and move them there when they are complete; the caller holds the lock."""
    for abandoned in glob.glob(f"{glob.escape(str(database))}.init-*"):
        Path(abandoned).unlink()
    if database.exists():
        _refuse_half_made(database)
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    unfinished = Path(f"{database}.init-{os.getpid()}")
    store: Any = SqlAlchemyStore(f"sqlite:///{unfinished}", artifacts)  # type: ignore[no-untyped-call]
    store.engine.dispose()
    os.replace(unfinished, database)


def _refuse_half_made(database: Path) -> None:
    """A database without a version is what an interrupted first use leaves; MLflow fails on it for ever."""
    address = f"file:{quote(str(database))}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
        try:
            versions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                return  # in use, so somebody can use it
            versions = []
    if not versions:
        raise ValueError(
            f"{database}: expected MLflow's database, got a half-made or foreign file. Move it away and run again."
        )


def _experiment(client: Any, artifacts: str | None) -> str:
    """The id of the experiment, created on first use with an absolute place for its artifacts."""
    from mlflow.exceptions import MlflowException

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "transferlab"
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts, tags=KIND))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = client.get_experiment_by_name(name)
    return str(found.experiment_id)


class Store:
    """An MLflow experiment, seen as comparisons (parent runs) and trainings (their children).

    Args:
        client: an MlflowClient; what it returns carries no types.
        experiment: id of the experiment.
    """

    def __init__(self, client: Any, experiment: str) -> None:
        self.client = client
        self.experiment = experiment

    def runs(self, condition: str, limit: int = 1000) -> Sequence[Any]:
        """The runs that meet a condition, the newest first."""
        order = ["attributes.start_time DESC"]
        found: Sequence[Any] = self.client.search_runs([self.experiment], condition, max_results=limit, order_by=order)
        return found

    def find(self, tag: str, value: str) -> Any | None:
        """The newest run with a tag, if there is one."""
        return next(iter(self.runs(f"tags.`{tag}` = '{value}'", limit=1)), None)

    def running(self) -> Sequence[Any]:
        """The open runs of this host."""
        return self.runs(f"attributes.status = 'RUNNING' and tags.`transferlab.host` = '{platform.node()}'")

    def close_stale(self) -> None:
        """Close as KILLED what dead processes of this host left open."""
        for run in self.running():
            if _sender(run) is None:
                self.client.set_terminated(run.info.run_id, "KILLED")

    def comparison(self, identity: Mapping[str, str]) -> Any:
        """The parent run of an identity from `parent_identity`, created if need be."""
        key, name = identity["key"], identity["name"]
        tags = {tag: value for tag, value in identity.items() if tag not in ("key", "name")}
        with _lock():
            run = self.find(PARENT_KEY, key)
            if run is None and PARAMS_SHA256 in tags and "dvc.experiment" not in tags:
                # `dvc repro` after `dvc exp run`: the same comparison, only that nobody tells its name any more.
                run = self.find(PARAMS_SHA256, tags[PARAMS_SHA256])
            if run is None:
                tags |= {PARENT_KEY: key, "transferlab.kind": "comparison", **_process_tags()}
                run = self.client.create_run(self.experiment, tags=tags, run_name=name)
        return run

    def training(
        self,
        key: str,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        parent_id: str,
        *,
        seconds: float = 0.0,
    ) -> "Writer":
        """The run of a training, created if need be and brought under a parent if its own was never completed.

        Args:
            key: names the training.
            name: shown in lists.
            params: logged once; a later value of the same name is ignored, because MLflow refuses it.
            tags: strategy, backbone, seed, dataset and whatever else.
            parent_id: run id of the comparison.
            seconds: how long ago a training that is logged afterwards began.
        """
        own = {KEY: key, "transferlab.kind": "training", **tags, **_process_tags()}
        with _lock():
            run = self.find(KEY, key)
            if run is None:
                began = milliseconds() - int(1000 * seconds)
                own |= {PARENT: parent_id}
                run = self.client.create_run(self.experiment, start_time=began, tags=own, run_name=name)
        writer = Writer(self.client, run)
        if writer.parent_id != parent_id and not self._is_complete(writer.parent_id):
            writer.tag({PARENT: parent_id})
        writer.params(flat(params) | {tag: tags[tag] for tag in REPEATED if tag in tags})
        return writer

    def begin(self, message: Mapping[str, Any]) -> "Writer | None":
        """Open a training's run to write to, with its parent; None if it is finished or somebody else writes it."""
        known = self.find(KEY, message["key"])
        if known is not None and known.info.status in ("FINISHED", "RUNNING"):
            return None
        parent = Writer(self.client, self.comparison(message["parent"]))
        parent.reopen()
        parent.flush()
        key, name, params, tags = (message[field] for field in ("key", "name", "params", "tags"))
        writer = self.training(key, name, params, tags, parent.run_id)
        writer.reopen()
        return writer

    def _is_complete(self, parent_id: str | None) -> bool:
        """Whether `sync` has completed a comparison, and nobody deleted it since."""
        return any(COMPLETE in parent.data.tags for parent in self.runs(f"attributes.run_id = '{parent_id}'"))


class Writer:
    """One run that is written to. What it is given waits until `flush`, so that a batch costs one call.

    Args:
        client: an MlflowClient.
        run: the run as it was when it was found or created.
    """

    def __init__(self, client: Any, run: Any) -> None:
        self.client = client
        self.run = run
        self.run_id: str = run.info.run_id
        self.parent_id: str | None = run.data.tags.get(PARENT)
        self._metrics: list[tuple[str, float, int, int]] = []
        self._params: dict[str, str] = {}
        self._tags: dict[str, str] = {}

    @cached_property
    def _last_steps(self) -> dict[str, int]:
        """The last step of each metric that the run already has, so that a resumed training repeats none."""
        histories = {name: self.client.get_metric_history(self.run_id, name) for name in self.run.data.metrics}
        return {name: max(point.step for point in history) for name, history in histories.items()}

    def log(self, step: int, row: Mapping[str, Any], time: int) -> None:
        """Add the measurements of a row of the history.

        Args:
            step: the epoch.
            row: columns that are no measurements, and empty values, are passed over.
            time: milliseconds since 1970.
        """
        for name, value in row.items():
            metric = metric_name(name)
            if name in NOT_METRICS or value in (None, "") or step <= self._last_steps.get(metric, -1):
                continue
            self._last_steps[metric] = step
            self._measure(metric, float(value), step, time)

    def set(self, values: Mapping[str, float | None]) -> None:
        """Set metrics that have one value, leaving alone those that have it already."""
        for name, value in values.items():
            metric = metric_name(name)
            if value is not None and self.run.data.metrics.get(metric) != value:
                self._measure(metric, float(value), 0, milliseconds())

    def _measure(self, metric: str, value: float, step: int, time: int) -> None:
        if math.isfinite(value):
            self._metrics.append((metric, value, time, step))
        else:  # MLflow would store infinity as 1.8e308 and draw it
            self._tags.setdefault(f"not_finite.{metric}", f"{value} at step {step}")

    def params(self, values: Mapping[str, str]) -> None:
        """Add those params that the run does not have; a param never changes."""
        self._params |= {name: value for name, value in values.items() if name not in self.run.data.params}

    def tag(self, values: Mapping[str, str]) -> None:
        """Set tags, leaving alone those that are as they should be."""
        self._tags |= {name: value for name, value in values.items() if self.run.data.tags.get(name) != value}
        self.parent_id = values.get(PARENT, self.parent_id)

    def files(self, paths: Iterable[tuple[str, Path]], digest: str) -> None:
        """Log files, each into a folder, unless files with that digest are there."""
        if self.run.data.tags.get(ARTIFACTS) == digest and self.client.list_artifacts(self.run_id):
            return
        for folder, path in paths:
            self.client.log_artifact(self.run_id, str(path), folder or None)
        self.tag({ARTIFACTS: digest})

    def reopen(self) -> None:
        """Make this process the one that writes the run, if it is not."""
        self.tag(_process_tags())
        if self.run.info.status != "RUNNING":
            self.client.update_run(self.run_id, "RUNNING")

    def flush(self) -> None:
        """Send what waits."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = _pieces([Metric(*metric) for metric in self._metrics], 500)
        params = _pieces([Param(*item) for item in self._params.items()], 100)
        tags = _pieces([RunTag(*item) for item in self._tags.items()], 100)
        for batch in zip_longest(metrics, params, tags, fillvalue=()):
            self.client.log_batch(self.run_id, *batch)
        self._metrics, self._params, self._tags = [], {}, {}

    def end(self, status: str, time: int | None = None) -> None:
        """Send what waits and close the run."""
        self.flush()
        if not status == self.run.info.status == "FINISHED":
            self.client.set_terminated(self.run_id, status, time)


def _pieces(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """A sequence in pieces that one call may carry."""
    return (items[start : start + size] for start in range(0, len(items), size))


def metric_name(name: str) -> str:
    """A name that every MLflow store accepts."""
    return re.sub(r"[^A-Za-z0-9_.\- ]", "_", name)[:250]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested mappings as dotted names with text; a table with free keys, such as patterns, stays one value."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value and all(re.fullmatch("[A-Za-z0-9_]+", name) for name in value):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value if isinstance(value, str) else json.dumps(value)
    return found


def _lock() -> FileLock:
    """Held while a run is looked for and created, because MLflow knows no unique tags."""
    return FileLock(cache_folder("") / "tracking.lock", timeout=LOCK_SECONDS)


def _process_tags() -> dict[str, str]:
    """What tells later whether the process that wrote a run still lives."""
    started = psutil.Process().create_time()
    return {
        "transferlab.host": platform.node(),
        "transferlab.pid": str(os.getpid()),
        "transferlab.pid_started": f"{started:.0f}",
    }


def _sender(run: Any) -> psutil.Process | None:
    """The living process of this host that writes a run, if there is one."""
    try:
        process = psutil.Process(int(run.data.tags["transferlab.pid"]))
        # Numbers of processes are used again; the clock that start times are counted with may be set by seconds.
        same = abs(process.create_time() - float(run.data.tags["transferlab.pid_started"])) < 5
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, KeyError):
        return None


def main() -> int:
    """The child: log what comes as JSON lines on stdin until it ends; give up at the first failure, with one reason."""
    reasons = os.dup(1)
    os.dup2(2, 1)  # what libraries print belongs into the log
    os.nice(10)  # the cores are for the training
    inbox = Inbox()
    threading.Thread(target=inbox.read, daemon=True).start()
    try:
        _expect_answer(tracking_uri())
        inbox.ended.wait(SHORT_SECONDS)
        store = prepare_store()
        inbox.claim()
        serve(store, inbox.messages)
    except Exception as error:
        print(_without_password(traceback.format_exc()), file=sys.stderr, flush=True)
        with contextlib.suppress(BrokenPipeError):
            os.write(reasons, _reason(error).encode())
        return 1
    return 0


class Inbox:
    """What comes on stdin, taken from the pipe at once, so that the training never waits to write."""

    def __init__(self) -> None:
        self.messages: Messages = queue.SimpleQueue()
        self.ended = threading.Event()
        self._statuses: dict[str, str] = {}
        self._claimed = threading.Lock()

    def read(self) -> None:
        """Take everything; if all has ended well before the store is open, leave it to `sync` and end the process."""
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
    """Log messages until None comes; runs that are open then belong to a training that was killed."""
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


def _close(writer: Writer, status: str, parents: dict[str, str], time: int | None = None) -> None:
    writer.end(status, time)
    if writer.parent_id is not None:
        parents[writer.parent_id] = status


def sync(root: Path, strategies: Sequence[str], params: Mapping[str, Any]) -> bool:
    """Make MLflow's runs equal to the files: nothing is logged twice, and no run of these trainings stays open.

    Args:
        root: the checkout that holds runs/, models/, predictions/, metrics/ and reports/.
        strategies: names, in the order of params.yaml.
        params: params.yaml as plain data.

    Returns:
        Whether everything arrived. If not, one warning says why and how to send it again.
    """
    if not enabled():
        return False
    try:
        _sync(root, strategies, params)
    except Exception as error:  # tracking never decides whether a pipeline succeeds
        logger.warning("Tracking failed: %s. %s", _reason(error), RESEND)
        return False
    return True


def _sync(root: Path, strategies: Sequence[str], params: Mapping[str, Any]) -> None:
    results = {strategy: Results(root, strategy) for strategy in strategies}
    store = prepare_store()
    keys = {outcome["key"] for result in results.values() for outcome in result.facts["seeds"].values()}
    senders = [_sender(run) for run in store.running() if run.data.tags.get(KEY) in keys]
    others = [sender for sender in senders if sender is not None and sender != psutil.Process()]
    psutil.wait_procs(set(others), timeout=SENDER_SECONDS)
    store.close_stale()
    comparison = Writer(store.client, store.comparison(parent_identity(file_hash(root / "params.yaml"))))
    common = {"dataset": str(params["dataset"]["name"]), "backbone": str(params["backbone"]["name"])}
    trainings = [
        _send_training(store, comparison.run_id, result, seed, common)
        for result in results.values()
        for seed in result.facts["seeds"]
    ]
    _send_comparison(comparison, root, params, trainings, common)


class Results:
    """The files of one strategy; those that a diverged training lacks are empty.

    Args:
        root: the checkout.
        strategy: name.
    """

    def __init__(self, root: Path, strategy: str) -> None:
        self.strategy = strategy
        self.models = root / "models" / strategy
        self.facts_file = root / "runs" / strategy / "facts.json"
        self.facts = read_json(self.facts_file)
        self.history = read_csv(root / "runs" / strategy / "history.csv")
        self.costs = read_json(root / "runs" / strategy / "costs.json")
        scores, predictions = root / "metrics" / f"{strategy}.json", root / "predictions" / f"{strategy}.csv"
        self.scores = read_json(scores)["seeds"] if scores.exists() else {}
        self.predictions = read_csv(predictions) if predictions.exists() else []

    def tables(self, seed: str) -> dict[str, list[dict[str, str]]]:
        """The rows of one seed, by name of the table."""
        tables = {"history": self.history, "predictions": self.predictions}
        return {name: [row for row in rows if row["seed"] == seed] for name, rows in tables.items()}

    def finals(self, seed: str) -> dict[str, float | None]:
        """The numbers of one seed that have one value."""
        outcome, score = self.facts["seeds"][seed], self.scores.get(seed, {})
        return {
            "test_accuracy": score.get("accuracy"),
            "test_loss": score.get("loss"),
            "best_validation_accuracy": outcome["validation_accuracy"],
            "best_epoch": outcome["best_epoch"],
            "train_seconds": self.costs["seconds_per_seed"].get(seed),
        }


def _send_training(
    store: Store, parent_id: str, results: Results, seed: str, common: Mapping[str, str]
) -> dict[str, Any]:
    """Complete the run of one strategy and seed; gives its row of trainings.csv."""
    strategy, facts, outcome = results.strategy, results.facts, results.facts["seeds"][seed]
    finals, tables = results.finals(seed), results.tables(seed)
    tags = {**common, "strategy": strategy, "seed": seed, "learner": facts["learner"]}
    writer = store.training(
        outcome["key"],
        f"{strategy} seed {seed}",
        facts["params"],
        tags,
        parent_id,
        seconds=finals["train_seconds"] or 0.0,
    )
    if writer.run.info.status != "FINISHED":
        for row in tables["history"]:
            writer.log(int(row["epoch"]), row, milliseconds())
    writer.set(finals)
    writer.tag({**tags, "result": _result(outcome), "model_sha256": str(outcome["model_sha256"])})
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in tables.items():
            write_csv(Path(folder) / f"{name}.csv", list(rows[0]) if rows else [], rows)
        files = [*Path(folder).iterdir(), results.facts_file, results.models / f"seed-{seed}.safetensors"]
        writer.files([("", path) for path in files if path.exists()], content_hash([facts, tables]))
    writer.end("FINISHED")
    told = {"strategy": strategy, "seed": seed, "result": _result(outcome), "run_id": writer.run_id}
    return {**told, "key": outcome["key"], "test_accuracy": finals["test_accuracy"]}


def _result(outcome: Mapping[str, Any]) -> str:
    """How a training ended; divergence is a result as well."""
    epoch = outcome.get("diverged_epoch")
    return str(outcome["status"]) if epoch is None else f"{outcome['status']} at epoch {epoch}"


def _send_comparison(
    writer: Writer,
    root: Path,
    params: Mapping[str, Any],
    trainings: Sequence[Mapping[str, Any]],
    common: Mapping[str, str],
) -> None:
    """Complete the parent run: the summary's numbers, the report and the list of trainings."""
    summary = read_json(root / "metrics/summary.json")
    writer.params(flat(params))
    for strategy, values in summary.items():
        numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
        writer.set({f"{strategy}.{name}": value for name, value in numbers.items()})
        writer.tag({f"status.{strategy}": str(values["status"])})
    examples = root / "reports/examples"
    reports = sorted(
        path for path in (root / "reports").rglob("*") if path.is_file() and not path.is_relative_to(examples)
    )
    places = [("report" / path.parent.relative_to(root / "reports"), path) for path in reports]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "trainings.csv"
        write_csv(table, list(trainings[0]), trainings)
        measured = [root / f"metrics/{name}.json" for name in ("summary", "numbers", "comparison")]
        files = [("", path) for path in (root / "params.yaml", *measured, table) if path.exists()]
        files += [(place.as_posix(), path) for place, path in places]
        writer.files(files, content_hash([[place, path.name, file_hash(path)] for place, path in files]))
    writer.tag({**common, **_weights(root), COMPLETE: "true", "strategies": " ".join(summary)})
    writer.end("FINISHED")


def _weights(root: Path) -> dict[str, str]:
    """Tags that say what the starting weights were, and how they came out of a file of others."""
    start = read_json(root / "data/weights/start.json")
    tags = {"weights.origin": start["origin"], "weights.sha256": start["sha256"]}
    if file := start["file"]:
        tags |= {"weights.file": file["name"], "weights.file_sha256": start["source_file_sha256"]}
        tags |= {"weights.tensors_used": f"{file['tensors_used']} of {file['tensors_held']}"}
        tags |= {"weights.undone": "; ".join(file["undone"])}
    return tags


def _reason(error: Exception) -> str:
    """An error in one line that shows no password."""
    text = " ".join(_without_password(str(error) or type(error).__name__).split())
    return text if len(text) <= 400 else f"{text[:400]}..."


def _without_password(text: str) -> str:
    """A text without what stands before the @ in the server's address."""
    user, at, _ = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", "")).netloc.rpartition("@")
    return text.replace(user + at, "") if user else text


if __name__ == "__main__":
    code = main()
    os._exit(code)  # taking MLflow's modules down would keep the training waiting
