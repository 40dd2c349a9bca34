"""Files of a person's own outside the checkout: whether they still are what composition saw."""

import logging
from pathlib import Path
from zipfile import is_zipfile

from ...params.dataset import Dataset
from ...params.record import plain
from ...pipeline.places import from_home
from . import local, pack, table
from .others import refusal
from .tar import is_tar

logger = logging.getLogger(__name__)


def require_images(dataset: Dataset) -> Path:
    """The folder, archive or table of `dataset.path`.

    Raises:
        ValueError: It is not there, or not what it was.
    """
    assert dataset.path is not None
    path = from_home(dataset.path)
    listed = path.is_file() and table.is_table(path)
    if not (path.is_dir() or listed or is_zipfile(path) or (path.is_file() and is_tar(path))):
        raise ValueError(refusal(path))
    columns, folder = plain(dataset.columns), dataset.images_folder
    now = table.table_sha256(path, columns, folder) if listed else pack.folder_sha256(path)
    if now != dataset.path_sha256:
        raise ValueError(
            f"dataset.path: expected {path} as it was when params.yaml was composed, got other "
            "content. Compose again, with the same settings: transferlab compose && dvc repro, or "
            "dvc exp run."
        )
    return path


def check_images(dataset: Dataset) -> None:
    """Refuse images of one's own that changed; absent ones are as they were recorded."""
    if dataset.path is None:
        return
    if from_home(dataset.path).exists():
        require_images(dataset)
    else:
        _absent("dataset.path", dataset.path)


def check_file(name: str, *, sha256: str | None, key: str) -> None:
    """Refuse a file of one's own that changed; an absent one is as it was recorded, and one that
    is fetched is compared whenever it is.

    Args:
        name: Its path, name in the mirror or address, as params.yaml has it.
        sha256: Its digest when that was composed; null: there is no such file.
        key: Dotted key of the parameter that names it.
    """
    path = local.place_of(name)
    if sha256 is None or path is None or name.startswith(("http://", "https://")):
        return
    if path.is_file():
        local.local(path, sha256=sha256, key=key)
    else:
        _absent(key, name)


def _absent(key: str, path: str) -> None:
    logger.info("%s: %s is not here, so what was recorded of it stands.", key, path)
