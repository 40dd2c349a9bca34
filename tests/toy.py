"""A miniature checkout with a stage that imports no torch, and that stage as a process."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from checkout import ROOT

DVC = """
stages:
  toy:
    cmd: python stages/toy.py
    deps: [stages/toy.py, src/transferlab/pipeline/files.py, data/raw]
    params: [seeds, train]
    outs: [made/toy.csv, made/toy]
  each:
    foreach: ${strategies}
    do:
      cmd: python stages/each.py ${key}
      deps: [stages/each.py, "models/${key}"]
      params: ["strategies.${key}"]
      outs: ["made/${key}.csv"]
"""
SCRIPT = """
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.pipeline import beginning

if __name__ == "__main__":
    beginning.begin()

if "IMPORTING" in os.environ:
    print("importing", flush=True)
    exec(os.environ["IMPORTING"])

import transferlab
from transferlab.pipeline import stage
from transferlab.pipeline.files import write_text


def work(root, params, key):
    print(transferlab.__file__, *params.strategies, flush=True)
    exec(os.environ.get("WORK", ""), {**globals(), **locals()})


stage.main(Path(__file__).stem, work)
"""
WAIT = "time.sleep(60)"


def make(root: Path, params: str) -> Path:
    """A checkout of the code that is tested, with two stages of its own."""
    source, ignore = ROOT / "src/transferlab", shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, root / "src/transferlab", ignore=ignore)
    (root / "stages").mkdir()
    for name in ("toy", "each"):
        (root / f"stages/{name}.py").write_text(SCRIPT)
    (root / "data/raw").mkdir(parents=True)
    (root / "data/raw/archive.zip").write_bytes(b"images")
    (root / "dvc.yaml").write_text(DVC)
    (root / "params.yaml").write_text(params)
    return root


def environment(**more: str) -> dict[str, str]:
    """Without what a developer's shell sets for Python and for the project."""
    ours = ("PYTHON", "TRANSFERLAB_", "DVC_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **more}


def start(root: Path, *arguments: str, script: str = "toy", **more: str) -> subprocess.Popen[str]:
    """The stage as a process.

    Args:
        root: Its checkout.
        arguments: Of its script.
        script: Its name.
        more: Environment: WORK and IMPORTING are code that it runs then.
    """
    return subprocess.Popen(
        [sys.executable, f"stages/{script}.py", *arguments],
        cwd=root,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def began(process: subprocess.Popen[str]) -> str:
    """Wait for the line that a stage says first, when it imports or works."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()
    return line


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes true in time."""
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.05)
    return true()
