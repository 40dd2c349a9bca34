"""Divisions are drawn each from a chance of its own, and what is off divides nothing."""

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import params_of, prepare, split

from transferlab.data.chance import stratified_split
from transferlab.data.divisions import read_divisions
from transferlab.data.images import Images, load_images
from transferlab.data.splits import draw
from transferlab.data.splits.enough import FIT
from transferlab.params.whole import Params

NAMES = ("near_duplicates", "validation", "folds", "parts")


@cache
def small_params() -> Params:
    return params_of(
        "seeds=[3,0]",
        "dataset.textures.train_per_class=8",
        "cross_validation.repeats=2",
        "cross_validation.folds=2",
        "learning_curve.fractions=[0.5,0.75]",
    )


def with_protocols(params: Params, **changes: dict[str, Any]) -> Params:
    """The parameters with changed sections."""
    sections = {name: replace(getattr(params, name), **new) for name, new in changes.items()}
    return replace(params, **sections)


ON: dict[str, Any] = {"strategies": ("probe",)}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("prepared"), small_params())


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared / "data/processed", tmp_path / "data/processed")
    return tmp_path


def drawn(root: Path, params: Params) -> dict[str, bytes]:
    split(root, params)
    assert {path.stem for path in (root / "data/splits").iterdir()} == set(NAMES)
    return {name: (root / f"data/splits/{name}.csv").read_bytes() for name in NAMES}


@pytest.mark.slow
def test_each_seed_sets_aside_its_stratified_share_of_the_training_images(root: Path) -> None:
    split(root, small_params())
    images = load_images(root / "data/processed/train", ["stripes", "dots"])
    divisions = read_divisions(root / "data/splits/validation.csv", images.ids)
    assert list(divisions) == ["seed=3", "seed=0"]
    fraction = small_params().train.validation_fraction
    for seed in (3, 0):
        fit, validation = stratified_split(images.labels, fraction, seed, "validation")
        assert divisions[f"seed={seed}"].fit.tolist() == fit.tolist()
        assert divisions[f"seed={seed}"].validation.tolist() == validation.tolist()
        assert not len(divisions[f"seed={seed}"].asked)


REFUSED = {
    "two images": (
        2,
        {},
        r"^training images: .* 'stripes' to fit .*, got 1 and 1\.",
    ),
    "much set aside": (
        6,
        {"train": {"validation_fraction": 0.9}},
        r"^training images: .* got 1 and 5\. .* lower train\.validation_fraction\.$",
    ),
    "a small part": (
        8,
        {"learning_curve": {**ON, "fractions": (0.1,)}},
        r"^learning_curve\.fractions=0\.1: expected 2 images .* got 1 and 0\. Take larger",
    ),
    "many folds": (
        3,
        {"cross_validation": {**ON, "folds": 9}},
        r"^cross_validation\.folds=9: expected at least 9 images of class '\w+' .* Use fewer folds",
    ),
    "inner folds": (
        3,
        {"cross_validation": {**ON, "folds": 2}},
        r"^cross_validation: 5 parts outside .* train\.validation_fraction=0\.2 .* Raise train",
    ),
    "nothing to fit in a fold": (
        3,
        {"cross_validation": {**ON, "folds": 3}, "train": {"validation_fraction": 0.4}},
        r"^cross_validation\.folds=3, repeat=0 fold=0: expected 2 images .* to fit, got 1\.",
    ),
}


def few(images: Images, count: int) -> Images:
    """The first so many images of every class."""
    rows = np.concatenate(
        [np.flatnonzero(images.labels == label)[:count] for label in range(len(images.classes))]
    )
    return replace(images, ids=[images.ids[row] for row in rows], labels=images.labels[rows])


def alone(images: Images, groups: np.ndarray | None = None) -> draw.Bonds:
    """Every image for itself, but for these groups."""
    rows = np.arange(len(images.ids))
    together = rows if groups is None else groups
    return draw.Bonds(together=together, given=together, validation=rows < 0)


def test_no_division_parts_a_group(root: Path) -> None:
    params = with_protocols(small_params(), cross_validation=ON, learning_curve=ON)
    train = load_images(root / "data/processed/train", ["stripes", "dots"])
    groups, out = np.arange(len(train)) // 2, root / "out.csv"
    bonds, parts = alone(train, groups), params.learning_curve
    divisions = []
    draw.write_validation(out, train, bonds, range(5), 0.2)
    divisions += read_divisions(out, train.ids).values()
    draw.write_folds(out, [train], bonds, params.cross_validation, 0.4)
    divisions += read_divisions(out, train.ids).values()
    draw.write_parts(out, train, bonds, parts, seeds=range(5), fraction=0.2)
    divisions += read_divisions(out, train.ids).values()
    assert len(divisions) == 5 + 4 + 10
    for division in divisions:
        sides = [set(groups[rows]) for rows in (division.fit, division.validation, division.asked)]
        assert sum(map(len, sides)) == len(set.union(*sides)) and sides[0] and sides[1]


def test_a_class_of_one_group_is_refused_by_its_name(root: Path) -> None:
    train = load_images(root / "data/processed/train", ["stripes", "dots"])
    groups = np.where(train.labels == 1, -1, np.arange(len(train)))
    with pytest.raises(ValueError, match="two groups of class 'dots', got 8 images of one"):
        draw.write_validation(root / "out.csv", train, alone(train, groups), [0], 0.2)


