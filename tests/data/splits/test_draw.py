"""Divisions are drawn each from a chance of its own, and what is off divides nothing."""

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from small import params_of, prepare, split

from transferlab.data.chance import stratified_split
from transferlab.data.divisions import read_divisions
from transferlab.data.images import load_images
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
