"""What killed processes left is swept; what living ones write is not."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import toy
from checkout import ROOT

from transferlab.pipeline import files, parts

DEAD = 2**22 + 1  # above the largest number that Linux gives
LIVING = 1
LEFT = [
    "made/.toy.csv.part-{dead}-abc",
    "made/.other.csv.part-{dead}-abc",
    "made/toy/.inside.safetensors.part-{dead}",
    "made/.toy.csv.part",
    "{home}/.cache/transferlab/resume/0123.part-{dead}",
    "{home}/.cache/transferlab/features/.0123.safetensors.part-{dead}-x",
    "made/.toy.csv.part-{own}-of-an-earlier-life",
]
STAYS = [
    "made/.toy.csv.part-{living}-abc",
    "{home}/.cache/transferlab/resume/4567.part-{living}",
    "made/toy.csv",
    "made/toy/whole.safetensors",
    "made/a.part-time.csv",
    "data/raw/.archive.zip.part-{dead}-abc",
]


def paths(templates: list[str], root: Path, home: Path) -> list[Path]:
    numbers = {"dead": DEAD, "living": LIVING, "own": os.getpid()}
    return [root / template.format(home=home, **numbers) for template in templates]


def test_what_dead_processes_left_goes_and_all_else_stays(root: Path, own_home: Path) -> None:
    left, stays = paths(LEFT, root, own_home), paths(STAYS, root, own_home)
    for path in (*left, *stays):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("content")
    parts.sweep([root / "made/toy.csv", root / "made/toy"], own_home / ".cache/transferlab")
    assert [path for path in left if path.exists()] == []
    assert [path for path in stays if not path.exists()] == []


def test_a_folder_that_a_killed_process_was_building_goes(root: Path, own_home: Path) -> None:
    (root / "made/.toy.part/deep").mkdir(parents=True)
    parts.sweep([root / "made/toy"], own_home / ".cache/transferlab")
    assert os.listdir(root / "made") == []


def test_where_nothing_is_nothing_is_made(root: Path, own_home: Path) -> None:
    parts.sweep([root / "made/toy.csv"], own_home / ".cache/transferlab")
    assert not (root / "made").exists()
    assert os.listdir(own_home) == []


def test_a_part_tells_its_process_and_git_and_dvc_see_none(tmp_path: Path) -> None:
    with files.atomic(tmp_path / "a.csv"):
        (name,) = os.listdir(tmp_path)
    assert re.fullmatch(rf"\.a\.csv\.part-{os.getpid()}-\w+", name)
    for ignored in (".gitignore", ".dvcignore"):
        assert ".*.part-*" in (ROOT / ignored).read_text().splitlines()


HALF_WAY = """
with __import__("transferlab.pipeline.files").pipeline.files.atomic(root / "made/toy.csv") as file:
    file.write("half")
    file.flush()
    print("half-way", flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_the_next_run_sweeps_what_a_killed_one_left(root: Path) -> None:
    process = toy.start(root, WORK=HALF_WAY)
    toy.began(process)
    toy.began(process)
    (part,) = os.listdir(root / "made")
    assert part.startswith(f".toy.csv.part-{process.pid}-")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    after = toy.start(root, WORK="write_text(root / 'made/toy.csv', 'whole')")
    after.communicate(timeout=60)
    assert os.listdir(root / "made") == ["toy.csv"]


@pytest.mark.drill
def test_a_part_enters_no_hash_of_dvc(tmp_path: Path) -> None:
    """Of a strategy that is no longer in the parameters, for instance."""
    for name in (".dvcignore", ".gitignore"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions/a.csv").write_text("whole")
    (tmp_path / "dvc.yaml").write_text("stages: {a: {cmd: 'true', deps: [predictions]}}")

    def dvc(*words: str) -> str:
        done = subprocess.run(
            ["dvc", *words], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout

    dvc("init", "--no-scm", "--quiet")
    dvc("repro", "--quiet")
    (tmp_path / f"predictions/.a.csv.part-{DEAD}-abc").write_text("half")
    assert dvc("status").strip() == "Data and pipelines are up to date."
