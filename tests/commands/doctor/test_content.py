"""Bytes that DVC trusts, and that are not what it recorded."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from transferlab.commands.doctor import content


def kept(cache: Path, data: bytes, ending: str = "") -> str:
    """Put an object into the cache, read-only as DVC does; its name."""
    name = hashlib.md5(data).hexdigest()
    path = cache / name[:2] / f"{name[2:]}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o444)
    return f"{name}{ending}"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache and a workspace with one file and one folder, and the `dvc.lock` that names them."""
    cache = tmp_path / ".dvc/cache/files/md5"
    for name, text in (("a.bin", b"a"), ("models/x", b"x"), ("models/y", b"y")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text)
    listing = [{"md5": kept(cache, item.encode()), "relpath": item} for item in "xy"]
    outs = [
        {"path": "a.bin", "md5": kept(cache, b"a"), "hash": "md5"},
        {"path": "models", "md5": kept(cache, json.dumps(listing).encode(), ".dir"), "hash": "md5"},
        {"path": "absent", "md5": "0" * 32, "hash": "md5"},
    ]
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"train": {"outs": outs}}}))
    return cache


def damage(path: Path) -> None:
    """Other bytes under the same mode, as from a failing disk."""
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    path.chmod(0o444)


def mend(root: Path, command: str) -> None:
    subprocess.run(command.removesuffix(" && dvc repro"), cwd=root, shell=True, check=True)


def test_what_is_whole_is_not_told(tmp_path: Path, cache: Path) -> None:
    assert content.damaged_cache(cache) == []
    assert content.damaged_outputs(tmp_path, cache, somebody_is_at_work=False) == []


@pytest.mark.parametrize("ending", ["", ".dir"])
def test_a_damaged_object_that_is_read_only_is_told(cache: Path, ending: str) -> None:
    path = next(it for it in sorted(cache.glob("??/*")) if it.suffix == ending)
    damage(path)
    (found,) = content.damaged_cache(cache)
    assert found.what == f"{path} is damaged, and DVC trusts it."
    mend(cache, found.command)
    assert content.damaged_cache(cache) == []


@pytest.mark.parametrize(("name", "output"), [("a.bin", "a.bin"), ("models/x", "models")])
def test_a_damaged_output_is_told(tmp_path: Path, cache: Path, name: str, output: str) -> None:
    status = (tmp_path / name).stat()
    (tmp_path / name).write_bytes(b"?")
    os.utime(tmp_path / name, ns=(status.st_atime_ns, status.st_mtime_ns))
    (found,) = content.damaged_outputs(tmp_path, cache, somebody_is_at_work=False)
    assert found.what == f"{output} is not what dvc.lock records."
    assert found.command == f"rm -rf {output} && dvc repro"
    assert content.damaged_outputs(tmp_path, cache, somebody_is_at_work=True) == []
    mend(tmp_path, found.command)
    assert content.damaged_outputs(tmp_path, cache, somebody_is_at_work=False) == []


@pytest.mark.parametrize("extra", [True, False])
def test_a_file_too_many_or_too_few_is_told(tmp_path: Path, cache: Path, extra: bool) -> None:
    (tmp_path / "models/z").touch() if extra else (tmp_path / "models/y").unlink()
    (found,) = content.damaged_outputs(tmp_path, cache, somebody_is_at_work=False)
    assert found.command == "rm -rf models && dvc repro"
