"""What others wrote reaches a terminal as text and moves nothing there."""

import pytest

from transferlab.pipeline.terminal import message, printable


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("Vögel 鳥 🐦 'x' \\", "Vögel 鳥 🐦 'x' \\"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("\x9b31m", r"\x9b31m"),
        ("a\rb\bc\x00\x7f", r"a\rb\x08c\x00\x7f"),
        ("gpj.\u202etxt", r"gpj.\u202etxt"),
        ("forged\nline\u2028too", r"forged\nline\u2028too"),
        ("\udcff.jpg", r"\udcff.jpg"),
    ],
)
def test_text_of_others_is_one_printable_line(foreign: str, shown: str) -> None:
    assert printable(foreign) == shown
    assert printable(shown) == shown


def test_the_lines_of_a_message_stay_lines() -> None:
    assert message(ValueError("one\n  \x1btwo")) == "one\n  \\x1btwo"
