"""The command that looks at everything and changes nothing."""

import sys
from collections.abc import Iterator
from pathlib import Path

from ...pipeline import recorded
from ...pipeline.places import checkout
from . import content, history, locks, processes, stores, surroundings
from .finding import Finding


def doctor(deep: bool = False) -> None:
    """Say what is wrong with this checkout, with the command that mends it; change nothing."""
    found = list(examine(checkout(), deep))
    for finding in found:
        print(finding.what, f"    {finding.command}", sep="\n")
    if found:
        sys.exit(1)
    print("Nothing is wrong" + ("" if deep else ", as far as can be seen without --deep"))


def examine(root: Path, deep: bool) -> Iterator[Finding]:
    """Everything that is wrong, in an order in which it can be mended.

    Args:
        root: The checkout.
        deep: Whether the bytes of the cache and of the outputs are read, which can take minutes.
    """
    at_work = processes.anybody_at_work(root)
    yield from history.no_history(root)
    yield from processes.orphan_stages(root)
    yield from locks.suspended_dvc(root)
    yield from locks.stale_dvc_locks(root)
    yield from locks.stale_git_locks(root, at_work)
    yield from history.detached_head(root, at_work)
    yield from processes.dead_experiments(root, at_work)
    yield from surroundings.half_written(root, at_work)
    yield from surroundings.environment_of_another_folder(root)
    yield from surroundings.installed_elsewhere(root)
    yield from surroundings.wrong_settings(root)
    yield from surroundings.no_mirror()
    yield from surroundings.full_disk(root)
    yield from stores.problems(root)
    if deep:
        cache = recorded.cache_of(root)
        yield from content.damaged_cache(cache)
        yield from content.damaged_outputs(root, cache, at_work)
