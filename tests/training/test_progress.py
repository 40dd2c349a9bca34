"""A bar for a person at a terminal, lines for a log file."""

import io
import logging
from contextlib import redirect_stderr

import pytest

from transferlab.training import progress

ROW = {
    "epoch": 3,
    "train_loss": 0.2126,
    "train_accuracy": 0.945,
    "validation_loss": 0.3012,
    "validation_accuracy": 0.91234,
}


class Terminal(io.StringIO):
    """What a terminal would be sent."""

    def isatty(self) -> bool:
        return True


def test_a_log_file_gets_lines_and_no_bar(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with redirect_stderr(io.StringIO()) as file, progress.Bar("frozen", 10) as bar:
        bar.step(ROW)
        bar.line("seed 0 finished")
    assert file.getvalue() == ""
    assert caplog.messages == ["frozen: seed 0 finished"]


@pytest.mark.parametrize("epochs", [10, None])
def test_a_terminal_shows_the_title_and_the_four_numbers_of_the_last_epoch(
    epochs: int | None,
) -> None:
    with redirect_stderr(Terminal()) as terminal, progress.Bar("frozen", epochs) as bar:
        bar.bar.mininterval = 0
        bar.step(ROW)
        shown = terminal.getvalue()
    assert "frozen" in shown
    assert "epoch 3: train loss 0.213, 94.5 %; validation 0.301, 91.2 %" in shown


def test_what_was_not_measured_is_not_said() -> None:
    nothing = {"validation_loss": None, "validation_accuracy": None}
    assert progress.in_words(ROW | nothing) == "train loss 0.213, 94.5 %"
    averaged = {"train_loss": None, "train_accuracy": None}
    assert progress.in_words(ROW | averaged) == "validation 0.301, 91.2 %"


def test_a_line_stays_above_the_bar(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with redirect_stderr(Terminal()) as terminal, progress.Bar("frozen", 10) as bar:
        bar.line("seed 0 finished")
        assert terminal.getvalue().endswith(" \r")  # the bar is wiped before the line is written
    assert caplog.messages == ["frozen: seed 0 finished"]


def test_the_bar_is_wiped_when_training_fails() -> None:
    with redirect_stderr(Terminal()) as terminal:
        with pytest.raises(ValueError, match="nan"), progress.Bar("frozen", 10):
            raise ValueError("loss is nan")
        assert terminal.getvalue().endswith(" \r")
