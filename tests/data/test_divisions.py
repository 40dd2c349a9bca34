"""Which images a training fits, validates on and is asked about is a table, and nothing else."""

import re
from pathlib import Path

import numpy as np
import pytest

from transferlab.data.divisions import (
    Division,
    division_of,
    named,
    read_divisions,
    write_divisions,
)

IDS = ("train/a/0.png", "train/a/1.png", "train/b/0.png", "train/b/1.png")
LABELS = ("a", "a", "b", "b")


def division(fit: list[int], validation: list[int], asked: list[int]) -> Division:
    rows = (np.array(part, dtype=np.int64) for part in (fit, validation, asked))
    return Division(**dict(zip(("fit", "validation", "asked"), rows, strict=True)))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "splits/validation.csv"
    divisions = {
        "seed=0": division([0, 2], [1], []),
        "repeat=1 fold=3": division([3], [2], [0, 1]),
    }
    write_divisions(path, IDS, LABELS, divisions)
    return path


def test_a_person_reads_what_each_image_is_for(table: Path) -> None:
    assert table.read_text().splitlines() == [
        "id,label,seed=0,repeat=1 fold=3",
        "train/a/0.png,a,fit,asked",
        "train/a/1.png,a,validation,asked",
        "train/b/0.png,b,fit,validation",
        "train/b/1.png,b,,fit",
    ]


def test_what_is_written_is_what_is_read(table: Path) -> None:
    divisions = read_divisions(table, IDS)
    assert list(divisions) == ["seed=0", "repeat=1 fold=3"]
    first, second = divisions.values()
    assert [part.tolist() for part in (first.fit, first.validation, first.asked)] == [
        [0, 2],
        [1],
        [],
    ]
    assert [part.tolist() for part in second.training] == [[3], [2]]
    assert second.asked.tolist() == [0, 1]
    assert second.fit.dtype == np.int64


@pytest.mark.parametrize("ids", [IDS[::-1], IDS[:3], (*IDS, "train/b/2.png")])
def test_a_table_of_other_images_is_refused(ids: tuple[str, ...], table: Path) -> None:
    message = (
        rf"validation\.csv: expected the {len(ids)} images .* got others\. Run: dvc repro split"
    )
    with pytest.raises(ValueError, match=message):
        read_divisions(table, ids)


def test_a_seed_without_a_column_is_refused_with_those_that_there_are(table: Path) -> None:
    assert division_of(table, IDS, 0).validation.tolist() == [1]
    with pytest.raises(ValueError, match=r"a column seed=7, got seed=0, repeat=1 fold=3\."):
        division_of(table, IDS, 7)


def test_words_of_a_column_tell_its_training() -> None:
    assert named("repeat=1 fold=3") == {"repeat": "1", "fold": "3"}
    assert named("fraction=0.25 seed=0") == {"fraction": "0.25", "seed": "0"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "expected a table, got an empty file"),
        ("id,label,seed=0\na,x,fi", "expected a whole last line, got one that is cut off"),
        ("id,label,seed=0\na,x,fat\n", "expected fit, validation, asked or nothing in 'seed=0'"),
    ],
)
def test_a_damaged_table_is_named_with_what_to_run(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "data/splits/validation.csv"
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="utf-8")
    line = rf"^data/splits/validation\.csv: {re.escape(said)}.* Run: dvc repro -f -s split$"
    with pytest.raises(ValueError, match=line):
        read_divisions(path, ["a"])
