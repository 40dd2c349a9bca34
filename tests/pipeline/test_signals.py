"""What a signal does while a stage works."""

import os
import signal
from collections.abc import Iterator

import pytest

from transferlab.pipeline import signals


@pytest.fixture(autouse=True)
def usual_handlers() -> Iterator[None]:
    """Those of a process in the foreground: what a script starts beside itself ignores Ctrl-C."""
    before = {number: signal.getsignal(number) for number in signals.ENDING}
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", signals.ENDING)
def test_a_signal_interrupts_and_the_handlers_from_before_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), signals.interrupting():
        send(number)
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", signals.ENDING)
def test_a_signal_that_was_switched_off_stays_so(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_IGN)
    with signals.interrupting():
        send(number)


def test_a_block_that_holds_signals_back_runs_to_its_end() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), signals.interrupting():
        with signals.held():
            with signals.held():
                send()
            assert signals.holding()
            done.append("whole")
        done.append("after")
    assert done == ["whole"]
    assert not signals.holding()


def test_the_echo_of_a_signal_does_not_cut_short_what_the_first_one_began() -> None:
    """A terminal's Ctrl-C goes to all of a group, and each may send one on."""
    done = []
    with pytest.raises(KeyboardInterrupt), signals.interrupting():
        try:
            send(signal.SIGINT)
        finally:
            send(signal.SIGTERM)
            done.append("whole")
    assert done == ["whole"]


def test_a_later_signal_ends_what_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "SAME_REQUEST", 0.0)
    with signals.interrupting():
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                send()
