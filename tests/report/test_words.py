"""Numbers are said alike in figures and text."""

from collections.abc import Callable
from typing import Any

import pytest

from transferlab.report import words

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (0.0234, 1, "+2.3"),
        (-0.0234, 1, f"{MINUS}2.3"),
        (0, 1, "0.0"),
        (0.0001, 1, "0.0"),
        (-0.0001, 1, "0.0"),
        (-0.0, 1, "0.0"),
        (0.0006, 1, "+0.1"),
        (-0.0234, 0, f"{MINUS}2"),
        (-0.004, 0, "0"),
    ],
)
def test_a_difference_has_a_sign_unless_it_rounds_to_zero(
    share: float, digits: int, text: str
) -> None:
    assert words.signed(share, digits) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 pairs"), (1, "1 pair"), (2, "2 pairs"), (1000, "1,000 pairs")]
)
def test_a_count_agrees_with_its_noun(number: int, text: str) -> None:
    assert words.counted(number, "pair") == text


def test_a_plural_that_is_no_s_is_given() -> None:
    said = [words.counted(number, "class", "classes") for number in (1, 2)]
    assert said == ["1 class", "2 classes"]


def test_a_span_agrees_with_its_last_number() -> None:
    said = [words.span(values, "image") for values in ([1, 1], [2, 2], [3, 1, 2])]
    assert said == ["1 image", "2 images", "1 to 3 images"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (148.3, "2 min 28 s"),
        (3599.6, "1 h 0 min"),
        (7260, "2 h 1 min"),
    ],
)
def test_a_duration_never_fills_up_its_unit(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0009, "< 0.001"), (0.001, "0.001"), (0.0314, "0.031"), (1, "1.000")]
)
def test_a_p_value_is_never_said_to_be_zero(value: float, text: str) -> None:
    assert words.p_value(value) == text


def test_what_does_not_exist_is_a_dash() -> None:
    said = [words.percent(None), words.interval(None, 0.5), words.number(None)]
    assert said == ["\N{EN DASH}"] * 3


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (1026, "1,026"), (131_842, "132 k"), (11_177_538, "11.2 M"), (2_000_000_000, "2 G")],
)
def test_parameters_are_counted_in_the_unit_a_person_says(count: int, text: str) -> None:
    assert words.amount(count) == text


@pytest.mark.parametrize("write", [words.percent, words.number, words.points])
def test_a_rounded_zero_has_no_sign_in_any_unit(write: Callable[[float], str]) -> None:
    assert write(-1e-9) == write(0.0)


def test_where_no_image_is_wrong_resampling_gives_no_interval() -> None:
    record: Any = {"mean": 1.0, "images_low": 1.0, "images_high": 1.0}
    assert words.with_ends(record) == "1.000"
