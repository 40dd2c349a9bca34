"""One run of MLflow that is written to, and how names and values become MLflow's."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ..pipeline.files import content_hash
from .sender import milliseconds

PARENT, ARTIFACTS, SHOWN = "mlflow.parentRunId", "transferlab.artifacts", "transferlab.shown"
NAME, NOTE = "mlflow.runName", "mlflow.note.content"

NOT_METRICS = frozenset(("strategy", "seed", "phase", "epoch", "chosen"))
"""Columns of the history that are no measurements."""


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

    @property
    def tags(self) -> dict[str, str]:
        """Those that the run has, and those that wait."""
        return {**self.run.data.tags, **self._tags}

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

    def tag_first(self, values: Mapping[str, str]) -> None:
        """Set tags that stay as they were first set."""
        self.tag({tag: value for tag, value in values.items() if tag not in self.tags})

    def describe(self, name: str, note: str) -> None:
        """Give the run a name and a note in Markdown, unless a person wrote others."""
        tags = self.tags
        found = content_hash([tags.get(NAME), tags.get(NOTE)])
        if tags.get(SHOWN, found) == found:
            self.tag({NAME: name, NOTE: note, SHOWN: content_hash([name, note])})

    def inputs(self, datasets: Iterable[tuple[Any, str]]) -> None:
        """Log data sets with what they were used for, unless the run has them."""
        from mlflow.entities import DatasetInput, InputTag

        inputs = self.run.inputs  # None of a run that was just made
        known = {it.dataset.digest for it in inputs.dataset_inputs} if inputs else set()
        new = [
            DatasetInput(data, [InputTag("mlflow.data.context", use)])
            for data, use in datasets
            if data.digest not in known
        ]
        if new:
            self.client.log_inputs(self.run_id, datasets=new)

    def outputs(self, model_id: str) -> None:
        """Say that a model came out of the run, unless the run knows it."""
        from mlflow.entities import LoggedModelOutput

        outputs = self.run.outputs
        known = {it.model_id for it in outputs.model_outputs} if outputs else set()
        if model_id not in known:
            self.client.log_outputs(self.run_id, [LoggedModelOutput(model_id, 0)])

    def measure_model(self, model_id: str, data: Any) -> None:
        """Say that the run's numbers about the test images are a model's on a data set."""
        from mlflow.entities import Metric

        own = self.client.get_run(self.run_id).data._metric_objs
        linked = [
            Metric(it.key, it.value, it.timestamp, it.step, model_id, data.name, data.digest)
            for it in own
            if it.key.startswith("test_")
        ]
        self.client.log_batch(self.run_id, metrics=linked)

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
    return re.sub(r"[^A-Za-z0-9_.\-/ ]", "_", name)[:250]


def _let_others_read(address: str, name: Path) -> None:
    """Give a copy the mode that new files have here: MLflow keeps that of the original, and a
    server may run as another user.
    """
    parts = urlsplit(address)
    if parts.scheme in ("", "file"):  # else the server that took it made the file
        copy = Path(unquote(parts.path)) / name
        copy.chmod(copy.parent.stat().st_mode & 0o666)
