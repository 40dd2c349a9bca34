"""A git repository with the project in it, small enough to run whole."""

import copy
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from checkout import ROOT

PARTS = (".dvc/config", ".dvc/plots", ".dvc/.gitignore")
PARTS += (".dvcignore", ".gitignore", "conf", "dvc.yaml", "src", "stages")
SMALL = (
    "preset=demo",
    "backbone.weights=none",
    "dataset.textures.train_per_class=6",
    "dataset.textures.test_per_class=3",
    "seeds=[0,1]",
    "train.max_epochs=2",
    "engine.threads=1",
)
TWO = (*SMALL, "strategy=[frozen,scratch]")


class Repository:
    """A git repository with the project in it, and nothing else."""

    def __init__(self, root: Path):
        self.root = root
        for name in PARTS:
            source, target = ROOT / name, root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, target, ignore=ignore) if source.is_dir() else shutil.copyfile(
                source, target
            )
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        ours = ("DVC_", "TRANSFERLAB_", "PYTHONPATH", "MLFLOW")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.environment = {**kept, "PATH": path, "TRANSFERLAB_TRACKING": "off"}
        self("git", "init", "--quiet", "--initial-branch=main")
        self("git", "config", "user.name", "test")
        self("git", "config", "user.email", "test@localhost")
        self.compose(*TWO)
        self.commit()

    def __call__(self, *command: str, fails: bool = False, **environment: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def copied(self, root: Path) -> "Repository":
        """The same with all that was made, elsewhere."""
        shutil.copytree(self.root, root, symlinks=True)
        twin = copy.copy(self)
        twin.root = root
        return twin

    def compose(self, *overrides: str) -> None:
        code = "import sys; from transferlab.commands.main import main; main()"
        self(sys.executable, "-c", code, "compose", *overrides, PYTHONPATH=str(self.root / "src"))

    def commit(self) -> None:
        self("git", "add", "--all")
        self("git", "commit", "--quiet", "--message", "state", "--allow-empty")

    def experiment(
        self, *overrides: str, fails: bool = False, flags: tuple[str, ...] = (), **environment: str
    ) -> str:
        sets = [word for override in overrides for word in ("-S", override)]
        return self("dvc", "exp", "run", *flags, *sets, fails=fails, **environment)

    def digest(self, pattern: str) -> dict[str, str]:
        found = {
            path: path.read_bytes() for path in sorted(self.root.glob(pattern)) if path.is_file()
        }
        return {
            str(path.relative_to(self.root)): hashlib.sha256(data).hexdigest()
            for path, data in found.items()
        }


def ran(output: str) -> list[str]:
    """The stages that DVC ran, in order."""
    return re.findall(r"Running stage '([^']+)'", output)
