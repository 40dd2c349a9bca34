"""Bytes against the hashes that DVC recorded; it trusts times and modes of files itself."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from ...pipeline import recorded
from ...pipeline.files import file_hash
from .finding import Finding


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
    """Files that are not what `dvc.lock` says.

    Those of a stage that is to run again differ rightly; it writes them anew either way.
    """
    if somebody_is_at_work:
        return []
    return [
        Finding(
            f"{output.path} is not what dvc.lock records.",
            f"rm -rf {shlex.quote(output.path)} && dvc repro",
        )
        for output in _outputs(root)
        if (root / output.path).exists() and not _is_recorded(root / output.path, output, cache)
    ]


def _outputs(root: Path) -> Iterator[recorded.Output]:
    try:
        yield from recorded.outputs(root)
    except ValueError:  # DVC names it itself
        return


def _is_recorded(path: Path, output: recorded.Output, cache: Path) -> bool:
    if not output.md5.endswith(".dir"):
        return path.is_file() and _md5(path) == output.md5
    held = recorded.held(output, cache)
    if held is None:
        return True  # nothing here says what the folder held
    there = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    return there == set(held) and all(_md5(path / name) == it for name, it in held.items())


def _md5(path: Path) -> str:
    return file_hash(path, "md5")
