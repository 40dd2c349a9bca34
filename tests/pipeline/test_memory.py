"""Memory that was not enough: one line, with the setting that helps; no other error is taken for
it.
"""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
import yaml

from transferlab.params.reading import parse
from transferlab.params.whole import Params
from transferlab.pipeline import memory, stage
from transferlab.settings import compose

CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 4000000000 bytes. Error code 12 (Cannot allocate memory)"
)
GPU = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.18 GiB of "
    "which 512.00 MiB is free."
)
CLOSE = "Close other programs, or run on a machine with more memory."
BATCH, TABLES = "-S train.batch_size=16", "-S engine.memory_mb=2000"
DEVICE = "-S engine.device=cpu"


@pytest.fixture(scope="module")
def params() -> Params:
    chosen = ["strategy=[frozen,probe]", "train.batch_size=32", "engine.memory_mb=4000"]
    return parse(yaml.safe_load(compose.compose(chosen)))


def too_large() -> None:
    np.empty(2**62, dtype=np.uint8)


def raising(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("fail", "wanted"),
    [
        (too_large, "4611686018.4 GB more"),
        (raising(MemoryError()), "more"),
        (raising(RuntimeError(CPU)), "4.0 GB more"),
        (raising(RuntimeError("std::bad_alloc")), "more"),
        (raising(RuntimeError("can't start new thread")), "more"),
        (raising(OSError(errno.ENOMEM, "Cannot allocate memory")), "more"),
    ],
)
def test_memory_that_ran_out_is_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, fail: Callable[[], None], wanted: str
) -> None:
    monkeypatch.setattr("sys.argv", ["each.py", "frozen"])
    with pytest.raises(SystemExit) as caught:
        stage.main("each", lambda *_: fail())
    text = str(caught.value.code)
    assert text.startswith(f"error: each@frozen: expected room for {wanted} in memory, got ")
    assert text.endswith(f" free. {CLOSE}")
    assert "\n" not in text


def test_memory_of_a_graphics_card_is_told_as_the_card_tells_it(params: Params) -> None:
    error = type("OutOfMemoryError", (RuntimeError,), {})(GPU)
    assert memory.ran_out(error)
    assert memory.in_words(error, "train@frozen", params) == (
        "train@frozen: expected room for 2.1 GB more in memory, got 536.9 MB free. "
        f"Try {BATCH} or {TABLES} or {DEVICE}. {CLOSE}"
    )


@pytest.mark.parametrize(
    ("instance", "tries"),
    [
        ("train@frozen", f"Try {BATCH} or {TABLES} or {DEVICE}. "),
        ("train@probe", f"Try {TABLES} or {DEVICE}. "),  # solved for: there are no batches
        ("cross_validate@frozen", f"Try {BATCH} or {TABLES} or {DEVICE}. "),
        ("learning_curve@probe", f"Try {TABLES} or {DEVICE}. "),
        ("weights", f"Try {BATCH} or {DEVICE}. "),
        ("evaluate@frozen", f"Try {TABLES} or {DEVICE}. "),
        ("controls", f"Try {TABLES} or {DEVICE}. "),
        ("precision", f"Try {DEVICE}. "),
        *((name, "") for name in ("watch", "download", "preprocess", "split")),
        *((name, "") for name in ("compare", "champion", "report", "track")),
    ],
)
def test_the_advice_is_a_setting_that_the_stage_reads(
    params: Params, instance: str, tries: str
) -> None:
    assert memory.remedy(instance, params) == f"{tries}{CLOSE}"


def test_every_stage_of_the_pipeline_has_its_advice_tested() -> None:
    tested = test_the_advice_is_a_setting_that_the_stage_reads.pytestmark[0].args[1]
    declared = yaml.safe_load((toy.ROOT / "dvc.yaml").read_text())["stages"]
    assert {instance.partition("@")[0] for instance, _ in tested} == set(declared)


def test_no_advice_is_what_is_set_already() -> None:
    least = ["strategy=frozen", "train.batch_size=1", "engine.memory_mb=1", "engine.device=cpu"]
    params = parse(yaml.safe_load(compose.compose(least)))
    assert memory.remedy("train@frozen", params) == CLOSE


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shape '[2]' is invalid for input of size 3"),
        RecursionError("maximum recursion depth exceeded"),
        NotImplementedError(),
        ImportError("No module named 'torch'"),
    ],
)
def test_a_mistake_in_the_code_keeps_its_traceback(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("sys.argv", ["toy.py"])
    with pytest.raises(type(error)):
        stage.main("toy", fail)


LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))\n"


def test_a_process_that_may_take_no_more_says_its_limit(root: Path) -> None:
    process = toy.start(root, WORK=f"{LIMIT}bytearray(2**30)")
    _, err = process.communicate(timeout=60)
    assert err == (
        "error: toy: expected room for more in memory, got a limit of 536.9 MB in all (ulimit -v). "
        f"{CLOSE}\n"
    )
    assert process.returncode == 1


@pytest.mark.drill
@pytest.mark.parametrize("package", ["torch", "matplotlib, pandas, sklearn"])
def test_memory_that_does_not_hold_the_packages_is_one_line(root: Path, package: str) -> None:
    limit = LIMIT.replace("2**29", "2**28")
    process = toy.start(root, IMPORTING=f"{limit}import {package}")
    _, err = process.communicate(timeout=60)
    assert err.splitlines()[-1].startswith("error: toy: expected room for more in memory, got a ")
    assert "Traceback" not in err
    assert process.returncode == 1
