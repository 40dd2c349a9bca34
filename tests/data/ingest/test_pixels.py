"""No image is silently lost, and no failed attempt touches what was there."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archives import NOT_USABLE, OUTPUTS, Place, dataset, listing, picture, saved, tree
from PIL import Image

from transferlab.data.images import load_images
from transferlab.data.ingest import pixels
from transferlab.data.ingest.pixels import preprocess
from transferlab.pipeline import files, heartbeat, places

# The images


def test_whoever_waits_is_told_how_many_images_are_decoded_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of files of which each takes a quarter of a second, and so as long as there are any."""
    now, said = [0.0], list[str]()
    beat = heartbeat.Heartbeat("preprocess", said.append, lambda: now[0])
    monkeypatch.setattr(heartbeat._State, "now", beat)

    def decoding() -> Iterator[int]:
        for number in range(120):
            now[0] += 0.25
            beat.look()
            yield number

    paced = pixels._paced(decoding(), lambda: now[0])
    assert list(heartbeat.each(paced, "images decoded", 120)) == list(range(120))
    now[0] += heartbeat.EVERY
    beat.look()
    assert said == [
        "preprocess: 39 of 120 images decoded, 4 a second (10 s)",
        "preprocess: 119 of 120 images decoded, 4 a second (30 s)",
        "preprocess: at work (50 s)",
    ]


def test_what_is_no_photograph_is_left_out_and_listed_with_the_reason(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    gif = saved(Image.new("L", (5, 5)), "GIF")
    others = {
        "train/ants/imageNotFound.gif": gif,
        "train/ants/notes.txt": b"hello",
        "val/bees/renamed.jpg": gif,
    }
    place.run({**tree(), **others, "train/ants/formica.jpeg": picture(70, kind="JPEG")})
    no_image = "left out: is not a JPEG, PNG, WEBP, AVIF, BMP, TIFF or PPM image"
    assert place.skipped() == {
        "train/ants/imageNotFound.gif": f"{no_image} but GIF",
        "train/ants/notes.txt": no_image,
        "val/bees/renamed.jpg": f"{no_image} but GIF",
    }
    assert place.rows("class_counts.csv")[0] == {"class": "ants", "train": "4", "test": "3"}
    assert "Left out 3 files (2 GIF, 1 not an image)." in capsys.readouterr().out


@pytest.mark.parametrize("name", [*NOT_USABLE, "empty"])
def test_a_bad_image_is_named_with_its_reason_and_the_option(place: Place, name: str) -> None:
    content, reason = NOT_USABLE.get(name, (b"", "is empty"))
    members = {**tree(), "train/bees/bad.jpg": content}
    message = place.refused(
        rf"got some that cannot be used: 1\n  train/bees/bad\.jpg: {reason}", members
    )
    assert message.endswith("leave them out: -S dataset.on_bad_image=skip.")
    place.run(on_bad_image="skip")
    assert place.skipped()["train/bees/bad.jpg"].startswith(reason.replace("\\", ""))
    assert place.rows("class_counts.csv")[1] == {"class": "bees", "train": "3", "test": "3"}


def test_of_many_bad_images_ten_are_shown_and_the_rest_counted(place: Place) -> None:
    message = place.refused(
        "cannot be used: 12", {**tree(), **{f"val/ants/bad{i}.png": b"bad" for i in range(12)}}
    )
    assert message.count("val/ants/bad") == 10 and "and 2 more" in message
    listed = re.search(r"and 2 more; all of them are listed in (.*)$", message, re.MULTILINE)
    assert listed
    lines = Path(listed[1]).read_text().splitlines()
    assert [line.partition(":")[0] for line in lines] == sorted(
        f"val/ants/bad{i}.png" for i in range(12)
    )


def test_a_class_without_a_usable_image_is_named_with_the_reasons(place: Place) -> None:
    members = {
        name: content for name, content in tree().items() if not name.startswith("train/bees")
    }
    bad = {"train/bees/a.jpg": b"", "train/bees/b.gif": saved(Image.new("L", (5, 5)), "GIF")}
    message = place.refused(
        "expected at least 2 usable of class 'bees' in train, got 0",
        {**members, **bad},
        on_bad_image="skip",
    )
    assert (
        "files left out: 2\n  train/bees/a.jpg: is empty\n  train/bees/b.gif: left out: is not a "
        "JPEG"
    ) in message


def test_an_empty_class_folder_is_no_missing_class(place: Place) -> None:
    members = {name: content for name, content in tree().items() if not name.startswith("val/bees")}
    place.refused(
        "expected at least 1 usable of class 'bees' in test, got 0",
        {**members, "val/bees/": b""},
    )


def test_one_training_image_is_not_enough(place: Place) -> None:
    members = {
        name: content
        for name, content in tree().items()
        if name not in ("train/ants/1.png", "train/ants/2.png")
    }
    place.refused("expected at least 2 usable of class 'ants' in train, got 1", members)


def test_the_same_image_in_train_and_test_is_refused_unless_allowed(place: Place) -> None:
    members = {**tree(), "val/ants/copy.png": tree()["train/ants/0.png"]}
    message = place.refused(
        r"each image in one part, got the same in test and train:\n  train/ants/0\.png = val/ants/",
        members,
    )
    assert message.endswith("accept it: -S dataset.on_duplicate=allow.")
    place.run(on_duplicate="allow")
    assert len(place.rows("test/manifest.csv")) == 7


def test_an_image_of_the_users_validation_folder_is_not_trained_on_too(place: Place) -> None:
    copies = {f"own/{name}/copy.png": tree()[f"train/{name}/0.png"] for name in ("ants", "bees")}
    given = {"validation_folder": "own"}
    place.refused("got the same in train and validation:\n", {**tree(), **copies}, **given)
    place.run(**given, validation="join")


@pytest.mark.parametrize("copy", ["train/bees/copy.png", "val/bees/copy.png"])
def test_the_same_image_in_two_classes_is_a_contradiction_unless_allowed(
    place: Place, copy: str
) -> None:
    members = {**tree(), copy: tree()["train/ants/0.png"]}
    message = place.refused(rf"got two of the same one:\n  train/ants/0\.png = {copy}\n", members)
    assert message.endswith("or accept it: -S dataset.on_duplicate=allow.")
    place.run(members, on_duplicate="allow")


# All or nothing


def test_a_failed_attempt_keeps_the_earlier_results_and_every_other_file(place: Place) -> None:
    place.out.mkdir()
    (place.out / "notes.txt").write_text("mine")
    (place.out / "train").mkdir()
    (place.out / "train" / "notes.txt").write_text("mine too")
    place.run(tree())
    before = listing(place.out)
    assert sorted(before) == sorted([*OUTPUTS, "notes.txt", "train/notes.txt"])
    with pytest.raises(ValueError, match="cannot be used: 1"):
        place.run({**tree(), "train/ants/bad.jpg": b"bad"})
    assert listing(place.out) == before


@pytest.mark.parametrize("crash", ["_write_tables", "write_samples", "_prepare"])
def test_an_interrupted_attempt_leaves_nothing_and_the_next_one_succeeds(
    place: Place, monkeypatch: pytest.MonkeyPatch, crash: str
) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pixels, crash, interrupt)
        place.run(tree())
    assert os.listdir(place.root) == ["x.zip"]
    place.run(tree())
    assert sorted(listing(place.out)) == OUTPUTS


