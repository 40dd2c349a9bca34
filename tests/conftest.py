"""What all tests share: a home of their own, no tracking, one thread."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["delivered"]

# Two test processes, or a test beside a build, would otherwise spin against each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole pipelines first, then the files with most to do: what takes longest must not begin
    last, on one core alone.
    """
    top = Path(__file__).parent
    work = Counter[Path]()
    for item in items:
        work[item.path] += 10 if item.get_closest_marker("slow") else 1
    items.sort(key=lambda item: (item.path.parent != top, -work[item.path]))


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Caches and relative paths of a person go to a folder of the test."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("DVC_ROOT", str(home))
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    return home


@pytest.fixture
def restored() -> Iterator[None]:
    """What `device.prepare` sets for the whole process is set back."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")
