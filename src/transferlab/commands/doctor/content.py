"""Bytes against the hashes that DVC recorded; it trusts times and modes of files itself."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ...pipeline.files import file_hash
from .finding import Finding


def cache_of(root: Path) -> Path:
    """Where DVC keeps the objects of a checkout; it may be told to share them with others."""
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    place = done.stdout.strip() if done.returncode == 0 else ".dvc/cache"
    return root / place / "files/md5"


def damaged_cache(cache: Path) -> list[Finding]:
    """Objects of DVC's cache that are not what their names say; DVC hands read-only ones out."""
    found = []
    for path in sorted(cache.glob("??/*")):
        name = path.parent.name + path.name.removesuffix(".dir")
        if re.fullmatch("[0-9a-f]{32}", name) and path.is_file() and _md5(path) != name:
            what = f"{path} is damaged, and DVC trusts it."
            found.append(Finding(what, f"rm -f {shlex.quote(str(path))}"))
    return found


def damaged_outputs(root: Path, cache: Path, somebody_is_at_work: bool) -> list[Finding]:
    """Files of data, models, runs and predictions that are not what `dvc.lock` says.

    Those of a stage that is to run again differ rightly; it writes them anew either way.
    """
    if somebody_is_at_work:
        return []
    found = []
    for output in _outputs(root):
        path = root / output["path"]
        if path.exists() and not _is_recorded(path, output["md5"], cache):
            place = shlex.quote(output["path"])
            what = f"{output['path']} is not what dvc.lock records."
            found.append(Finding(what, f"rm -rf {place} && dvc repro"))
    return found


def _outputs(root: Path) -> Iterator[dict[str, Any]]:
    """Files and folders that `dvc.lock` has in the cache, of stages that there are."""
    try:
        locked = yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))
        for stage in locked["stages"].values():
            yield from (out for out in stage.get("outs", []) if "md5" in out)
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return


def _is_recorded(path: Path, digest: str, cache: Path) -> bool:
    if not digest.endswith(".dir"):
        return path.is_file() and _md5(path) == digest
    listing = cache / digest[:2] / digest[2:]
    if not listing.is_file():
        return True  # nothing here says what the folder held
    try:
        held = {item["relpath"]: item["md5"] for item in json.loads(listing.read_bytes())}
    except (ValueError, KeyError, TypeError):
        return True  # damaged itself, and found as such
    there = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    return there == set(held) and all(_md5(path / name) == it for name, it in held.items())


def _md5(path: Path) -> str:
    return file_hash(path, "md5")
