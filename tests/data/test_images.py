"""What is read back is what was stored."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from archives import Place, decoded, picture, tree
from PIL import Image

from transferlab.data.images import load_images


def test_stored_pixels_are_those_that_decode_gives_for_the_same_file(train: Path) -> None:
    images = load_images(train, ("ants", "bees"))
    assert len(images) == 8 and images.labels.tolist() == [0] * 3 + [1] * 5
    assert images.ids[-2:] == ("train/bees/tall.png", "train/bees/x.jpg")
    assert images[6].shape == (29, 8, 3)
    with zipfile.ZipFile(train.parents[1] / "x.zip") as archive:
        for index, name in enumerate(images.ids):
            assert np.array_equal(images[index], decoded(archive.read(name), shorter_px=8)), name


def test_images_are_read_only_views_of_the_file(train: Path) -> None:
    images = load_images(train, ("ants", "bees"))
    assert np.shares_memory(images[0], images.pixels) and not images[0].flags.writeable


def test_labels_count_in_the_order_of_the_given_classes(train: Path) -> None:
    assert load_images(train, ("bees", "wasps", "ants")).labels.tolist() == [2] * 3 + [0] * 5


def test_the_digest_names_the_data(place: Place, train: Path) -> None:
    digests = [load_images(train, ("ants", "bees")).digest]
    place.run()
    digests.append(load_images(train, ("ants", "bees")).digest)
    place.run(store_px=9)
    digests.append(load_images(train, ("ants", "bees")).digest)
    place.run({**tree(), "train/ants/0.png": picture(80)})
    digests.append(load_images(train, ("ants", "bees")).digest)
    assert digests[0] == digests[1] and len(set(digests)) == 3


def test_an_unknown_label_stops_with_the_known_ones(train: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"manifest\.csv: expected a label among 'ants, wasps', got 'bees' \(train/",
    ):
        load_images(train, ("ants", "wasps"))


@pytest.mark.parametrize("size", [0, 100])
def test_pixels_that_do_not_belong_to_the_manifest_are_refused(train: Path, size: int) -> None:
    with (train / "images.bin").open("r+b") as file:
        file.truncate(size)
    with pytest.raises(
        ValueError,
        match=rf"images\.bin: expected \d+ bytes, got {size}\. .* dvc repro -f preprocess",
    ):
        load_images(train, ("ants", "bees"))


def test_a_folder_without_a_manifest_names_the_stage_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"manifest\.csv and images\.bin, found nothing\. Run: dvc repro preprocess",
    ):
        load_images(tmp_path, ("ants", "bees"))


@pytest.mark.parametrize(
    ("classes", "height"), [(2, 2 * 194 + 8), (5, 5 * 194 + 8), (7, 5 * 194 + 8 + 34)]
)
def test_the_sample_sheet_shows_up_to_five_classes(place: Place, classes: int, height: int) -> None:
    place.run(tree(tuple(f"class {number}" for number in range(classes))))
    with Image.open(place.out / "samples.png") as sheet:
        assert sheet.size == (968, height)


@pytest.mark.parametrize("at", [0, -1], ids=["first byte", "last byte"])
def test_one_damaged_byte_of_an_image_is_named_when_it_is_used(train: Path, at: int) -> None:
    content = bytearray((train / "images.bin").read_bytes())
    content[at] ^= 1
    (train / "images.bin").write_bytes(content)
    images = load_images(train, ("ants", "bees"))
    hurt = len(images) - 1 if at else 0
    for index in {*range(len(images))} - {hurt}:
        assert images[index].any()
    for use in (lambda: images[hurt], images.verify):
        with pytest.raises(
            ValueError,
            match=rf"^{images.ids[hurt]}: expected the pixels that preprocess stored, got others\. "
            r".*images\.bin is damaged, .* Run: find \.dvc/cache .*; dvc repro -f preprocess$",
        ):
            use()


def test_an_image_is_compared_once(train: Path) -> None:
    images = load_images(train, ("ants", "bees"))
    images.verify()
    assert not images.unseen


def test_a_manifest_of_an_earlier_version_is_refused(train: Path) -> None:
    text = (train / "manifest.csv").read_text().replace("stored_sha256", "stored")
    (train / "manifest.csv").write_text(text)
    with pytest.raises(ValueError, match=r"manifest\.csv: expected a column stored_sha256"):
        load_images(train, ("ants", "bees"))
