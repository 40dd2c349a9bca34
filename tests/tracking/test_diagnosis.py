"""What can be told of a store without MLflow; dead runs stand in test_mlflow_runs.py."""

from pathlib import Path

from transferlab.pipeline import files
from transferlab.tracking import diagnosis


def test_a_store_that_was_deleted_after_results_were_tracked_is_missing(
    home: Path, checkout: Path
) -> None:
    database = home / "mlflow.db"
    assert not diagnosis.is_missing(checkout, database)  # nothing ran yet
    files.write_text(checkout / "dvc.lock", "schema: '2.0'\nstages:\n  track:\n    cmd: python\n")
    assert diagnosis.is_missing(checkout, database)
    database.touch()
    assert not diagnosis.is_missing(checkout, database)


def test_what_is_no_database_of_mlflow_has_no_dead_runs(home: Path) -> None:
    (home / "mlflow.db").write_bytes(b"half")
    assert diagnosis.dead_runs(home / "mlflow.db") == []
