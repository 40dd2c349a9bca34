"""The command that runs the whole pipeline on drawn textures."""

import compileall
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ..pipeline.files import write_text
from ..pipeline.places import checkout


def demo() -> None:
    """Run the whole pipeline without a network, on drawn textures, in the ignored copy `.demo`."""
    root, copy = checkout(), checkout() / ".demo"
    for name in ("conf", "src", "stages", ".dvc/plots"):
        shutil.rmtree(copy / name, ignore_errors=True)
        shutil.copytree(
            root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    for name in ("dvc.yaml", ".dvcignore", ".dvc/config"):
        shutil.copyfile(root / name, copy / name)
    for name in ("src", "stages"):  # where PYTHONDONTWRITEBYTECODE is set, every stage would
        compileall.compile_dir(copy / name, quiet=2)
    write_text(copy / ".dvc/config.local", "[core]\n    no_scm = true\n")
    others = ("DVC_", "TRANSFERLAB_MIRROR", "MLFLOW_TRACKING_", "MLFLOW_REGISTRY_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(others)}
    environment["PYTHONPATH"] = str(copy / "src")
    # The stages call `python`: it must be this one, also where .venv is not activated.
    environment["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    )
    for command in (["transferlab", "compose", "preset=demo"], ["dvc", "repro"]):
        if subprocess.run(
            [sys.executable, "-m", *command], cwd=copy, env=environment, check=False
        ).returncode:
            raise ValueError(
                "demo: expected every stage to end well; one failed, see above. Its files are in "
                f"{copy}."
            )
    print(f"The report is at {copy / 'reports/report.md'}")
