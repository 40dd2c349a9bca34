"""A saved training is marked once `dvc.lock` names its result, and not before."""

from pathlib import Path

import pytest
import yaml

from transferlab.pipeline import awaited
from transferlab.pipeline.files import file_hash


def record(root: Path, result: Path) -> None:
    """What DVC does once a stage is done."""
    out = {"path": "runs/frozen/facts.json", "hash": "md5", "md5": file_hash(result, "md5")}
    (root / "dvc.lock").write_text(yaml.safe_dump({"stages": {"train@frozen": {"outs": [out]}}}))


@pytest.fixture
def saved(own_home: Path) -> Path:
    path = awaited.saved_as("a" * 64)
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_a_training_is_recorded_once_dvc_names_the_file_of_its_result(
    tmp_path: Path, saved: Path
) -> None:
    result = tmp_path / "facts.json"
    result.write_text("first")
    awaited.await_record(["a" * 64, "never saved"], result)
    awaited.note_records(tmp_path)
    assert awaited.recorded_at(saved) is None
    record(tmp_path, result)
    awaited.note_records(tmp_path)
    assert awaited.recorded_at(saved) is not None
    result.write_text("with another title")
    awaited.await_record(["a" * 64], result)
    awaited.note_records(tmp_path)
    assert awaited.recorded_at(saved) is None, "the newer result is not in dvc.lock yet"
    awaited.forget(saved)
    assert not list(saved.parent.iterdir())


def test_a_cache_that_takes_no_note_costs_nothing(tmp_path: Path, saved: Path) -> None:
    (tmp_path / "facts.json").write_text("first")
    saved.with_suffix(".result").mkdir()
    awaited.await_record(["a" * 64], tmp_path / "facts.json")
    awaited.note_records(tmp_path)
    assert awaited.recorded_at(saved) is None