def test_the_users_validation_images_are_those_of_every_seed_and_copies_are_counted(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train = load_images(root / "data/processed/train", ["stripes", "dots"])
    own, pairs = np.arange(len(train)) % 4 == 0, np.arange(len(train)) // 2
    bonds = replace(alone(train, pairs), validation=own)
    draw.write_validation(root / "out.csv", train, bonds, [0, 1], 0.2)
    assert f"that look like training images: {own.sum()}." in caplog.text
    for division in read_divisions(root / "out.csv", train.ids).values():
        assert division.validation.tolist() == np.flatnonzero(own).tolist()
        assert division.fit.tolist() == np.flatnonzero(~own).tolist()


@pytest.mark.parametrize("case", REFUSED)
def test_too_few_of_a_class_is_refused_with_class_count_and_setting(root: Path, case: str) -> None:
    count, changes, message = REFUSED[case]
    params = with_protocols(small_params(), **changes)
    train = few(load_images(root / "data/processed/train", ["stripes", "dots"]), count)
    fraction = params.train.validation_fraction
    out = root / "out.csv"
    with pytest.raises(ValueError, match=message):
        draw.write_validation(out, train, alone(train), [0], fraction)
        draw.write_folds(out, [train], alone(train), params.cross_validation, fraction)
        parts = params.learning_curve
        draw.write_parts(out, train, alone(train), parts, seeds=[0], fraction=fraction)


def test_few_images_are_drawn_by_the_seed_and_more_of_them_hold_all_of_fewer(root: Path) -> None:
    train = load_images(root / "data/processed/train", ["stripes", "dots"])
    seen = {}
    for count in (3, 5):
        draw.write_validation(root / "out.csv", train, alone(train), [0, 1], 0.2, per_class=count)
        for seed, division in read_divisions(root / "out.csv", train.ids).items():
            rows = np.sort(np.concatenate(division.training))
            assert np.bincount(train.labels[rows]).tolist() == [count, count]
            assert np.bincount(train.labels[division.validation]).tolist() == [1, 1]
            seen[seed, count] = set(rows.tolist())
    assert seen["seed=0", 3] < seen["seed=0", 5] != seen["seed=1", 5]


@pytest.mark.parametrize(
    "count, fraction, message",
    [
        (9, 0.2, "images_per_class=9: expected so many training images of class 'stripes', got 8"),
        (2, 0.2, "images_per_class=2: expected 2 images .* 1 to validate on, got 1 and 1. Take"),
        (1, 0, "images_per_class=1: expected 2 images .* none to validate on, got 1 and 0. Take"),
    ],
)
def test_too_few_for_a_few_are_refused_with_class_and_count(
    count: int, fraction: float, message: str, root: Path
) -> None:
    train = load_images(root / "data/processed/train", ["stripes", "dots"])
    with pytest.raises(ValueError, match=message):
        draw.write_validation(root / "out.csv", train, alone(train), [0], fraction, per_class=count)


def test_with_nothing_set_aside_every_image_is_fitted_in_every_kind_of_division(root: Path) -> None:
    params = with_protocols(small_params(), cross_validation=ON, learning_curve=ON)
    train, out = load_images(root / "data/processed/train", ["stripes", "dots"]), root / "out.csv"
    draw.write_validation(out, train, alone(train), [0], 0)
    draw.write_folds(root / "folds.csv", [train], alone(train), params.cross_validation, 0)
    draw.write_parts(
        root / "parts.csv", train, alone(train), params.learning_curve, seeds=[0], fraction=0
    )
    (whole,) = read_divisions(out, train.ids).values()
    assert whole.fit.tolist() == list(range(len(train)))
    for name in ("folds", "parts"):
        for division in read_divisions(root / f"{name}.csv", train.ids).values():
            assert len(division.fit) and not len(division.validation)


def test_validation_images_of_ones_own_are_refused_where_none_are_wanted(root: Path) -> None:
    train = load_images(root / "data/processed/train", ["stripes", "dots"])
    bonds = replace(alone(train), validation=np.arange(len(train)) % 4 == 0)
    said = r"expected no validation images, got 4 of your own.*validation=join.*validation=ignore"
    with pytest.raises(ValueError, match=said):
        draw.write_validation(root / "out.csv", train, bonds, [0], 0)


def test_three_images_of_every_class_are_enough_to_train_by_default(root: Path) -> None:
    train = few(load_images(root / "data/processed/train", ["stripes", "dots"]), 3)
    draw.write_validation(root / "out.csv", train, alone(train), [0], 0.2)
    (division,) = read_divisions(root / "out.csv", train.ids).values()
    assert np.bincount(train.labels[division.fit]).tolist() == [FIT, FIT]


def test_protocols_that_are_off_list_the_images_and_divide_nothing(root: Path) -> None:
    tables = drawn(root, small_params())
    for name, images in (("folds", 22), ("parts", 16)):
        header, *lines = tables[name].decode().splitlines()
        assert (header, len(lines)) == ("id,label", images)


@pytest.mark.parametrize(
    "changes, moved",
    [
        ({"cross_validation": ON}, {"folds"}),
        ({"cross_validation": ON | {"folds": 4}}, {"folds"}),
        ({"learning_curve": ON}, {"parts"}),
        ({"train": {"validation_fraction": 0.4}}, {"validation"}),
        ({"train": {"batch_size": 3}}, set()),
    ],
    ids=["folds on", "other folds", "parts on", "another share", "what no division reads"],
)
def test_a_setting_moves_no_division_but_its_own(
    changes: dict[str, Any], moved: set[str], root: Path
) -> None:
    before = drawn(root, small_params())
    after = drawn(root, with_protocols(small_params(), **changes))
    assert {name for name in NAMES if before[name] != after[name]} == moved


def test_drawing_twice_gives_the_same_bytes(root: Path) -> None:
    params = with_protocols(small_params(), cross_validation=ON, learning_curve=ON)
    assert drawn(root, params) == drawn(root, params)
