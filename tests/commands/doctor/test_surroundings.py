"""Environment, settings, mirror, and files of killed processes."""

import os
import shutil
import subprocess
from collections import namedtuple
from pathlib import Path

import pytest
from called import edit

from transferlab.commands.doctor import surroundings


def mend(root: Path, command: str) -> None:
    subprocess.run(command, cwd=root, shell=True, check=True)


@pytest.mark.parametrize(
    "head", ["#!{}/.venv/bin/python\n", "#!/bin/sh\n'''exec' \"{}/.venv/bin/python\""]
)
def test_an_environment_that_was_made_for_another_folder_is_told(tmp_path: Path, head: str) -> None:
    assert surroundings.environment_of_another_folder(tmp_path) == []
    root = tmp_path / "made"
    program = root / ".venv/bin/dvc"
    program.parent.mkdir(parents=True)
    program.write_text(head.format(root))
    assert surroundings.environment_of_another_folder(root) == []
    moved = tmp_path / "moved"
    root.rename(moved)
    (found,) = surroundings.environment_of_another_folder(moved)
    assert found.what == f"{moved}/.venv was made for another folder."
    assert found.command == "rm -rf .venv && make setup"


def test_an_install_of_another_checkout_is_told(tmp_path: Path) -> None:
    (found,) = surroundings.installed_elsewhere(tmp_path)
    assert found.what.endswith(f", not of {tmp_path}.")
    assert found.command.endswith("pip install --no-deps --no-build-isolation --editable .")


def test_settings_of_an_experiment_are_no_fault(params_file: Path) -> None:
    edit(params_file, "batch_size: 32", "batch_size: 99")
    assert surroundings.wrong_settings(params_file.parent) == []


def test_wrong_params_and_wrong_conf_are_told(params_file: Path) -> None:
    root = params_file.parent
    edit(root / "conf/config.yaml", "batch_size: 32", "batch_size: 0")
    (found,) = surroundings.wrong_settings(root)
    assert found.what.startswith("conf/ does not compose: conf: train.batch_size: expected ")
    edit(params_file, "batch_size: 32", "batch_size: 0")
    (found,) = surroundings.wrong_settings(root)
    assert found.what.startswith("params.yaml: train.batch_size: expected ")


def test_a_mirror_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRANSFERLAB_MIRROR", raising=False)
    assert surroundings.no_mirror() == []
    for there in (str(tmp_path), "https://mirror.invalid/files"):
        monkeypatch.setenv("TRANSFERLAB_MIRROR", there)
        assert surroundings.no_mirror() == []
    monkeypatch.setenv("TRANSFERLAB_MIRROR", str(tmp_path / "nowhere"))
    (found,) = surroundings.no_mirror()
    assert found.what == f"TRANSFERLAB_MIRROR names {tmp_path}/nowhere, where there is no folder."
    assert found.command == "unset TRANSFERLAB_MIRROR"


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 3 * 10**8))
    (found,) = surroundings.full_disk(tmp_path)
    assert found.what.startswith(f"{tmp_path}: 0.3 GB are free.")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 0, 10**12))
    assert surroundings.full_disk(tmp_path) == []


LEFT = (
    "data/raw/..archive.zip.part.part-x1",
    "data/.processed.part/train/images.bin",
    "predictions/.frozen.csv.part-77-a b",
    ".dvc/cache/files/md5/ab/cdef.x9.tmp",
    "mlflow.db.init-123",
)
KEPT = ("data/raw/archive.zip", ".dvc/cache/files/md5/ab/cdef", "mlflow.db", "reports/report.md")


def test_what_killed_processes_were_writing_is_told_and_goes_alone(tmp_path: Path) -> None:
    for name in (*LEFT, *KEPT):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert surroundings.half_written(tmp_path, somebody_is_at_work=True) == []
    (found,) = surroundings.half_written(tmp_path, somebody_is_at_work=False)
    assert found.what == "Half-written files or folders that killed processes left: 5."
    mend(tmp_path, found.command)
    assert surroundings.half_written(tmp_path, somebody_is_at_work=False) == []
    there = [os.path.join(at, name) for at, _, names in os.walk(tmp_path) for name in names]
    assert {os.path.relpath(path, tmp_path) for path in there} == set(KEPT)
