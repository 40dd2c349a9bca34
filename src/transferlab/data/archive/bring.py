"""The archive of images, wherever it comes from: downloaded, packed from the user's own folder, or
drawn.
"""

import os
import shutil
from pathlib import Path
from zipfile import is_zipfile

from ...params.dataset import Dataset
from ...pipeline.files import file_hash, write_json
from ...pipeline.places import from_home
from . import fetch, pack, textures
from .contents import contents_sha256


def bring(dataset: Dataset, folder: Path) -> None:
    """Write `archive.zip` and `archive.json`, what is known about it.

    Args:
        dataset: Says which.
        folder: Receives both; an archive that is wrong never gets there.

    Raises:
        ValueError: It cannot be had, or is not the one that `params.yaml` names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / ".archive.zip.part"
    try:
        facts = _write(dataset, part)
        os.replace(part, folder / "archive.zip")
    finally:
        part.unlink(missing_ok=True)
    write_json(folder / "archive.json", {"name": dataset.name, **facts})


def _write(dataset: Dataset, part: Path) -> dict[str, str]:
    if dataset.url is not None:
        kept = fetch.fetch(
            dataset.url,
            sha1=dataset.sha1,
            sha256=dataset.sha256,
            contents_sha256=dataset.contents_sha256,
            key="dataset",
        )
        shutil.copyfile(kept.path, part)
        origin, verified_by = kept.origin, kept.verified_by
    elif dataset.textures is not None:
        textures.write_archive(dataset.textures, part)
        origin, verified_by = "textures", "drawn"
    else:
        assert dataset.path is not None  # params: exactly one of the three is set
        _pack(from_home(dataset.path), dataset.path_sha256, part)
        origin, verified_by = dataset.path, "path"
    sha256, contents = file_hash(part), contents_sha256(part)
    return {
        "origin": origin,
        "sha256": sha256,
        "contents_sha256": contents,
        "verified_by": verified_by,
    }


def _pack(path: Path, sha256: str | None, part: Path) -> None:
    """The user's own folder or zip, if it still is what composition saw."""
    if not path.is_dir() and not is_zipfile(path):
        found = "another file" if path.exists() else "nothing"
        raise ValueError(
            f"dataset.path: expected a folder or a zip, found {found} at {path}. Give another path."
        )
    if pack.folder_sha256(path) != sha256:
        raise ValueError(
            f"dataset.path: {path} is not what it was when params.yaml was composed. Compose "
            "again: make repro, "
            f"or dvc exp run with the same settings."
        )
    if path.is_dir():
        pack.pack_folder(path, part)
    else:
        shutil.copyfile(path, part)
