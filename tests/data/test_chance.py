"""Chance by name: what it is drawn for stands in one list, and no use of it shifts another."""

import ast
from collections.abc import Iterator

import numpy as np
import pytest
from checkout import ROOT

from transferlab.data.chance import PURPOSES, drawn_seed, named_generator, stratified_split

ASKED = {"named_generator": 1, "drawn_seed": 1, "_draws": 1, "stratified_split": 3}
ASKED |= {"grouped_split": 3, "leading_part": 3}
"""Who draws, and which of the arguments says what for."""


def written() -> Iterator[ast.expr]:
    """What the code passes as a purpose."""
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                if name in ASKED:
                    yield node.args[ASKED[name]]


def pattern_of(purpose: ast.expr) -> str:
    if isinstance(purpose, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "*" for part in purpose.values
        )
    assert isinstance(purpose, ast.Constant), f"expected a text, got {ast.unparse(purpose)}"
    return str(purpose.value)


def test_the_list_holds_exactly_what_the_code_draws_for() -> None:
    handed_on = {"purpose"}  # the parameter of a function that is itself among those that draw
    told = [node for node in written() if ast.unparse(node) not in handed_on]
    assert {pattern_of(node) for node in told} == set(PURPOSES)


def test_no_purpose_is_listed_twice() -> None:
    assert len(PURPOSES) == len(set(PURPOSES))


@pytest.mark.parametrize(
    ("seed", "purpose", "drawn"),
    [
        (0, "random weights", 8653787503631336801),
        (0, "dropout/0", 6769041032958460699),
        (1, "dropout/0", 5416721315311610397),
    ],
)
def test_a_drawn_seed_is_fixed_by_seed_and_purpose(seed: int, purpose: str, drawn: int) -> None:
    assert drawn_seed(seed, purpose) == drawn


def test_a_named_generator_depends_on_seed_and_purpose_alone() -> None:
    draws = {name: named_generator(*name).random() for name in [(0, "a"), (1, "a"), (0, "b")]}
    assert len(set(draws.values())) == 3
    assert named_generator(0, "a").random() == draws[0, "a"] == pytest.approx(0.160163538682344)


def test_a_split_is_stratified_sorted_disjoint_and_complete() -> None:
    labels = np.array([0] * 50 + [1] * 10 + [2] * 2)
    kept, held_out = stratified_split(labels, 0.2, 7, "validation")
    assert np.bincount(labels[held_out]).tolist() == [10, 2, 1]
    assert sorted([*kept, *held_out]) == list(range(62))
    assert kept.tolist() == sorted(kept) and held_out.tolist() == sorted(held_out)


def test_a_split_changes_with_seed_and_purpose_and_with_nothing_else() -> None:
    labels = np.arange(40) % 2
    held_out = [
        tuple(stratified_split(labels, 0.25, *key)[1])
        for key in [(0, "a"), (0, "a"), (1, "a"), (0, "b")]
    ]
    assert held_out[0] == held_out[1] and len(set(held_out)) == 3
    assert held_out[0] == (0, 6, 7, 19, 21, 25, 30, 32, 34, 39)


@pytest.mark.parametrize(("fraction", "held_out"), [(0.01, 1), (0.99, 3)])
def test_a_split_holds_out_at_least_one_and_keeps_at_least_one(
    fraction: float, held_out: int
) -> None:
    kept, held = stratified_split(np.zeros(4, dtype=np.int64), fraction, 0, "validation")
    assert (len(kept), len(held)) == (4 - held_out, held_out)


def test_a_class_of_one_image_cannot_be_split() -> None:
    with pytest.raises(
        ValueError,
        match="validation split: expected at least 2 images of every class, got 1 of class 1",
    ):
        stratified_split(np.array([0, 0, 1]), 0.5, 0, "validation")
