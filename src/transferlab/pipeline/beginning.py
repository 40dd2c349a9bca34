"""The first thing that a stage does, ahead of imports that take seconds.

Standard library only. A script calls `begin` before it imports anything else of the project.
"""

import os
import sys
from pathlib import Path
from types import TracebackType

from . import code, memory, parent, signals, streams
from .places import checkout


def begin() -> None:
    """Note what code there is and who started this process; settle streams, signals, surroundings.

    Takes milliseconds. It is for stages alone: who uses the package as a library calls nothing.
    """
    streams.settle()
    signals.leave_at_once()
    parent.note()
    code.note(checkout())
    sys.excepthook = _in_one_line
    # A notebook's names a module that the stage's interpreter may lack, a desktop's needs a screen.
    os.environ["MPLBACKEND"] = "agg"


def _in_one_line(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    """Memory that does not even hold the packages is no mistake in the code."""
    if memory.ran_out(error) and not os.environ.get("TRANSFERLAB_TRACEBACK"):
        words = memory.in_words(error, Path(sys.argv[0]).stem, None)
        print(f"error: {words}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, at)
