"""Where and how the arithmetic runs."""

from typing import Annotated, Literal

from pydantic import Field

from ..record import Count, NotNegative, section

REFERENCE = {"precision": "fp32", "memory_format": "channels_last"}
"""What everything else is compared with."""


@section
class Engine:
    """Where and how the arithmetic runs."""

    device: Literal["auto", "cpu", "cuda"]
    # 0: all cores; byte equality holds for one number of threads
    threads: Annotated[int, Field(ge=0)]
    # auto: the fastest that agrees with fp32, measured once on real images
    precision: Literal["fp32", "bf16", "auto"]
    memory_format: Literal["contiguous", "channels_last", "auto"]
    checkpoint_seconds: NotNegative  # how often a running training saves itself for resumption
    # what the features of frozen layers may occupy; above it they are computed anew every epoch
    memory_mb: Count

    def pinned(self) -> dict[str, str]:
        """Precision and memory format as they are pinned, and the reference's where they are
        open.
        """
        asked = {name: getattr(self, name) for name in REFERENCE}
        return {name: REFERENCE[name] if it == "auto" else it for name, it in asked.items()}
