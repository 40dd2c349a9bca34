"""Memory that was not enough, in words.

Standard library only at first: neither torch nor anything else that it did not hold is needed here.
"""

import errno
import re
import resource
from typing import TYPE_CHECKING

from .disk import size

if TYPE_CHECKING:
    from ..params.whole import Params

WORDS = re.compile(
    "(can't|cannot|unable to) allocate|out of memory|not enough memory|ALLOC_FAILED|std::bad_alloc"
    "|failed to map segment|can't start new thread|could not create a memory object",
    re.IGNORECASE,
)
WANTED = re.compile(r"(?:allocate|Unable to allocate) (?P<count>[\d.]+) (?P<unit>bytes|[KMGTPE]iB)")
FREE = re.compile(r"of which (?P<count>[\d.]+) (?P<unit>bytes|[KMGTPE]iB) is free")
UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
LEARNING = ("train", "cross_validate", "learning_curve", "weights")
KEEPING = ("train", "cross_validate", "learning_curve", "evaluate", "controls")


def ran_out(error: BaseException) -> bool:
    """Whether an error of Python, NumPy, torch or the system means that memory was not enough."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | ImportError) and bool(WORDS.search(str(error)))
    )


def in_words(error: BaseException, instance: str, params: "Params | None") -> str:
    """One line: what was wanted, what there was, and the setting that helps."""
    wanted = _amount(WANTED, error)
    room = "room for more" if wanted is None else f"room for {wanted} more"
    free = _amount(FREE, error)
    got = _left() if free is None else f"{free} free"
    return f"{instance}: expected {room} in memory, got {got}. {remedy(instance, params)}"


def killed(instance: str, pid: int, params: "Params | None") -> str:
    """What the next attempt says of one that ended without a word."""
    return (
        f"{instance}: the previous attempt (process {pid}) was killed, probably because memory ran "
        f"out. In that case: {remedy(instance, params)}"
    )


def remedy(instance: str, params: "Params | None") -> str:
    """What takes less memory in a stage.

    Args:
        instance: As `train@frozen`.
        params: None where they could not be read.
    """
    stage, _, key = instance.partition("@")
    tries = [] if params is None else list(_settings(stage, key, params))
    close = "Close other programs, or run on a machine with more memory."
    return f"Try {' or '.join(tries)}. {close}" if tries else close


def _settings(stage: str, key: str, params: "Params") -> list[str]:
    """The options of `dvc exp run` that help, the best first."""
    # what trains in phases descends a gradient, batch after batch
    descends = stage == "weights" or hasattr(params.strategies.get(key), "phases")
    found = []
    if stage in LEARNING and descends and params.train.batch_size > 1:
        found.append(f"-S train.batch_size={params.train.batch_size // 2}")
    if stage in KEEPING and params.engine.memory_mb > 1:
        found.append(f"-S engine.memory_mb={params.engine.memory_mb // 2}")
    if stage in {*LEARNING, *KEEPING, "precision"} and params.engine.device != "cpu":
        found.append("-S engine.device=cpu")
    return found


def _amount(pattern: re.Pattern[str], error: BaseException) -> str | None:
    found = pattern.search(str(error))
    return found and size(float(found["count"]) * 1024 ** UNITS.index(found["unit"]))


def _left() -> str:
    """What this process may still take."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        return f"a limit of {size(limit)} in all (ulimit -v)"
    import psutil

    return f"{size(psutil.virtual_memory().available)} free"
