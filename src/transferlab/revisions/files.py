"""Files of an experiment or a commit, from DVC's cache and from git, beside a workspace that stays
as it is.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WORKSPACE = "workspace"
"""The word for files as they lie here, as `dvc exp show` has it."""


class Revision:
    """A state of the repository: an experiment, a commit, a branch, or the workspace.

    Args:
        root: The checkout.
        name: As a person wrote it.
        folder: Where its files are put.
    """

    def __init__(self, root: Path, name: str, folder: Path):
        from dvc.api import DVCFileSystem  # half a second

        self.name, self.folder = name, folder
        self._files = DVCFileSystem(str(root), rev=None if name == WORKSPACE else name)

    def bring(self, paths: Iterable[str]) -> Path:
        """Copy files; gives the folder that holds them as the checkout would.

        Raises:
            ValueError: There is no such state, or a file is in neither git, nor DVC's cache, nor a
                remote.
        """
        for path in paths:
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with _in_a_line(self.name, f"expected {path} in git, DVC's cache or a remote"):
                self._files.get_file(f"/{path}", os.fspath(target))
        return self.folder


@contextmanager
def _in_a_line(name: str, expected: str) -> Iterator[None]:
    """DVC's many errors as one of ours."""
    try:
        yield
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{name}: {expected}, got none ({said}). `dvc exp show -A` lists experiments; dvc "
            f"fetch, or dvc exp pull REMOTE {name}, brings a colleague's."
        ) from error


def read_yaml(path: Path) -> Any:
    """The content of a file of parameters, of whatever version of the project."""
    import yaml

    return yaml.safe_load(path.read_text(encoding="utf-8"))
