"""The card says what the files say, and nothing that they do not."""

from dataclasses import replace
from pathlib import Path

import pytest

from transferlab.delivery.card import card, files_of
from transferlab.delivery.make import model_of
from transferlab.delivery.model import Facts
from transferlab.pipeline.files import read_json, write_csv, write_json

pytestmark = pytest.mark.slow

ALIKE = ("id", "other", "split", "other_split", "distance")


@pytest.fixture
def facts(finished: Path) -> Facts:
    return model_of(finished, "probe", 0.02, 50).facts


def filled(root: Path, weights: str = "official", backbone: str = "resnet18") -> Path:
    """With the files of the stages that a small checkout has not run."""
    digest = "a" * 64
    archive = {"name": "drawn", "origin": "*here*", "sha256": digest, "contents_sha256": digest}
    write_json(root / "data/raw/archive.json", archive)
    path = root / "data/weights/start.json"
    write_json(
        path, read_json(path) | {"weights": weights, "backbone": backbone, "origin": "there"}
    )
    pair = dict(zip(ALIKE, ("a", "b", "train", "test", "2"), strict=True))
    write_csv(root / "data/splits/near_duplicates.csv", ALIKE, [pair])
    return root


def test_the_card_holds_the_numbers_of_this_very_model_and_of_its_strategy(
    root: Path, facts: Facts
) -> None:
    files = files_of(filled(root), facts)
    assert files is not None
    text = card(facts, files, ["About the file."])
    known, line = facts.known, read_json(root / "metrics/summary.json")["probe"]
    assert f"has {known.test_right} of {known.test_images} test images right" in text
    assert "`probe`, mean of 2 trainings with 95 % intervals over images: accuracy " in text
    assert f": accuracy {100 * line['accuracy']:.1f} % (" in text
    for name in facts.classes:
        assert f"\n| {name} | 6 | 3 |" in text
        recall = read_json(root / "metrics/numbers.json")["probe"]["classes"][name]["recall"]
        assert f" | {recall:.3f} | " in text
    assert "1 pair of images look the same, 1 of them with one in training" in text
    assert "About the file." in text
    assert f"| tensors, sha256 | `{facts.tensors_sha256}` |" in text


@pytest.mark.parametrize(
    ("weights", "control", "said"),
    [
        ("none", False, "They saw no photograph."),
        ("source", False, "They saw no photograph."),
        ("official", False, "Whether what they were trained on holds test images is not known"),
        ("official", True, "recognises 98.0 % of the test images"),
    ],
)
def test_contamination_is_said_as_far_as_it_is_known(
    root: Path, facts: Facts, weights: str, control: bool, said: str
) -> None:
    path = root / "metrics/comparison.json"
    controls = {"imagenet_head": {"accuracy": 0.98}} if control else {}
    write_json(path, read_json(path) | {"controls": controls})
    assert said in card(facts, files_of(filled(root, weights), facts), [])


def test_weights_that_come_with_the_package_saw_no_photograph(root: Path, facts: Facts) -> None:
    assert "They saw no photograph." in card(
        facts, files_of(filled(root, backbone="tiny"), facts), []
    )


def test_another_checkouts_model_gets_a_card_of_what_its_file_says(
    root: Path, facts: Facts
) -> None:
    other = replace(facts, key="another training")
    assert files_of(filled(root), other) is None
    text = card(other, None, [])
    assert "Not known here: the files of its training are not at hand." in text
    assert "## Data" not in text
    assert f"has {facts.known.test_right} of 9 test images right" in text


def test_foreign_names_stay_text(facts: Facts) -> None:
    odd = replace(facts, dataset="<b>", title="*x*", classes=("[a](b)", "c|d", "e"))
    text = card(odd, None, [])
    assert not any(sign in text for sign in ("<b>", "*x*", "[a]", "c|d"))
