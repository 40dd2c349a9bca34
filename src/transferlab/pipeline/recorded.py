"""What `dvc.lock` records of the files that stages wrote, and whether they still are that.

Standard library only at first, because every stage imports it.
"""

import json
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from .files import file_hash

OWN_DIGEST = frozenset((".bin", ".safetensors", ".zip"))
"""Endings of files that are large, and that their readers compare with digests of their own."""


class Output(NamedTuple):
    """A file or folder that DVC recorded."""

    stage: str  # as train@frozen
    path: str  # as dvc.yaml names it
    md5: str  # of its bytes; of a folder that of its listing, which ends in .dir


def outputs(root: Path) -> list[Output]:
    """All that `dvc.lock` names, those of strategies that are no longer there included.

    Raises:
        ValueError: The file is damaged.
    """
    lock = root / "dvc.lock"
    if not lock.is_file():
        return []
    # libyaml, where it is there, reads in a tenth of the time
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        stages = yaml.load(lock.read_text(encoding="utf-8"), Loader=loader)["stages"]
        return [
            Output(name, out["path"], out["md5"])
            for name, stage in stages.items()
            for out in stage.get("outs", [])
            if out.get("hash") == "md5"  # else DVC 2 wrote it, who counted line ends otherwise
        ]
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(
            f"{lock}: expected what DVC recorded, got something else. Run: git checkout dvc.lock"
        ) from error


@cache
def cache_of(root: Path) -> Path:
    """Where DVC keeps the objects of a checkout; it may be told to share them with others."""
    from dvc.config import Config  # a tenth of a second

    place: str = Config(str(root / ".dvc")).get("cache", {}).get("dir", ".dvc/cache")
    return root / place / "files/md5"


def held(output: Output, objects: Path) -> Mapping[str, str] | None:
    """The files of a recorded folder with their md5; None where the cache cannot say it."""
    listing = kept_as(output.md5, objects)
    try:
        if file_hash(listing, "md5") != output.md5.removesuffix(".dir"):
            return None
        return {item["relpath"]: item["md5"] for item in json.loads(listing.read_bytes())}
    except (OSError, ValueError, LookupError, TypeError):
        return None


def kept_as(md5: str, objects: Path) -> Path:
    """The object of the cache that holds these bytes."""
    return objects / md5[:2] / md5[2:]


def damage(root: Path, paths: Sequence[str], strategies: Collection[str]) -> Iterator[str]:
    """What is wrong with files that DVC recorded, and what mends it; a line each.

    DVC trusts an object of its cache that is read-only, and hands it out as up to date whatever
    became of its bytes (treeverse/dvc#5978).

    Args:
        root: The checkout.
        paths: Files, or folders with all that is in them, as `dvc.yaml` names them.
        strategies: Those that there are: what others left is nobody's input.
    """
    for output in outputs(root):
        asked = any(f"{output.path}/".startswith(f"{path}/") for path in paths)
        if not asked or output.stage.partition("@")[2] not in ("", *strategies):
            continue
        single = not output.md5.endswith(".dir")
        files = {"": output.md5} if single else held(output, cache_of(root)) or {}
        for name, md5 in files.items():
            path = root / output.path / name
            compared = path.suffix not in OWN_DIGEST and path.is_file()
            if compared and file_hash(path, "md5") != md5:
                yield (
                    f"{path.relative_to(root)}: expected the bytes that dvc.lock records, got "
                    f"others. Run: {_mending(root, md5, output.stage)}"
                )


def _mending(root: Path, md5: str, stage: str) -> str:
    kept = kept_as(md5, cache_of(root))
    place = kept.relative_to(root) if kept.is_relative_to(root) else kept
    return f"rm -f {shlex.quote(str(place))}; dvc repro -f -s {stage}"
