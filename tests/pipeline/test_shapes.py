"""Which JSON fits an annotation, and which stage wrote a file."""

from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import pytest
import yaml
from checkout import ROOT

from transferlab.pipeline import files
from transferlab.pipeline.makers import made_by
from transferlab.pipeline.shapes import misfit


class Seed(TypedDict):
    status: Literal["finished", "diverged"]
    loss: float | None


class Facts(TypedDict):
    name: str
    count: int
    seeds: dict[str, Seed]
    listed: list[str]
    anything: Any
    more: NotRequired[bool]


GOOD: dict[str, Any] = {
    "name": "probe",
    "count": 3,
    "seeds": {"0": {"status": "finished", "loss": 1}, "1": {"status": "diverged", "loss": None}},
    "listed": ["a", "b"],
    "anything": [None, {}],
}


def test_what_fits_is_let_through_with_keys_that_nobody_asked_for() -> None:
    assert misfit(GOOD, Facts) is None
    assert misfit({**GOOD, "more": True, "else": 1}, Facts) is None


@pytest.mark.parametrize(
    ("changed", "expected", "got"),
    [
        ({"name": 3}, "text as name", "3"),
        ({"count": "3"}, "a whole number as count", "'3'"),
        ({"count": 3.5}, "a whole number as count", "3.5"),
        ({"count": True}, "a whole number as count", "True"),
        ({"seeds": []}, "an object as seeds", "[]"),
        ({"seeds": {"0": None}}, "an object as seeds.0", "None"),
        ({"seeds": {"7": {"loss": 1.0}}}, "the key seeds.7.status", "none"),
        (
            {"seeds": {"0": {"status": "over", "loss": 1.0}}},
            "'finished' or 'diverged' as seeds.0.status",
            "'over'",
        ),
        (
            {"seeds": {"0": {"status": "finished", "loss": True}}},
            "a number as seeds.0.loss",
            "True",
        ),
        ({"listed": ["a", 1]}, "text as listed.1", "1"),
        ({"more": 1}, "true or false as more", "1"),
        ({"name": ["x" * 99]}, "text as name", "['" + 35 * "x" + "..."),
    ],
)
def test_the_first_place_that_does_not_fit_is_named(
    changed: dict[str, Any], expected: str, got: str
) -> None:
    assert misfit(GOOD | changed, Facts) == (expected, got)


def test_a_missing_key_and_another_kind_of_value_are_told() -> None:
    assert misfit({}, Facts) == ("the key anything", "none")
    assert misfit(None, Facts) == ("an object", "None")
    assert misfit({"a": 1}, dict[str, Seed]) == ("an object as a", "1")


STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


@pytest.mark.parametrize("stage", [name for name in STAGES if name not in ("watch", "track")])
def test_every_output_is_known_to_be_its_stages(stage: str, tmp_path: Path) -> None:
    entry = STAGES[stage].get("do", STAGES[stage])
    outs = [*entry.get("outs", []), *entry.get("metrics", [])]
    assert outs != []
    for out in outs:
        place = out if isinstance(out, str) else next(iter(out))
        name = place.replace("${key}", "nan")
        expected = f"{stage}@nan" if "${key}" in place else stage
        assert made_by(tmp_path / name) == (name, expected)
        assert made_by(tmp_path / name / "inside.bin") == (f"{name}/inside.bin", expected)


def test_a_file_of_no_stage_is_called_by_its_whole_path(tmp_path: Path) -> None:
    assert made_by(tmp_path / "mine.json") == (str(tmp_path / "mine.json"), "")
    with pytest.raises(ValueError, match=r"/mine.json: expected a file, got none. Make it anew"):
        files.read_json(tmp_path / "mine.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "expected a table, got an empty file"),
        (b"\n", "expected a table with 0 cells in line 1, got none"),
        (b"id,label\na,b", "expected a whole last line, got one that is cut off"),
        (b"id,label\na\n", "expected a table with 2 cells in line 2, got 'a'"),
        (b"id,label\n\na,b\n", "expected a table with 2 cells in line 2, got none"),
        (b"id,lable\na,b\n", "expected a column label, got 'id, lable'"),
        (b"id,label\na,\xff\n", "expected a table in UTF-8, got other bytes after line"),
        (b'id,label\na,"b\n', "expected a table in UTF-8, got other bytes after line 2"),
    ],
)
def test_a_damaged_table_says_where(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "data/splits/validation.csv"
    files.write_text(path, "")
    path.write_bytes(content)
    line = rf"^data/splits/validation\.csv: .*({said}).*Run: dvc repro -f -s split$"
    with pytest.raises(ValueError, match=line):
        files.read_csv(path, ("id", "label"))
