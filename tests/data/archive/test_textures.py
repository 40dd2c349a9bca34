"""textures.py: the same seed gives the same bytes, and no image depends on which others are
drawn.
"""

import zipfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from transferlab.data.archive import textures
from transferlab.data.chance import named_generator
from transferlab.data.images import load_images
from transferlab.data.ingest.pixels import preprocess
from transferlab.params.dataset import Dataset, Pattern, Textures
from transferlab.pipeline import files
from transferlab.settings import compose

TARGET = ("stripes", "grid", "dots", "noise")


def drawn(path: Path, **changes: Any) -> dict[str, bytes]:
    """The members of an archive drawn with a few changes."""
    values: dict[str, Any] = {
        "classes": TARGET,
        "train_per_class": 2,
        "test_per_class": 1,
        "px": 16,
        "noise": 0.1,
        "plain": False,
    }
    textures.write_archive(Textures(**{**values, "seed": 0, **changes}), path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_archive_holds_class_folders_in_train_and_test(tmp_path: Path) -> None:
    names = [f"test/{name}/000.png" for name in TARGET]
    names += [f"train/{name}/{number}.png" for name in TARGET for number in ("000", "001")]
    assert sorted(drawn(tmp_path / "a.zip")) == sorted(names)


def test_the_same_settings_give_the_same_bytes(tmp_path: Path) -> None:
    drawn(tmp_path / "a.zip")
    drawn(tmp_path / "b.zip")
    assert files.file_hash(tmp_path / "a.zip") == files.file_hash(tmp_path / "b.zip")


def test_more_images_and_classes_leave_the_others_alone(tmp_path: Path) -> None:
    few = drawn(tmp_path / "a.zip")
    many = drawn(
        tmp_path / "b.zip",
        classes=("rings", *reversed(TARGET)),
        train_per_class=3,
        test_per_class=2,
    )
    assert {name: many[name] for name in few} == few and len(many) == 25


def test_every_image_is_another_and_so_with_another_seed(tmp_path: Path) -> None:
    images = [*drawn(tmp_path / "a.zip").values(), *drawn(tmp_path / "b.zip", seed=1).values()]
    assert len(set(images)) == 24


def test_the_archive_can_be_preprocessed(tmp_path: Path) -> None:
    drawn(tmp_path / "a.zip")
    settings: dict[str, Any] = {
        **{
            "name": "textures",
            "url": None,
            "sha1": None,
            "sha256": None,
            "contents_sha256": None,
            "path": None,
        },
        **{
            "path_sha256": None,
            "textures": None,
            "columns": None,
            "images_folder": None,
            "zip_encoding": None,
            "labels": "folders",
            "classes": TARGET,
            "train_folder": "train",
            "validation_folder": None,
            "validation": "use",
            "test_folder": "test",
        },
        **{
            "test_fraction": None,
            "split_seed": 0,
            "imagenet": None,
            "store_px": 16,
            "enlarge": False,
            "on_bad_image": "error",
            "on_duplicate": "error",
        },
        **{
            "max_total_mb": 1,
            "max_file_mb": 1,
            "max_files": 99,
            "max_ratio": 200,
            "max_megapixels": 1,
        },
    }
    preprocess(tmp_path / "a.zip", Dataset(**settings), tmp_path / "out")
    assert len(load_images(tmp_path / "out" / "train", TARGET)) == 8


def test_an_unknown_class_is_refused_by_the_composition_which_lists_the_choices() -> None:
    with pytest.raises(
        ValueError, match=r"dataset\.textures\.classes.*'stripes', 'grid', .*got 'plaid'"
    ):
        compose.compose(["preset=demo", "dataset.textures.classes=[stripes,plaid]"])


def test_choices_are_what_can_be_drawn() -> None:
    assert set(get_args(Pattern)) == set(textures.PATTERNS)


def test_there_are_patterns_for_a_source_task_besides_the_target() -> None:
    assert set(TARGET) < set(textures.PATTERNS) and len(textures.PATTERNS) >= len(TARGET) + 8


@pytest.mark.parametrize("pattern", textures.PATTERNS)
def test_ink_lies_between_0_and_1_and_shows_on_the_image(pattern: str) -> None:
    u, v = np.meshgrid(np.linspace(-2, 2, 40), np.linspace(-2, 2, 40))
    ink = textures.PATTERNS[pattern](u, v, named_generator(0, pattern))
    assert ink.shape == (40, 40) and ink.min() >= 0 and ink.max() <= 1 and ink.std() > 0.1
    image = textures.draw(pattern, 33, 0.0, named_generator(0, pattern))
    assert image.shape == (33, 33, 3) and image.dtype == np.uint8 and image.std() > 5


def test_noise_is_a_share_of_the_full_range() -> None:
    quiet, noisy = (
        textures.draw("stripes", 64, noise, named_generator(3, "same")).astype(float)
        for noise in (0.0, 0.1)
    )
    assert (noisy - quiet).std() == pytest.approx(25.5, rel=0.1)


def test_colour_alone_does_not_tell_the_class() -> None:
    def means(pattern: str) -> float:
        images = [
            textures.draw(pattern, 16, 0.0, named_generator(index, pattern)) for index in range(60)
        ]
        return float(np.mean(images))

    values = [means(pattern) for pattern in TARGET]
    assert max(values) - min(values) < 20


@pytest.mark.parametrize("pattern", TARGET)
def test_plain_ones_are_upright_black_on_white_and_differ_by_seed(pattern: str) -> None:
    seeds = [named_generator(seed, pattern) for seed in range(2)]
    first, second = (textures.draw(pattern, 64, 0.0, seed, plain=True) for seed in seeds)
    assert (first == first[..., :1]).all() and not np.array_equal(first, second)
    assert first.min() < 30 and first.max() > 225
    if pattern == "stripes":
        assert (first == first[:1]).all()
