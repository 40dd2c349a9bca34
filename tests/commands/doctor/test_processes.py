"""Stages without their DVC, and what killed experiments leave."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from transferlab.commands.doctor import processes

DVC = """
import os, subprocess, sys
variables = {**os.environ, "DVC_ROOT": os.getcwd(), "DVC_STAGE": "train@frozen"}
stage = subprocess.Popen([sys.executable, "stages/train.py", "frozen"], env=variables)
print(stage.pid, flush=True)
stage.wait()
"""
STAGE = "import time; time.sleep(60)"


@pytest.mark.slow
def test_a_stage_whose_dvc_was_killed_is_told_and_one_that_has_it_is_not(tmp_path: Path) -> None:
    for name, text in (("bin/dvc", DVC), ("stages/train.py", STAGE)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    command = [sys.executable, "bin/dvc", "repro"]
    dvc = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert dvc.stdout is not None
    stage = psutil.Process(int(dvc.stdout.readline()))
    try:
        assert processes.orphan_stages(tmp_path) == []
        assert processes.anybody_at_work(tmp_path)
        dvc.send_signal(signal.SIGKILL)
        dvc.wait()
        assert not processes.anybody_at_work(tmp_path)
        (found,) = processes.orphan_stages(tmp_path)
        assert found.what == (
            f"The DVC of stages/train.py frozen (PID {stage.pid}) is gone; the stage runs on alone."
        )
        assert processes.orphan_stages(tmp_path / "elsewhere") == []
        subprocess.run(found.command, shell=True, check=True)
        stage.wait(10)
        assert processes.orphan_stages(tmp_path) == []
    finally:
        dvc.stdout.close()
        if stage.is_running():
            os.kill(stage.pid, signal.SIGKILL)


def test_what_killed_experiments_left_is_told_unless_somebody_is_at_work(tmp_path: Path) -> None:
    folder = tmp_path / ".dvc/tmp/exps"
    for name in ("tmp1a", "standalone/tmp2b", "run/1a", "run/2b", "celery"):
        (folder / name).mkdir(parents=True)
    (folder / "run/1a/1a.run").write_text('{"location": "tempdir", "status": 2}')
    (folder / "run/2b/2b.run").write_text('{"location": "workspace", "status": 1}')
    assert processes.dead_experiments(tmp_path, somebody_is_at_work=True) == []
    (found,) = processes.dead_experiments(tmp_path, somebody_is_at_work=False)
    subprocess.run(found.command, cwd=tmp_path, shell=True, check=True)
    assert processes.dead_experiments(tmp_path, somebody_is_at_work=False) == []
    assert sorted(path.name for path in folder.glob("*/*")) == ["2b"]
    assert (folder / "celery").is_dir()
