"""Where the arithmetic runs: the device, the number of threads, and memory that is kept instead of
returned.
"""

import ctypes
import ctypes.util
import os
import platform
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ..params.learning.engine import Engine

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h

KIB = 1024  # bytes of what the kernel calls a kB


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where and how a network is evaluated.

    Args:
        device: The device.
        precision: "fp32", or "bf16": matrix products and convolutions under autocast.
        memory_format: "contiguous" or "channels_last", of images and convolutions.
    """

    device: torch.device
    precision: str
    memory_format: str

    def autocast(self) -> torch.autocast:
        """The context that a forward pass runs in."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    @property
    def layout(self) -> torch.memory_format:
        """The memory format as torch calls it."""
        return (
            torch.channels_last
            if self.memory_format == "channels_last"
            else torch.contiguous_format
        )


def prepare(engine: Engine, verdict: Mapping[str, str]) -> Compute:
    """Choose the device, fix the number of threads and keep freed memory.

    Args:
        engine: What was asked for.
        verdict: `precision` and `memory_format` as they were decided.

    Raises:
        ValueError: `engine.device` is cuda and torch finds none.
    """
    if engine.device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "engine.device: expected a CUDA device, torch found none. Use engine.device=auto or "
            "cpu."
        )
    keep_freed_memory()
    torch.set_num_threads(engine.threads or cores())
    # `use_deterministic_algorithms` sets the same, and imports torch's compiler for it: 4 s.
    torch.set_deterministic_debug_mode("warn")
    # That switch also fills every new tensor with NaN, to show reads of unwritten memory: a pass
    # for nothing.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # cuBLAS is deterministic only with a workspace of fixed size, read when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    chosen = torch.device("cuda" if engine.device != "cpu" and torch.cuda.is_available() else "cpu")
    return Compute(
        device=chosen, precision=verdict["precision"], memory_format=verdict["memory_format"]
    )


def has_bf16(device: torch.device) -> bool:
    """Whether it computes in bf16 itself; a CPU that does not took 12 to 27 times as long as in
    fp32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known = torch.cpu.get_capabilities()
    return any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(device: torch.device) -> str:
    """The name a person knows the device by."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory of this process (CPU) or of the device (CUDA), in MB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    status = Path("/proc/self/status")
    # `getrusage` would count what the parent process held when it started this one
    if status.is_file():
        return int(status.read_text("utf-8").split("VmHWM:")[1].split()[0]) * KIB / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * KIB / 1e6


def keep_freed_memory() -> None:
    """Tell glibc to keep large blocks.

    It otherwise returns every large tensor to the kernel after each operation, and the page faults
    of getting it back cost mobilenet_v2 on two cores more than half of its time.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(ctypes.util.find_library("c"))
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    libc.mallopt(M_TOP_PAD, 256 * 2**20)
