"""Chance by name: what it is drawn for stands in one list, and no use of it shifts another."""

import ast
from collections.abc import Iterator

import pytest
from checkout import ROOT

from transferlab.data.chance import PURPOSES, drawn_seed

ASKED = {"named_generator": 1, "drawn_seed": 1, "_draws": 1, "stratified_split": 3}
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
