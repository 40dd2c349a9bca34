"""MLflow: the child process that logs a training while it runs, and the sync that makes the runs
equal to the files.

The only module that knows MLflow. The files are the truth: whatever the child could not log, `sync`
adds. One training (a strategy and seed, named by its key) is one run, however often it is resumed,
restored or sent again. It stands under the first comparison that was completed with it; every
comparison lists all its runs in `trainings.csv`.
"""

import logging
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..pipeline.files import content_hash, file_hash, read_csv, read_json, write_csv
from .address import in_one_line
from .mlflow_runs import COMPLETE, SENDER_SECONDS, Store, Writer, flat
from .sender import RESEND, enabled, milliseconds, parent_identity
from .store import prepare_store

logger = logging.getLogger(__name__)
SMALLEST = 1e-12  # of a probability in a logarithm, as the evidence has it


def sync(root: Path, strategies: Sequence[str], params: Mapping[str, Any]) -> bool:
    """Make MLflow's runs equal to the files: nothing is logged twice, and no run of these trainings
    stays open.

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
        logger.warning("Tracking failed: %s. %s", in_one_line(error), RESEND)
        return False
    return True


def _sync(root: Path, strategies: Sequence[str], params: Mapping[str, Any]) -> None:
    results = [Results(root, strategy) for strategy in strategies]
    store = prepare_store()
    keys = {outcome["key"] for result in results for outcome in result.facts["seeds"].values()}
    try:
        store.wait_for_writers(keys, SENDER_SECONDS)
        store.close_stale()
        _send(store, root, results, params)
    finally:
        store.presence.leave()


def _send(
    store: Store, root: Path, results: Sequence["Results"], params: Mapping[str, Any]
) -> None:
    """Complete the runs of all trainings, and then the one of their comparison."""
    comparison = Writer(
        store.client, store.comparison(parent_identity(file_hash(root / "params.yaml")))
    )
    common = {
        "dataset": str(params["dataset"]["name"]),
        "backbone": str(params["backbone"]["name"]),
    }
    trainings = [
        _send_training(store, comparison.run_id, result, seed, common)
        for result in results
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
        predictions = root / "predictions" / f"{strategy}.csv"
        self.predictions = read_csv(predictions) if predictions.exists() else []

    def tables(self, seed: str) -> dict[str, list[dict[str, str]]]:
        """The rows of one seed, by name of the table."""
        tables = {"history": self.history, "predictions": self.predictions}
        return {name: [row for row in rows if row["seed"] == seed] for name, rows in tables.items()}

    def finals(self, seed: str) -> dict[str, float | None]:
        """The numbers of one seed that have one value."""
        outcome = self.facts["seeds"][seed]
        accuracy, loss = scores(self.tables(seed)["predictions"])
        return {
            "test_accuracy": accuracy,
            "test_loss": loss,
            "best_validation_accuracy": outcome["validation_accuracy"],
            "best_epoch": outcome["best_epoch"],
            "train_seconds": self.costs["seconds_per_seed"].get(seed),
        }


def scores(rows: Sequence[Mapping[str, str]]) -> tuple[float | None, float | None]:
    """Accuracy and mean negative log-likelihood (nats) of one seed's predictions; None without."""
    if not rows:
        return None, None
    hits = sum(row["predicted"] == row["label"] for row in rows)
    losses = [-math.log(max(float(row[f"p_{row['label']}"]), SMALLEST)) for row in rows]
    return hits / len(rows), sum(losses) / len(rows)


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
        files = [
            *Path(folder).iterdir(),
            results.facts_file,
            results.models / f"seed-{seed}.safetensors",
        ]
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
        path
        for path in (root / "reports").rglob("*")
        if path.is_file() and not path.is_relative_to(examples)
    )
    places = [("report" / path.parent.relative_to(root / "reports"), path) for path in reports]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "trainings.csv"
        write_csv(table, list(trainings[0]), trainings)
        measured = [root / f"metrics/{name}.json" for name in ("summary", "numbers", "comparison")]
        files = [("", path) for path in (root / "params.yaml", *measured, table) if path.exists()]
        files += [(place.as_posix(), path) for place, path in places]
        writer.files(
            files, content_hash([[place, path.name, file_hash(path)] for place, path in files])
        )
    writer.tag({**common, **_weights(root), COMPLETE: "true", "strategies": " ".join(summary)})
    writer.end("FINISHED")


def _weights(root: Path) -> dict[str, str]:
    """Tags that say what the starting weights were, and how they came out of a file of others."""
    start = read_json(root / "data/weights/start.json")
    tags = {"weights.origin": start["origin"], "weights.sha256": start["sha256"]}
    if file := read_json(root / "data/weights/file.json"):
        tags |= {"weights.file": file["name"], "weights.file_sha256": start["source_file_sha256"]}
        tags |= {"weights.tensors_used": f"{file['tensors_used']} of {file['tensors_held']}"}
        tags |= {"weights.undone": "; ".join(file["undone"])}
    return tags
