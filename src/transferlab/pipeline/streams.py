"""What a stage says is never the reason why it fails: a reader may go away, a terminal close."""

import io
import os
import sys
from typing import TextIO


def settle() -> None:
    """Make stdout and stderr streams that lose what nobody can take.

    Where one was closed, the next file to be opened would get its number, and with it whatever a
    library writes there.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    sys.stdout = _text(1, sys.stdout)
    sys.stderr = _text(2, sys.stderr)


class _Losing(io.FileIO):
    """Bytes to a file, a pipe or a terminal; what it does not take is lost."""

    def write(self, data: object) -> int:
        """Write; all of it counts as written where the reader is gone or the disk is full."""
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError:
            return memoryview(data).nbytes  # type: ignore[arg-type]


def _text(number: int, given: TextIO | None) -> io.TextIOWrapper:
    if given is not None:
        given.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Losing(number, "w", closefd=False)),
        encoding=given.encoding if given else "utf-8",
        errors="backslashreplace",
        line_buffering=number == 2 or os.isatty(number) or "PYTHONUNBUFFERED" in os.environ,
    )
