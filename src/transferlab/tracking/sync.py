"""The runs made equal to the files, which are the truth: whatever the child of a training could not
log, `sync` adds.

One training (a strategy and seed, named by its key) is one run, however often it is resumed,
restored or sent again. It stands under the first comparison that was completed with it; every
comparison lists all its runs in `trainings.csv`.
"""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..pipeline.files import content_hash, file_hash, read_json, write_csv
from . import datasets, provenance, registry, shown
from .address import in_one_line
from .mlflow_runs import COMPLETE, SENDER_SECONDS
from .results import Results, of_comparison
from .sender import RESEND, enabled, milliseconds, parent_identity
from .store import prepare_store
from .writer import Writer

logger = logging.getLogger(__name__)


def sync(root: Path, params: Mapping[str, Any]) -> str | None:
    """Make MLflow's runs equal to the files: nothing is logged twice, and no run of these trainings
    stays open.

    Args:
        root: the checkout that holds runs/, models/, predictions/, metrics/ and reports/.
        params: params.yaml as plain data.

    Returns:
        What is there now, in words. None where something did not arrive: then one warning says why
        and how to send it again.
    """
    if not enabled():
        return None
    try:
        return _Sync(root, params)()
    except Exception as error:  # tracking never decides whether a pipeline succeeds
        logger.warning("Tracking failed: %s. %s", in_one_line(error), RESEND)
        return None


