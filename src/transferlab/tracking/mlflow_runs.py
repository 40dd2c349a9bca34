"""Runs in MLflow, found and made by key."""

import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from ..pipeline.places import cache_folder
from .presence import FORMER, WRITER, Presence
from .sender import milliseconds

KEY, PARENT_KEY, PARENT = "transferlab.key", "transferlab.parent_key", "mlflow.parentRunId"

PARAMS_SHA256, COMPLETE, ARTIFACTS = (
    "transferlab.params_sha256",
    "transferlab.complete",
    "transferlab.artifacts",
)

REPEATED = ("strategy", "backbone", "seed", "dataset")
"""Tags that are params too, because filters of a list of runs look at one or the other."""

NOT_METRICS = frozenset(("strategy", "seed", "phase", "epoch", "chosen"))
"""Columns of the history that are no measurements."""

LOCK_SECONDS = 120.0  # creating the schema takes up to 15 s, and others may be waiting too

SENDER_SECONDS = 30.0  # that `sync` waits for a child of an earlier stage


class Store:
    """An MLflow experiment, seen as comparisons (parent runs) and trainings (their children).

    Args:
        client: an MlflowClient; what it returns carries no types.
        experiment: id of the experiment.
        presence: this process among those that write to the store.
    """

    def __init__(self, client: Any, experiment: str, presence: Presence) -> None:
        self.client = client
        self.experiment = experiment
        self.presence = presence

    def runs(self, condition: str, limit: int = 1000) -> Sequence[Any]:
        """The runs that meet a condition, the newest first."""
        order = ["attributes.start_time DESC"]
        found: Sequence[Any] = self.client.search_runs(
            [self.experiment], condition, max_results=limit, order_by=order
        )
        return found

    def find(self, tag: str, value: str) -> Any | None:
        """The newest run with a tag, if there is one."""
        return next(iter(self.runs(f"tags.`{tag}` = '{value}'", limit=1)), None)

    def running(self) -> Sequence[Any]:
        """The open runs that a process of this project writes or wrote, wherever it is."""
        return self.runs(f"attributes.status = 'RUNNING' and tags.`{WRITER}` LIKE '%'")

    def close_stale(self) -> None:
        """Close as KILLED what dead processes left open, those of an earlier version included."""
        former = self.runs(f"attributes.status = 'RUNNING' and tags.`{FORMER}` LIKE '%'")
        for run in (*self.running(), *former):
            if self.presence.dead(run.data.tags.get(WRITER, "")):
                self.client.set_terminated(run.info.run_id, "KILLED")
        self.presence.sweep()

    def wait_for_writers(self, keys: Collection[str], seconds: float) -> None:
        """Wait, for at most so long, until other processes are through with these trainings."""
        runs = (run for run in self.running() if run.data.tags.get(KEY) in keys)
        self.presence.wait({run.data.tags[WRITER] for run in runs}, seconds)

    def comparison(self, identity: Mapping[str, str]) -> Any:
        """The parent run of an identity from `parent_identity`, created if need be."""
        key, name = identity["key"], identity["name"]
        tags = {tag: value for tag, value in identity.items() if tag not in ("key", "name")}
        with lock():
            run = self.find(PARENT_KEY, key)
            if run is None and PARAMS_SHA256 in tags and "dvc.experiment" not in tags:
                # `dvc repro` after `dvc exp run`: the same comparison, only that nobody tells its
                # name any more.
                run = self.find(PARAMS_SHA256, tags[PARAMS_SHA256])
            if run is None:
                tags |= {PARENT_KEY: key, "transferlab.kind": "comparison", **self._own()}
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
        """The run of a training, created if need be and brought under a parent if its own was never
        completed.

        Args:
            key: names the training.
            name: shown in lists.
            params: logged once; a later value of the same name is ignored, because MLflow refuses
                it.
            tags: strategy, backbone, seed, dataset and whatever else.
            parent_id: run id of the comparison.
            seconds: how long ago a training that is logged afterwards began.
        """
        own = {KEY: key, "transferlab.kind": "training", **tags, **self._own()}
        with lock():
            run = self.find(KEY, key)
            if run is None:
                began = milliseconds() - int(1000 * seconds)
                own |= {PARENT: parent_id}
                run = self.client.create_run(
                    self.experiment, start_time=began, tags=own, run_name=name
                )
        writer = Writer(self.client, run)
        if writer.parent_id != parent_id and not self._is_complete(writer.parent_id):
            writer.tag({PARENT: parent_id})
        writer.params(flat(params) | {tag: tags[tag] for tag in REPEATED if tag in tags})
        return writer

    def begin(self, message: Mapping[str, Any]) -> "Writer | None":
        """Open a training's run to write to, with its parent; None if it is finished or somebody
        else writes it.
        """
        known = self.find(KEY, message["key"])
        if known is not None and known.info.status in ("FINISHED", "RUNNING"):
            return None
        parent = Writer(self.client, self.comparison(message["parent"]))
        parent.reopen(self._own())
        parent.flush()
        key, name, params, tags = (message[field] for field in ("key", "name", "params", "tags"))
        writer = self.training(key, name, params, tags, parent.run_id)
        writer.reopen(self._own())
        return writer

    def _own(self) -> dict[str, str]:
        return {WRITER: self.presence.name}

    def _is_complete(self, parent_id: str | None) -> bool:
        """Whether `sync` has completed a comparison, and nobody deleted it since."""
        return any(
            COMPLETE in parent.data.tags
            for parent in self.runs(f"attributes.run_id = '{parent_id}'")
        )


