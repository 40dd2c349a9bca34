"""A full disk in words. Standard library only, because every stage and the composition check import
it.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

ADVICE = {
    errno.ENOSPC: "Free some space and run again.",
    errno.EDQUOT: "Your quota is used up: free some of your own files and run again.",
    errno.EFBIG: "A limit on the size of files, ulimit -f or the disk's own, is in the way: raise "
    "it and run again.",
}


def behind(error: BaseException) -> OSError:
    """The system's own error behind what a library raised: torch's hides it in the chain, one
    written in Rust tells its number in words.
    """
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, OSError) and chain.errno is not None:
            return chain
        if found := re.search(r"\(os error (\d+)\)", str(chain)):
            return OSError(int(found[1]), os.strerror(int(found[1])))
        chain = chain.__cause__ or chain.__context__
    return OSError(str(error))


def full(number: int | None) -> bool:
    """Whether an error's number says that there is no room."""
    return number in ADVICE


def named(error: OSError, path: Path) -> OSError:
    """The same error, and where it is one of room, with the folder, what is free and what to do.

    Args:
        error: What was raised, by Python or by a library that gives the system's number.
        path: The file that was to be written.
    """
    return in_words(error, _there(path.parent), path.name)


def of_some_file(error: OSError, folders: Iterable[Path], what: str) -> OSError:
    """The same for an error that tells no file: one of the folders is full, likely the fullest.

    Args:
        error: What was raised.
        folders: Where something may have been written.
        what: To them.
    """
    return in_words(error, min(map(_there, folders), key=_free), what)


def in_words(error: OSError, folder: Path, what: str) -> OSError:
    """See `named`."""
    number = error.errno
    if not full(number) or error.strerror is None:  # the latter has its words already
        return error
    assert number is not None
    got = "none" if number == errno.EFBIG else f"{size(_free(folder))} free"
    words = OSError(
        f"{folder}: expected room for {what}, got {got} ({os.strerror(number)}). {ADVICE[number]}"
    )
    words.errno = number
    return words


def _there(folder: Path) -> Path:
    """A folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    return next(it for it in (folder, *folder.parents) if it.is_dir())


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def size(count: float) -> str:
    """Bytes in words."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} bytes"