class _Sync:
    """The files of a finished comparison on their way to MLflow.

    Args:
        root: the checkout.
        params: params.yaml as plain data.
    """

    def __init__(self, root: Path, params: Mapping[str, Any]) -> None:
        self.root, self.params = root, params
        self.results = [Results(root, name, params["compare"]) for name in params["strategies"]]
        self.common = {
            "dataset": str(params["dataset"]["name"]),
            "backbone": str(params["backbone"]["name"]),
        }
        self.identity = parent_identity(file_hash(root / "params.yaml"))
        self.lock = provenance.Lock(root)
        self.code = provenance.of_code(root) | _weights(root)
        if experiment := self.identity.get(provenance.EXPERIMENT):
            self.code[provenance.EXPERIMENT] = experiment
        self.defaults = shown.defaults_of(root)
        self.champion = registry.facts_of(root)
        self.trained: dict[str, Writer] = {}  # by key

    def __call__(self) -> str:
        self.store = prepare_store(self.common["dataset"])
        self.data = datasets.of(self.root, self.lock, self.common["dataset"])
        keys = {it["key"] for result in self.results for it in result.facts["seeds"].values()}
        try:
            self.store.wait_for_writers(keys, SENDER_SECONDS)
            self.store.close_stale()
            return self._send()
        finally:
            self.store.presence.leave()

    def _send(self) -> str:
        """Complete the runs of all trainings, then the one of their comparison, then the model."""
        comparison = Writer(
            self.store.client,
            self.store.comparison(self.identity, shown.comparison_name(self.common)),
        )
        trainings = [
            self._send_training(comparison.run_id, result, seed)
            for result in self.results
            for seed in result.facts["seeds"]
        ]
        self._send_comparison(comparison, trainings)
        dataset = self.common["dataset"]
        said = f"{len(trainings)} trainings of {dataset} are in MLflow"
        if len(trainings) == 1:
            said = f"1 training of {dataset} is in MLflow"
        training = self.trained.get(self.champion["key"]) if self.champion else None
        # Nobody takes a model of drawn textures home.
        if self.champion is None or training is None or self.params["dataset"].get("textures"):
            return said
        data = next((data for data, use in self.data if use == datasets.TEST), None)
        models = registry.Registry(self.store, self.root, self.champion)
        version = models.register(training, comparison, data)
        return f"{said}, and the model {version}"

    def _send_training(self, parent_id: str, results: Results, seed: str) -> dict[str, Any]:
        """Complete the run of one strategy and seed; gives its row of trainings.csv."""
        strategy, facts = results.strategy, results.facts
        outcome, finals, tables = facts["seeds"][seed], results.finals(seed), results.tables(seed)
        told = {"strategy": strategy, "seed": seed, "result": _result(outcome)}
        tags = {**self.common, **told, "learner": facts["learner"]}
        writer = self.store.training(
            outcome["key"],
            shown.training_params(results.params(seed), self.defaults),
            tags,
            parent_id,
            seconds=finals["train_seconds"] or 0.0,
        )
        if writer.run.info.status != "FINISHED":
            for row in tables["history"]:
                writer.log(int(row["epoch"]), row, milliseconds())
        writer.set(finals)
        hashes = {
            "model.sha256": str(outcome["model_sha256"]),
            "params.sha256": content_hash(results.params(seed)),
        }
        self._explain(writer, f"train@{strategy}", tags | hashes)
        writer.describe(shown.training_name(tags), shown.commands(writer.tags[provenance.AGAIN]))
        self._send_files(writer, results, seed, tables)
        writer.end("FINISHED")
        self.trained[outcome["key"]] = writer
        own = {"run_id": writer.run_id, "key": outcome["key"]}
        return {**told, **own, "test_accuracy": finals.get("test_accuracy")}

    def _explain(self, writer: Writer, stage: str, tags: Mapping[str, str]) -> None:
        """Say of a run what it used, and how to make it again."""
        writer.tag({**tags, **self.lock.tags(stage)})
        writer.tag_first(self.code | provenance.source(stage))
        writer.tag({provenance.AGAIN: provenance.again(writer.tags, [stage])})
        writer.inputs(self.data)

    def _send_files(
        self, writer: Writer, results: Results, seed: str, tables: Mapping[str, list[Any]]
    ) -> None:
        """The seed's own rows, the facts and the model."""
        with tempfile.TemporaryDirectory() as folder:
            for name, rows in tables.items():
                write_csv(Path(folder) / f"{name}.csv", list(rows[0]) if rows else [], rows)
            files = [
                *Path(folder).iterdir(),
                results.facts_file,
                results.models / f"seed-{seed}.safetensors",
            ]
            digest = content_hash([results.facts, tables])
            writer.files([("", path) for path in files if path.exists()], digest)

    def _send_comparison(self, writer: Writer, trainings: Sequence[Mapping[str, Any]]) -> None:
        """Complete the parent run: the answer, its numbers, the report and all trainings."""
        best, numbers = of_comparison(self.root)
        writer.params(self.common | shown.comparison_params(self.params, self.defaults))
        writer.set(numbers)
        names = list(self.params["strategies"])
        tags = {**self.common, COMPLETE: "true", "strategies": " ".join(names)}
        self._explain(writer, "report", tags | {"recommended": best or "none"})
        report = (self.root / "reports/report.md").read_text(encoding="utf-8")
        accuracy = numbers.get("test_accuracy")
        writer.describe(
            shown.comparison_name(
                self.common, names, (best, accuracy) if best and accuracy is not None else None
            ),
            shown.comparison_note(report, writer.tags[provenance.AGAIN]),
        )
        self._send_report(writer, trainings)
        writer.end("FINISHED")

    def _send_report(self, writer: Writer, trainings: Sequence[Mapping[str, Any]]) -> None:
        root, examples = self.root, self.root / "reports/examples"
        reports = sorted(
            path
            for path in (root / "reports").rglob("*")
            if path.is_file() and not path.is_relative_to(examples)
        )
        places = [("report" / path.parent.relative_to(root / "reports"), path) for path in reports]
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "trainings.csv"
            write_csv(table, list(trainings[0]), trainings)
            measured = [
                root / f"metrics/{name}.json" for name in ("summary", "numbers", "comparison")
            ]
            files = [("", path) for path in (root / "params.yaml", *measured, table)]
            files = [(place, path) for place, path in files if path.exists()]
            files += [(place.as_posix(), path) for place, path in places]
            hashes = [[place, path.name, file_hash(path)] for place, path in files]
            writer.files(files, content_hash(hashes))


def _result(outcome: Mapping[str, Any]) -> str:
    """How a training ended; divergence is a result as well."""
    epoch = outcome.get("diverged_epoch")
    return str(outcome["status"]) if epoch is None else f"{outcome['status']} at epoch {epoch}"


def _weights(root: Path) -> dict[str, str]:
    """Tags that say what the starting weights were, and how they came out of a file of others."""
    start = read_json(root / "data/weights/start.json")
    tags = {"weights.origin": start["origin"], "weights.sha256": start["sha256"]}
    if file := read_json(root / "data/weights/file.json"):
        tags |= {"weights.file": file["name"], "weights.file_sha256": start["source_file_sha256"]}
        tags |= {"weights.tensors_used": f"{file['tensors_used']} of {file['tensors_held']}"}
        tags |= {"weights.undone": "; ".join(file["undone"])} if file["undone"] else {}
    return tags
