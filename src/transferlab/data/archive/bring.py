"""The archive of images, wherever it comes from: downloaded, packed from the user's own folder, or
drawn.
"""

import os
import shutil
from pathlib import Path
from zipfile import is_zipfile

from ...params.dataset import Dataset
from ...params.record import plain
from ...pipeline.files import file_hash, write_json
from ...pipeline.places import from_home
from . import fetch, own, pack, table, textures
from .cifar import cifar_to_zip, is_cifar
from .contents import contents_sha256
from .request import Limits, Verified
from .tar import is_tar, tar_to_zip


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
        kept = fetched(dataset)
        _as_zip(kept.path, part, dataset)
        origin, verified_by = kept.origin, kept.verified_by
    elif dataset.textures is not None:
        textures.write_archive(dataset.textures, part)
        origin, verified_by = "textures", "drawn"
    else:
        assert dataset.path is not None  # params: exactly one of the three is set
        _pack(dataset, part)
        origin, verified_by = dataset.path, "path"
    return {
        "origin": origin,
        "sha256": file_hash(part),
        "contents_sha256": _contents(dataset, part),
        "verified_by": verified_by,
    }


def fetched(dataset: Dataset) -> Verified:
    """The archive at the data set's address, in the cache.

    Raises:
        ValueError: It cannot be had, or is not the one that `params.yaml` names.
    """
    assert dataset.url is not None  # the caller asked
    return fetch.fetch(
        dataset.url,
        sha1=dataset.sha1,
        sha256=dataset.sha256,
        contents_sha256=dataset.contents_sha256,
        key="dataset",
        limits=limits_of(dataset),
    )


def limits_of(dataset: Dataset) -> Limits:
    """What its archive may unpack to."""
    return Limits(
        max_total_mb=dataset.max_total_mb,
        max_ratio=dataset.max_ratio,
        total_key="dataset.max_total_mb",
        ratio_key="dataset.max_ratio",
    )


def _contents(dataset: Dataset, part: Path) -> str:
    """Digest of what the archive holds; messages name what the user knows it by."""
    title = dataset.url or (dataset.path and f"dataset.path: {from_home(dataset.path)}")
    advice = pack.REPAIR if dataset.path else pack.AFRESH
    return contents_sha256(part, limits_of(dataset), title=title, advice=advice)


def _pack(dataset: Dataset, part: Path) -> None:
    """The user's own folder, archive or table, if it still is what composition saw."""
    path = own.require_images(dataset)
    if table.is_table(path):
        table.pack_table(path, plain(dataset.columns), dataset.images_folder, part)
    elif path.is_dir():
        pack.pack_folder(path, part, limits_of(dataset))
    else:
        _as_zip(path, part, dataset)


def _as_zip(path: Path, part: Path, dataset: Dataset) -> None:
    if not is_zipfile(path) and is_tar(path):
        if is_cifar(path):
            cifar_to_zip(path, part)
        else:
            tar_to_zip(path, part, dataset)
    else:
        shutil.copyfile(path, part)
