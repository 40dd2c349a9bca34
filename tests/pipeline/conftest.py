"""What the tests of this room share: a miniature checkout."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import toy

from transferlab.pipeline import signals, stage
from transferlab.settings import compose


@pytest.fixture(scope="session")
def composed() -> str:
    return compose.compose(["strategy=[frozen,probe]"])


@pytest.fixture
def root(tmp_path: Path, composed: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A miniature checkout, which the code under test takes for its own."""
    made = toy.make(tmp_path / "checkout", composed)
    monkeypatch.setattr(stage, "checkout", lambda: made)
    monkeypatch.delenv("TRANSFERLAB_TRACEBACK", raising=False)
    return made


@pytest.fixture(autouse=True)
def own_handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A stage takes signals over; the next test is not within the echo of the last one's."""
    monkeypatch.setattr(signals._State, "raised", -signals.SAME_REQUEST)
    before = {number: signal.getsignal(number) for number in signals.ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
