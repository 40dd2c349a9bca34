"""Results of strategies that params.yaml no longer names make way, so that a clone finds the same.

DVC counts whatever lies in a folder that a stage depends on, but `dvc pull` brings only what the
stages of params.yaml give: with leftovers beside it a narrowed result never equals its clone.
"""

import filecmp
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..pipeline.files import file_hash
from ..pipeline.terminal import printable

FOLDERS = ("models", "predictions", "runs")
"""What the stages after the trainings depend on as a whole."""

logger = logging.getLogger(__name__)


def sweep(root: Path, keys: Mapping[str, Collection[str]]) -> None:
    """Remove the outputs of strategies that no stage has now, where DVC's cache holds their bytes.

    DVC brings them back, without a training, when params.yaml names the strategy again. What DVC
    does not hold stays, with one warning.

    Args:
        root: the checkout.
        keys: the strategies behind each `foreach` of dvc.yaml, such as "cross_validation.each".
    """
    found = leftovers(root, keys)
    if not found:
        return
    former = outputs(root, {each: known_strategies(root) for each in keys})
    cache = _cache(root)
    held = [name for name in found if cache is not None and _inside(name, former)]
    held = [name for name in held if _is_held(root / name, cache)]
    for name in held:
        _remove(root / name, root)
    if held:
        logger.info(
            "Files of strategies that params.yaml does not name made way: %d. DVC's cache holds "
            "them; they come back with their strategy.",
            len(held),
        )
    if stay := sorted(set(found) - set(held)):
        logger.warning(
            "%s%s: expected nothing but outputs of the stages, and DVC's cache does not hold it. "
            "It stays, but a clone without it compares anew: move it elsewhere.",
            printable(stay[0]),
            f" and {len(stay) - 1} more" if len(stay) > 1 else "",
        )


def leftovers(root: Path, keys: Mapping[str, Collection[str]]) -> list[str]:
    """Files of the folders that are no output of a stage as params.yaml is now; relative names."""
    current = outputs(root, keys)
    files = [path for folder in FOLDERS for path in (root / folder).rglob("*") if path.is_file()]
    names = sorted(path.relative_to(root).as_posix() for path in files)
    return [name for name in names if not _inside(name, current)]


def outputs(root: Path, keys: Mapping[str, Collection[str]]) -> set[str]:
    """The outputs that dvc.yaml lists, for these strategies behind each of its `foreach`."""
    return {
        path.replace("${key}", key)
        for each, path in _declared(root)
        for key in (keys[each] if each else ("",))
    }


def known_strategies(root: Path) -> set[str]:
    """Names that conf/ has a file for, or that dvc.lock has a result of."""
    names = {path.stem for path in (root / "conf/strategy").glob("*.yaml")}
    lock = root / "dvc.lock"
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"] if lock.exists() else {}
    return names | {name.partition("@")[2] for name in stages if "@" in name}


def _declared(root: Path) -> Iterator[tuple[str, str]]:
    """What a stage's `foreach` goes over, "" for one without, and each of its outputs."""
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for entry in stages.values():
        each = entry.get("foreach", "").removeprefix("${").removesuffix("}")
        for item in entry.get("do", entry).get("outs", []):
            yield each, item if isinstance(item, str) else next(iter(item))


def _inside(name: str, places: Collection[str]) -> bool:
    return any(name == place or name.startswith(f"{place}/") for place in places)


def _cache(root: Path) -> Any | None:
    """DVC's cache of this checkout; None outside of DVC."""
    from dvc.exceptions import DvcException  # half a second
    from dvc.repo import Repo

    try:
        return Repo(str(root)).cache.local
    except DvcException:
        return None


def _is_held(file: Path, cache: Any) -> bool:
    """Whether the cache has these very bytes: of damaged objects it has only the name."""
    kept = Path(cache.oid_to_path(file_hash(file, "md5")))
    return kept.is_file() and filecmp.cmp(file, kept, shallow=False)


def _remove(file: Path, root: Path) -> None:
    """Remove a file, and the folders that it leaves empty."""
    file.unlink()
    for folder in file.parents:
        if folder.parent == root or any(folder.iterdir()):
            return
        folder.rmdir()
