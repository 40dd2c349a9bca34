"""What a report is made of: every damaged file is named, and any word may be a class."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished import CLASSES, TEST, parameters, rows_of, write_all, write_data

from transferlab.evidence.records import Comparison, Line, Numbers
from transferlab.pipeline import files
from transferlab.pipeline.files import read_json
from transferlab.prediction.reading import read_tables
from transferlab.report.opened import (
    Tables,
    read_alike,
    read_defaults,
    read_results,
    read_tables_of,
)
from transferlab.report.results import Alike, Results
from transferlab.report.text import render
from transferlab.report.write import write_report
from transferlab.training.records import Costs

ALIKE = ("id", "other", "split", "other_split", "distance")


def extended(root: Path, classes: list[str] = CLASSES) -> dict[str, Any]:
    """A finished run of the probe with cross-validation and a learning curve; gives parameters."""
    params = parameters(
        "probe",
        learning_curve={"strategies": ["probe"], "fractions": [0.5]},
        cross_validation={"strategies": ["probe"], "repeats": 1, "folds": 2},
    )
    ids, labels = write_data(root, classes)
    parts = [
        {"fraction": 0.5, "images": 122, **row}
        for row in rows_of("probe", (0, 1), labels, ids, classes)
    ]
    files.write_csv(root / "predictions/learning_curve/probe.csv", list(parts[0]), parts)
    folds = rows_of("probe", (2,), labels, ids, classes)
    files.write_csv(root / "predictions/cross_validation/probe.csv", list(folds[0]), folds)
    write_all(root, params, classes)
    return params


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    extended(root)
    row = ("a.png", "b.png", "train", "test", "1")
    files.write_csv(
        root / "data/splits/near_duplicates.csv", ALIKE, [dict(zip(ALIKE, row, strict=True))]
    )
    return root


def results_of(root: Path) -> Results:
    params = parameters(
        "probe",
        learning_curve={"strategies": ["probe"], "fractions": [0.5]},
        cross_validation={"strategies": ["probe"], "repeats": 1, "folds": 2},
    )
    return read_results(root, params, params, None)


def read_text(root: Path) -> None:
    render(results_of(root), [])


def read_figures(root: Path) -> None:
    read_tables_of(root, results_of(root))


def read_compared(root: Path) -> None:
    """What only the comparison reads."""
    folders = ("validation", "tta", "cross_validation")
    for name in folders:
        read_tables(root / f"predictions/{name}", ["probe"], CLASSES)
    read_tables(root / "predictions/controls", ["majority"], CLASSES)
    read_json(root / "runs/probe/costs.json", Costs)


READ: dict[str, tuple[Callable[[Path], None], str]] = {
    "data/processed/classes.json": (read_text, "preprocess"),
    "data/processed/class_counts.csv": (read_text, "preprocess"),
    "data/processed/skipped.csv": (read_text, "preprocess"),
    "data/processed/samples.png": (read_figures, "preprocess"),
    "data/processed/test/manifest.csv": (read_figures, "preprocess"),
    "data/splits/near_duplicates.csv": (read_text, "split"),
    "data/raw/archive.json": (read_text, "download"),
    "data/weights/start.json": (read_text, "weights"),
    "data/weights/file.json": (read_text, "weights"),
    "metrics/summary.json": (read_text, "compare"),
    "metrics/numbers.json": (read_text, "compare"),
    "metrics/comparison.json": (read_text, "compare"),
    "runs/probe/facts.json": (read_text, "train@probe"),
    "runs/probe/history.csv": (read_figures, "train@probe"),
    "runs/probe/costs.json": (read_compared, "train@probe"),
    "predictions/probe.csv": (read_figures, "evaluate@probe"),
    "predictions/pictures/probe.npz": (read_figures, "evaluate@probe"),
    "predictions/validation/probe.csv": (read_compared, "evaluate@probe"),
    "predictions/tta/probe.csv": (read_compared, "evaluate@probe"),
    "predictions/controls/majority.csv": (read_compared, "controls"),
    "predictions/cross_validation/probe.csv": (read_compared, "cross_validate@probe"),
    "predictions/learning_curve/probe.csv": (read_figures, "learning_curve@probe"),
}
"""File -> what reads it, and the stage that writes it. Pixels (images.bin) have their own tests."""

DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda content: None,
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "text": lambda content: b"not what was here\n",
    "zeros": lambda content: bytes(len(content)),
    "other JSON": lambda content: b'{"a": [1]}\n',
}


def test_every_file_of_a_finished_run_is_among_those_that_are_damaged(whole: Path) -> None:
    found = {str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file()}
    for_dvc = {"metrics/headline.json"}
    assert found == {*READ, "data/processed/test/images.bin", "params.yaml", *for_dvc}


def said_of(whole: Path, name: str, content: bytes | None) -> str | None:
    """The error of a run with this content in one file, which is put back."""
    path = whole / name
    good = path.read_bytes()
    try:
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        READ[name][0](whole)
    except ValueError as error:
        return str(error)
    finally:
        path.write_bytes(good)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("name", READ)
def test_a_damaged_file_is_named_in_one_line_with_the_stage_that_writes_it(
    whole: Path, name: str
) -> None:
    good = (whole / name).read_bytes()
    line = rf"{re.escape(name)}: expected [^\n]+, got [^\n]+ Run: dvc repro -f -s {READ[name][1]}"
    if name == "data/processed/test/manifest.csv":
        line += rf"|[^\n]*{re.escape(name)} and images.bin. [^\n]*|[^\n]*expected manifest.csv .*"
    said = {kind: said_of(whole, name, damage(good)) for kind, damage in DAMAGES.items()}
    assert {kind for kind, text in said.items() if not re.fullmatch(line, text or "")} == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", READ)
def test_one_flipped_bit_is_refused_by_name_or_changes_a_value(whole: Path, name: str) -> None:
    """Never a traceback; which values a bit may turn into others, a file alone cannot tell."""
    good = (whole / name).read_bytes()
    for place in (len(good) // 7, len(good) // 3, 2 * len(good) // 3):
        flipped = bytearray(good)
        flipped[place] ^= 1 << place % 7
        said = said_of(whole, name, bytes(flipped))
        assert said is None or re.fullmatch(rf"[^\n]*({re.escape(name)}|Model 'probe')[^\n]*", said)


WORDS = ["NA", "nan", "None", "null", "N/A", "true", "1e3", "01", "1", "-1", "=1+1", "inf"]


@pytest.mark.slow
def test_any_word_is_a_class_in_every_table_figure_and_number(tmp_path: Path) -> None:
    params = extended(tmp_path, WORDS)
    write_report(tmp_path, params, params, None)
    images, reports = len(WORDS) * TEST, tmp_path / "reports"
    curve = files.read_csv(reports / "learning_curve.csv")
    assert [(row["fraction"], float(row["accuracy"])) for row in curve] == [
        ("0.5", 1),
        ("0.5", (images - 1) / images),
        ("1.0", (images - 1) / images),
        ("1.0", (images - 1) / images),
    ]
    numbers = read_json(tmp_path / "metrics/numbers.json", dict[str, Numbers])["probe"]
    assert {name: row["support"] for name, row in numbers["classes"].items()} == dict.fromkeys(
        WORDS, TEST
    )
    summary = read_json(tmp_path / "metrics/summary.json", dict[str, Line])["probe"]
    assert summary["accuracy"] == pytest.approx((images - 1) / images)
    found = read_json(tmp_path / "metrics/comparison.json", Comparison)
    assert found["controls"]["majority"]["accuracy"] == pytest.approx((images - TEST) / images)
    folds = found["cross_validation"]["accuracy"]["probe"]["accuracy"]
    assert folds == pytest.approx((images - 2) / images)
    confusion = files.read_csv(reports / "confusion.csv")
    sheet = {word: f"'{word}" if word[0] in "=-" else word for word in WORDS}
    assert {row["actual"] for row in confusion} == set(sheet.values())
    assert sum(int(row["images"]) for row in confusion) == 2 * images
    text = (reports / "report.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("| NA |")] != []


def test_a_strategy_or_a_phase_may_be_called_nan(tmp_path: Path) -> None:
    """Of a history, only what is a number is made one."""
    write_all(tmp_path, parameters("probe"))
    path = tmp_path / "runs/probe/history.csv"
    text = path.read_text(encoding="utf-8").replace("probe,0,all,", "NA,0,1e3,")
    path.write_text(text, encoding="utf-8")
    history = tables_of(tmp_path).histories["probe"]
    assert history.loc[0, ["strategy", "phase"]].tolist() == ["NA", "1e3"]
    assert np.isnan(history.loc[0, "lr"])  # type: ignore[arg-type]


def tables_of(root: Path) -> Tables:
    params = parameters("probe")
    return read_tables_of(root, read_results(root, params, params, None))


def test_many_pairs_that_look_alike_are_counted_and_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "near_duplicates.csv"
    pairs = (
        {"id": f"{i}.png", "other": f"{i + 1}.png", "split": "train", "distance": 1}
        | {"other_split": "test" if i % 2 else "train"}
        for i in range(1000)
    )
    files.write_csv(path, ALIKE, pairs)
    found = read_alike(path)
    assert (found.images, found.across, found.contrary) == (1000, 500, 0)
    assert [row["id"] for row in found.shown] == [f"{i}.png" for i in range(1, 40, 2)]


def test_the_same_image_under_two_labels_is_called_that(tmp_path: Path, whole: Path) -> None:
    path = tmp_path / "near_duplicates.csv"
    shared = {"split": "train", "other_split": "train", "distance": 0, "label": "ants"}
    pairs = [
        {"id": "a.png", "other": "b.png", "other_label": "ants"} | shared,
        {"id": "c.png", "other": "d.png", "other_label": "bees", "identical": "yes"} | shared,
        {"id": "e.png", "other": "f.png", "other_label": "bees"} | {**shared, "distance": 6},
    ]
    files.write_csv(path, (*ALIKE, "label", "other_label", "identical"), pairs)
    alike = read_alike(path)
    assert alike == Alike(images=3, across=0, contrary=1, resembling=1, shown=alike.shown)
    text = render(Results(**{**vars(results_of(whole)), "alike": alike}), [])
    assert "3 images look like another one (perceptual hashes; the first of each group" in text
    assert "**1 of them has two labels**, one of which must be wrong." in text
    assert "1 of them looks like one of another class: where the two are the same, one" in text
    assert "| c.png | d.png | 0 |" in text and "a.png" not in text


@pytest.mark.parametrize("content", [None, "", "- 1", "strategies: 3", "a: [", "\0"])
def test_recorded_defaults_that_are_damaged_end_no_report(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "defaults.yaml"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert read_defaults(path) == {}
