"""Where and how the arithmetic runs."""

from typing import Annotated, Literal

from pydantic import Field

from .record import Count, NotNegative, section


@section
class Engine:
    """Where and how the arithmetic runs."""

    device: Literal["auto", "cpu", "cuda"]
    threads: Annotated[
        int, Field(ge=0)
    ]  # 0: all cores; byte equality holds for one number of threads
    precision: Literal[
        "fp32", "bf16", "auto"
    ]  # auto: the fastest that agrees with fp32, measured once on real images
    memory_format: Literal["contiguous", "channels_last", "auto"]
    checkpoint_seconds: NotNegative  # how often a running training saves itself for resumption
    # what the features of frozen layers may occupy; above it they are computed anew every epoch
    memory_mb: Count
