"""Runs in MLflow, found and made by key."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from filelock import FileLock

from ..pipeline.places import cache_folder
from .presence import FORMER, WRITER, Presence
from .provenance import EXPERIMENT
from .sender import milliseconds
from .shown import comparison_name, training_name, training_params
from .writer import PARENT, Writer

KEY, PARENT_KEY = "transferlab.key", "transferlab.parent_key"

PARAMS_SHA256, COMPLETE = "transferlab.params_sha256", "transferlab.complete"

REPEATED = ("strategy", "backbone", "seed", "dataset")
"""Tags that are params too, because filters of a list of runs look at one or the other."""

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

    def comparison(self, identity: Mapping[str, str], name: str) -> Any:
        """The parent run of an identity from `parent_identity`, created with a name if need be."""
        key = identity["key"]
        tags = {tag: value for tag, value in identity.items() if tag != "key"}
        with lock():
            run = self.find(PARENT_KEY, key)
            if run is None and PARAMS_SHA256 in tags and EXPERIMENT not in tags:
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
        params: Mapping[str, str],
        tags: Mapping[str, str],
        parent_id: str,
        *,
        seconds: float = 0.0,
    ) -> Writer:
        """The run of a training, created if need be and brought under a parent if its own was never
        completed.

        Args:
            key: names the training.
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
                    self.experiment, start_time=began, tags=own, run_name=training_name(tags)
                )
        writer = Writer(self.client, run)
        if writer.parent_id != parent_id and not self._is_complete(writer.parent_id):
            writer.tag({PARENT: parent_id})
        writer.params({tag: tags[tag] for tag in REPEATED if tag in tags} | dict(params))
        return writer

    def begin(
        self, message: Mapping[str, Any], defaults: Mapping[str, Any], code: Mapping[str, str]
    ) -> Writer | None:
        """Open a training's run to write to, with its parent; None if it is finished or somebody
        else writes it.

        Args:
            message: that a training begins.
            defaults: see `shown.training_params`.
            code: see `provenance.of_code`.
        """
        known = self.find(KEY, message["key"])
        if known is not None and known.info.status in ("FINISHED", "RUNNING"):
            return None
        identity, tags = message["parent"], message["tags"]
        parent = Writer(self.client, self.comparison(identity, comparison_name(tags)))
        parent.reopen(self._own())
        parent.tag_first(code)
        parent.flush()
        params = training_params(message["params"], defaults)
        writer = self.training(message["key"], params, tags, parent.run_id)
        writer.reopen(self._own())
        writer.tag_first(code)
        return writer

    def _own(self) -> dict[str, str]:
        return {WRITER: self.presence.name}

    def _is_complete(self, parent_id: str | None) -> bool:
        """Whether `sync` has completed a comparison, and nobody deleted it since."""
        return any(
            COMPLETE in parent.data.tags
            for parent in self.runs(f"attributes.run_id = '{parent_id}'")
        )


def lock(what: str = "tracking") -> FileLock:
    """Held while a run, or another thing, is looked for and created, because MLflow knows no unique
    tags.
    """
    return FileLock(cache_folder("") / f"{what}.lock", timeout=LOCK_SECONDS)
