"""Whoever waits for more than ten seconds is told for what, and then at least every thirty."""

import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest

from transferlab.pipeline import heartbeat
from transferlab.pipeline.heartbeat import (
    EVERY,
    FIRST,
    Heartbeat,
    beating,
    doing,
    each,
    hush,
    telling,
)


class Clock:
    """Seconds that a test turns on."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def beat(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Heartbeat]:
    """The heart of a stage, which beats when the test looks."""
    lines: list[str] = []
    heart = Heartbeat("train@probe", lines.append, clock)
    monkeypatch.setattr(heartbeat._State, "now", heart)
    heart.lines = lines  # type: ignore[attr-defined]
    yield heart


def lines(beat: Heartbeat) -> list[str]:
    told: list[str] = beat.lines  # type: ignore[attr-defined]
    return told


def test_nothing_is_said_before_ten_seconds_and_then_something_within_thirty(
    beat: Heartbeat, clock: Clock
) -> None:
    said: list[float] = []
    beat.say = lambda _: said.append(clock.now - 100)
    for _ in range(100):
        clock.now += beat.look()
    assert said[0] == FIRST == 10
    assert {later - before for before, later in pairwise(said)} == {EVERY}
    assert EVERY < 30


def test_a_line_says_what_is_being_done_and_since_when(beat: Heartbeat, clock: Clock) -> None:
    doing("features of the images")
    clock.now += 12
    beat.look()
    doing("")
    clock.now += 140
    beat.look()
    assert lines(beat) == [
        "train@probe: features of the images (12 s)",
        "train@probe: at work (2 min)",
    ]


def test_what_is_counted_stands_before_what_is_done_inside_it(
    beat: Heartbeat, clock: Clock
) -> None:
    for seed in each([0, 1], "seeds", 2):
        for _ in each("abc", "values of C"):
            clock.now += EVERY
            beat.look()
        doing(f"epoch of seed {seed}")
        clock.now += EVERY
        beat.look()
    clock.now += EVERY
    beat.look()
    assert lines(beat) == [
        "train@probe: 0 of 2 seeds, 0 values of C (20 s)",
        "train@probe: 0 of 2 seeds, 1 values of C (40 s)",
        "train@probe: 0 of 2 seeds, 2 values of C (60 s)",
        "train@probe: 0 of 2 seeds, epoch of seed 0 (80 s)",
        "train@probe: 1 of 2 seeds, 0 values of C (100 s)",
        "train@probe: 1 of 2 seeds, 1 values of C (2 min)",
        "train@probe: 1 of 2 seeds, 2 values of C (2 min)",
        "train@probe: 1 of 2 seeds, epoch of seed 1 (2 min)",
        "train@probe: at work (3 min)",
    ]


def test_a_count_that_is_left_early_is_forgotten(beat: Heartbeat, clock: Clock) -> None:
    with pytest.raises(ValueError, match="broken"):
        for _ in each("ab", "images decoded"):
            raise ValueError("broken")
    clock.now += FIRST
    beat.look()
    assert lines(beat) == ["train@probe: at work (10 s)"]


def test_a_bar_is_shown_what_is_counted_under_it_and_nothing_is_said(
    beat: Heartbeat, clock: Clock
) -> None:
    shown: list[str] = []
    for _ in each([0], "seeds", 1):
        hush(shown.append)
        clock.now += FIRST
        beat.look()
        with telling(lambda: "step 3 of 8, loss 0.412"):
            clock.now += EVERY
            beat.look()
        hush(None)
    clock.now += EVERY
    beat.look()
    assert shown == ["step 3 of 8, loss 0.412"]
    assert lines(beat) == ["train@probe: at work (50 s)"]


def test_items_pass_as_they_are_where_nobody_listens() -> None:
    assert list(each("abc", "letters")) == ["a", "b", "c"]


def test_the_lines_come_while_the_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "FIRST", 0.0)
    said, heard = list[str](), threading.Event()

    def hear(line: str) -> None:
        said.append(line)
        heard.set()

    with beating("preprocess", hear):
        assert heard.wait(60)
    assert said[0] == "preprocess: at work (0 s)"
    assert heartbeat._State.now is None