def test_remains_of_a_killed_attempt_are_cleared_away(place: Place) -> None:
    remains = place.root / ".processed.part" / "train" / "images.bin"
    remains.parent.mkdir(parents=True)
    remains.write_bytes(b"half an image")
    place.run(tree())
    assert sorted(os.listdir(place.root)) == ["processed", "x.zip"]
    assert sorted(listing(place.out)) == OUTPUTS


# The real data


def test_the_ants_and_bees_are_244_and_153_and_the_gif_is_listed(tmp_path: Path) -> None:
    archive = Path(places.mirror() or "") / "hymenoptera_data.zip"
    if not archive.is_file():
        pytest.skip("set TRANSFERLAB_MIRROR to a folder that holds hymenoptera_data.zip")
    limits = {"max_total_mb": 1000, "max_megapixels": 50}
    preprocess(archive, dataset(classes=("ants", "bees"), store_px=32, **limits), tmp_path)
    counts = [list(row.values()) for row in files.read_csv(tmp_path / "class_counts.csv")]
    assert counts == [["ants", "123", "70"], ["bees", "121", "83"]]
    assert [row["id"] for row in files.read_csv(tmp_path / "skipped.csv")] == [
        "train/ants/imageNotFound.gif"
    ]
    assert "train/ants/formica.jpeg" in load_images(tmp_path / "train", ("ants", "bees")).ids