class Writer:
    """One run that is written to. What it is given waits until `flush`, so that a batch costs one
    call.

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
        """The last step of each metric that the run already has, so that a resumed training repeats
        none.
        """
        histories = {
            name: self.client.get_metric_history(self.run_id, name)
            for name in self.run.data.metrics
        }
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
            if (
                name in NOT_METRICS
                or value in (None, "")
                or step <= self._last_steps.get(metric, -1)
            ):
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
        self._params |= {
            name: value for name, value in values.items() if name not in self.run.data.params
        }

    def tag(self, values: Mapping[str, str]) -> None:
        """Set tags, leaving alone those that are as they should be."""
        self._tags |= {
            name: value for name, value in values.items() if self.run.data.tags.get(name) != value
        }
        self.parent_id = values.get(PARENT, self.parent_id)

    def files(self, paths: Iterable[tuple[str, Path]], digest: str) -> None:
        """Log files, each into a folder, unless files with that digest are there."""
        if self.run.data.tags.get(ARTIFACTS) == digest and self.client.list_artifacts(self.run_id):
            return
        for folder, path in paths:
            self.client.log_artifact(self.run_id, str(path), folder or None)
            _let_others_read(self.run.info.artifact_uri, Path(folder, path.name))
        self.tag({ARTIFACTS: digest})

    def reopen(self, writer: Mapping[str, str]) -> None:
        """Make the process with this tag the one that writes the run, if it is not."""
        self.tag(writer)
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
    """Nested mappings as dotted names with text; a table with free keys, such as patterns, stays
    one value.
    """
    found: dict[str, str] = {}
    for key, value in values.items():
        if (
            isinstance(value, Mapping)
            and value
            and all(re.fullmatch("[A-Za-z0-9_]+", name) for name in value)
        ):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value if isinstance(value, str) else json.dumps(value)
    return found


def lock() -> FileLock:
    """Held while a run is looked for and created, because MLflow knows no unique tags."""
    return FileLock(cache_folder("") / "tracking.lock", timeout=LOCK_SECONDS)


def _let_others_read(address: str, name: Path) -> None:
    """Give a copy the mode that new files have here: MLflow keeps that of the original, and a
    server may run as another user.
    """
    parts = urlsplit(address)
    if parts.scheme in ("", "file"):  # else the server that took it made the file
        copy = Path(unquote(parts.path)) / name
        copy.chmod(copy.parent.stat().st_mode & 0o666)
