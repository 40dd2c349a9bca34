"""Device and threads are what `params.yaml` says, and arithmetic repeats itself to the bit."""

import os
import platform
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from transferlab.network import backbones, device, setup
from transferlab.params.learning.engine import Engine
from transferlab.pipeline import files

pytestmark = pytest.mark.usefixtures("restored")


def engine(kind: str = "cpu", threads: int = 1) -> Engine:
    return Engine(  # type: ignore[arg-type]
        device=kind,
        threads=threads,
        precision="fp32",
        memory_format="auto",
        checkpoint_seconds=0.0,
        memory_mb=100,
    )


def prepare(asked: Engine) -> device.Compute:
    return device.prepare(asked, {"precision": "bf16", "memory_format": "contiguous"})


def test_cuda_without_a_gpu_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        ValueError, match=r"^engine\.device: expected a CUDA device, torch found none\."
    ):
        prepare(engine("cuda"))


@pytest.mark.parametrize(
    "asked, available, chosen",
    [("auto", False, "cpu"), ("auto", True, "cuda"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_device_is_the_one_asked_for(
    asked: str, available: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert prepare(engine(asked)).device.type == chosen


def test_precision_and_format_are_those_of_the_verdict_whatever_was_asked_for() -> None:
    place = prepare(engine())
    assert (place.precision, place.memory_format, place.layout) == (
        "bf16",
        "contiguous",
        torch.contiguous_format,
    )
    with place.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with replace(place, precision="fp32").autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize("threads", [1, 2])
def test_number_of_threads_is_the_one_asked_for(threads: int) -> None:
    prepare(engine(threads=threads))
    assert torch.get_num_threads() == threads


def test_zero_threads_means_all_cores_of_this_process() -> None:
    prepare(engine(threads=0))
    assert torch.get_num_threads() == device.cores() <= (os.cpu_count() or 1)


def test_training_step_repeats_itself_to_the_bit() -> None:
    place = replace(prepare(engine(threads=2)), precision="fp32", memory_format="channels_last")

    def gradient() -> torch.Tensor:
        model = backbones.move(backbones.build("tiny", 3), place).train()
        images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        model(images.contiguous(memory_format=torch.channels_last)).square().sum().backward()
        found = model.get_parameter("stem.0.weight").grad
        assert found is not None
        return found

    assert torch.equal(gradient(), gradient())
    assert torch.are_deterministic_algorithms_enabled()


def test_description_names_the_processor_and_the_memory_is_measured() -> None:
    assert device.describe(torch.device("cpu")).startswith(f"CPU {platform.machine()}, ")
    assert 10 < device.peak_memory_mb(torch.device("cpu")) < 100_000


def test_keeping_freed_memory_is_left_out_where_there_is_no_glibc(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr("ctypes.CDLL", lambda name: pytest.fail("looked for glibc"))
    prepare(engine())


@pytest.mark.parametrize(
    ("precision", "abilities", "said"),
    [
        ("bf16", {"avx2": True}, True),
        ("bf16", {"avx2": True, "avx512_bf16": True}, False),
        ("fp32", {"avx2": True}, False),
    ],
)
def test_bf16_where_it_is_slow_is_said_and_stays(
    precision: str,
    abilities: dict[str, bool],
    said: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    verdict = {"precision": precision, "memory_format": "contiguous"}
    files.write_json(tmp_path / "data/precision.json", verdict)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
    assert setup.settled_compute(tmp_path, engine()).precision == precision
    assert ("says bf16, for which this CPU" in caplog.text) == said
