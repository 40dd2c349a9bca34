"""Folders become classes and splits, or the message shows what was expected."""

import hashlib
from typing import Any

import pytest
from archives import OUTPUTS, Place, grain, listing, picture, tree

from transferlab.data.archive import table
from transferlab.data.images import SPLITS
from transferlab.data.ingest.layout import of_kinds
from transferlab.pipeline import files

TOP_CLASSES: dict[str, Any] = {"train_folder": None, "test_folder": None, "test_fraction": 0.25}


# The layout


def test_the_outputs_are_exactly_the_promised_files(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.run(tree())
    assert sorted(listing(place.out)) == OUTPUTS
    known = {"dataset": "tiny", "classes": ["ants", "bees"], "store_px": 8}
    assert files.read_json(place.out / "classes.json") == known
    assert place.rows("class_counts.csv") == [
        {"class": name, "train": "3", "test": "3"} for name in ("ants", "bees")
    ]
    assert place.rows("skipped.csv") == []
    stored = (place.out / "train/images.bin").read_bytes()
    assert place.rows("train/manifest.csv")[1] == {
        **{
            "id": "train/ants/1.png",
            "split": "train",
            "label": "ants",
            "width": "12",
            "height": "10",
        },
        **{"stored_width": "10", "stored_height": "8", "offset": "240"},
        "sha256": hashlib.sha256(picture(1)).hexdigest(),
        "stored_sha256": hashlib.sha256(stored[240:480]).hexdigest(),
    }
    assert capsys.readouterr().out == "6 training and 6 test images of 2 classes.\n"


def test_the_same_archive_gives_the_same_bytes(place: Place) -> None:
    place.run(tree())
    first = listing(place.out)
    place.run()
    assert listing(place.out) == first


CLUTTER = [
    "__MACOSX/train/ants/._0.png",
    "d/train/.DS_Store",
    "d/train/ants/._a.png",
    "d/val/bees/Thumbs.db",
    "d/@eaDir/a.png",
    "d/train/$RECYCLE.BIN/a.png",
]


def test_a_top_folder_is_taken_off_and_clutter_is_counted(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = {
        "d/train/.ipynb_checkpoints/a.png": picture(90),
        "d/README.txt": b"hello",
        "LICENSE": b"free",
    }
    place.run(
        {f"d/{name}": content for name, content in tree().items()}
        | dict.fromkeys(CLUTTER, b"?")
        | checkpoints
    )
    assert place.rows("train/manifest.csv")[0]["id"] == "train/ants/0.png"
    assert place.skipped() == {
        "LICENSE": "ignored: outside the class folders",
        "README.txt": "ignored: outside the class folders",
        "@eaDir/a.png": "ignored: @eaDir",
        "__MACOSX/train/ants/._0.png": "ignored: __MACOSX",
        "train/$RECYCLE.BIN/a.png": "ignored: $RECYCLE.BIN",
        "train/.DS_Store": "ignored: .DS_Store",
        "train/.ipynb_checkpoints/a.png": "ignored: .ipynb_checkpoints",
        "train/ants/._a.png": "ignored: ._*",
        "val/bees/Thumbs.db": "ignored: Thumbs.db",
    }
    assert (
        "Ignored 9 files (2 outside the class folders, 1 __MACOSX, 1 .DS_Store"
        in capsys.readouterr().out
    )


def test_the_order_of_classes_is_the_configured_one_else_alphabetical(place: Place) -> None:
    place.run(tree(("wasps", "ants", "bees")), classes=("wasps", "ants"))
    assert files.read_json(place.out / "classes.json")["classes"] == ["wasps", "ants"]
    assert place.skipped()["train/bees/0.png"] == "ignored: its folder is not in dataset.classes"
    place.run(tree(("wasps", "ants", "bees")))
    assert files.read_json(place.out / "classes.json")["classes"] == ["ants", "bees", "wasps"]


def test_a_configured_class_that_is_missing_is_named(place: Place) -> None:
    message = (
        r"expected the classes \['ants', 'wasps'\] of dataset\.classes in train, found "
        r"ants, bees\. Missing: wasps"
    )
    place.refused(message, tree(), classes=("ants", "wasps"))


def test_images_in_folders_below_a_class_belong_to_it(place: Place) -> None:
    place.run({**tree(), "train/ants/red/a.png": picture(50)})
    assert [row["label"] for row in place.rows("train/manifest.csv")].count("ants") == 4


def test_different_classes_in_train_and_test_are_refused_and_listed(place: Place) -> None:
    members = {**tree(("ants", "bees", "cats"), ("train",)), **tree(("ants", "cats"), ("val",))}
    place.refused(
        (
            "expected the same classes in test, train, found ants, bees, cats in train and "
            "ants, "
            "cats in"
        ),
        members,
    )


def test_one_class_is_not_enough(place: Place) -> None:
    place.refused(r"expected at least 2 classes, found 1 \(ants\)", tree(("ants",)))
    place.refused(
        r"expected at least 2 classes, found 1 \(ants\)", top_classes("ants"), **TOP_CLASSES
    )


def top_classes(*names: str, count: int = 8) -> dict[str, bytes]:
    return {
        f"{name}/{i:02d}.png": grain(100 * k + i)
        for k, name in enumerate(names)
        for i in range(count)
    }


@pytest.mark.parametrize("top", ["", "flowers/"])
def test_class_folders_at_the_top_are_split_by_the_seed(place: Place, top: str) -> None:
    members = {f"{top}{name}": content for name, content in top_classes("rose", "tulip").items()}
    tested = []
    for seed in (0, 0, 1):
        place.run(members, split_seed=seed, **TOP_CLASSES)
        assert place.rows("class_counts.csv") == [
            {"class": c, "train": "6", "test": "2"} for c in ("rose", "tulip")
        ]
        train, test = (
            {row["id"] for row in place.rows(f"{split}/manifest.csv")} for split in SPLITS
        )
        assert train | test == set(top_classes("rose", "tulip")) and not train & test
        tested.append(test)
    assert tested[0] == tested[1] != tested[2]


def test_an_unreadable_image_moves_no_other_to_the_other_split(place: Place) -> None:
    members = top_classes("rose", "tulip")
    place.run(members, **TOP_CLASSES)
    before = {
        row["id"]: row["split"] for split in SPLITS for row in place.rows(f"{split}/manifest.csv")
    }
    bad = next(name for name, split in before.items() if split == "train")
    place.run({**members, bad: b"broken"}, on_bad_image="skip", **TOP_CLASSES)
    after = {
        row["id"]: row["split"] for split in SPLITS for row in place.rows(f"{split}/manifest.csv")
    }
    assert after == {name: split for name, split in before.items() if name != bad}


def test_too_few_files_to_split_are_refused(place: Place) -> None:
    members = {**top_classes("rose"), **top_classes("tulip", count=2)}
    place.refused(
        r"expected at least 3 files of class 'tulip' \(2 to train, 1 to test\), got 2",
        members,
        **TOP_CLASSES,
    )


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"a.png": picture(), "b.png": picture(1)}, "found the folders: none; files at the top: 2"),
        (
            tree(splits=("training", "testing")),
            "found the folders: testing/ants, testing/bees, training/ants",
        ),
        (
            {f"..{name}/0.png": picture(place) for place, name in enumerate(("ants", "bees"))},
            "found the folders: none; files at the top: 0; left out by their names: ..ants, ..bees",
        ),
        (tree(splits=("train",)), "found the folders: train/ants, train/bees; files at the top: 0"),
        ({"a/b/c/train/ants/x.png": picture()}, "found the folders: a/b/c/train/ants"),
        ({}, "found the folders: none"),
    ],
    ids=["flat", "other names", "hidden", "no test", "too deep", "empty"],
)
def test_a_wrong_layout_shows_what_was_expected_and_what_was_found(
    place: Place, members: dict[str, bytes], found: str
) -> None:
    message = place.refused(
        r"x\.zip: expected\n  train/<class>/<image>\.jpg\n  val/<class>/<image>\.jpg\nfound",
        members,
    )
    assert found in message and "Set dataset.train_folder and dataset.test_folder" in message


def test_images_without_class_folders_are_refused(place: Place) -> None:
    message = place.refused(
        r"x\.zip: expected\n  <class>/<image>\.jpg\nfound", {"a.png": picture()}, **TOP_CLASSES
    )
    assert message.endswith(
        "Put the images of every class into a folder of its own, named like the class."
    )


# Parts


AUTO: dict[str, Any] = {
    **{name: "auto" for name in ("train_folder", "validation_folder", "test_folder")},
    "test_fraction": 0.25,
}


def parts(**classes: tuple[str, ...]) -> dict[str, bytes]:
    """Eight images of each class in each part."""
    names = [
        f"{part}/{name}/{number}.png"
        for part, named in classes.items()
        for name in named
        for number in range(8)
    ]
    return {name: grain(seed) for seed, name in enumerate(names)}


BOTH = ("ants", "bees")


@pytest.mark.parametrize(
    ("train", "test"), [("train", "val"), ("Training", "TEST"), ("TRAIN", "valid")]
)
def test_parts_are_what_they_are_called_in_any_case(
    place: Place, capsys: pytest.CaptureFixture[str], train: str, test: str
) -> None:
    members = parts(**{train: BOTH, test: BOTH})
    place.run({f"my/data/{name}": content for name, content in members.items()}, **AUTO)
    assert {row["id"] for row in place.rows("train/manifest.csv")} == {
        name for name in members if name.startswith(train)
    }
    assert f"{test} is the test part" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("validation", "train", "given"), [("use", 32, 16), ("join", 32, 0), ("ignore", 16, 0)]
)
def test_a_validation_folder_is_used_joined_or_left_out_as_the_user_says(
    place: Place, validation: str, train: int, given: int
) -> None:
    members = parts(train=BOTH, valid=BOTH, test=BOTH)
    place.run(members, **AUTO, validation=validation)
    assert len(place.rows("train/manifest.csv")) == train
    assert len(place.rows("test/manifest.csv")) == 16
    assert {row["id"] for row in place.rows("given.csv")} == {
        name for name in members if name.startswith("valid/") and given
    }
    left_out = {"ignored: dataset.validation=ignore"} if validation == "ignore" else set()
    assert set(place.skipped().values()) == left_out


def test_a_class_called_train_is_a_class(place: Place) -> None:
    place.run(top_classes("bus", "train"), **AUTO)
    assert [row["class"] for row in place.rows("class_counts.csv")] == ["bus", "train"]


@pytest.mark.parametrize(
    ("members", "setting"),
    [
        (
            parts(seg_train=BOTH, seg_test=BOTH),
            "-S dataset.train_folder=seg_train -S dataset.test_folder=seg_test; or",
        ),
        (
            parts(TrainImages=BOTH, TestImages=BOTH),
            "-S dataset.train_folder=TrainImages -S dataset.test_folder=TestImages; or",
        ),
        (parts(trainset=BOTH, testset=BOTH), "-S dataset.test_folder=testset; or"),
        (
            parts(Train=BOTH, VALID=BOTH, **{"test set": BOTH}),
            "folder=VALID -S 'dataset.test_folder=test set'; or",
        ),
        (parts(train=BOTH, test=BOTH, extra=BOTH), "among extra, test, train. Say it"),
        (parts(train=BOTH, training=BOTH, test=BOTH), "among test, train, training. Say it"),
        (parts(val=BOTH, test=BOTH), "-S dataset.train_folder=..."),
        (
            {**parts(train=BOTH), **{f"test/{i}.png": grain(i) for i in range(5)}},
            r"found images directly in test \(5\). If a part has no labels",
        ),
    ],
    ids=[
        "other names",
        "humps",
        "one word",
        "a space",
        "more folders",
        "twice",
        "no train",
        "no labels",
    ],
)
def test_what_looks_like_parts_and_does_not_fit_is_refused_with_the_setting(
    place: Place, members: dict[str, bytes], setting: str
) -> None:
    place.refused(setting, members, **AUTO)


def test_a_part_that_was_packed_into_a_folder_of_its_own_name_is_the_folder(place: Place) -> None:
    place.run(parts(**{"train/train": BOTH, "test/Test": BOTH}), **AUTO)
    assert [list(row.values()) for row in place.rows("class_counts.csv")] == [
        [name, "8", "8"] for name in BOTH
    ]


@pytest.mark.parametrize(("part", "key"), [("val", "validation_folder"), ("test", "test_folder")])
def test_a_part_without_labels_is_left_out_with_the_setting_that_a_refusal_names(
    place: Place, part: str, key: str
) -> None:
    unlabelled = {f"{part}/{i}.png": grain(900 + i) for i in range(5)}
    members = {**parts(train=BOTH), **unlabelled}
    place.refused(rf"no labels, leave it out: -S dataset\.{key}=null", members, **AUTO)
    place.run(members, **{**AUTO, key: None})
    assert place.skipped() == dict.fromkeys(unlabelled, f"ignored: dataset.{key}=null")
    assert len(place.rows("test/manifest.csv")) == 4


def test_folds_and_years_with_the_class_folders_in_each_are_no_classes(place: Place) -> None:
    members = parts(**{f"{year}/{name}": ("a", "b") for year in (2020, 2021) for name in BOTH})
    members = {name.replace("/a/", "/").replace("/b/", "/b"): it for name, it in members.items()}
    place.refused("got 2020, 2021 with the same folders in each: ants, bees. If", members, **AUTO)
    place.run(members, **{**AUTO, "train_folder": None, "test_folder": None})
    assert [row["class"] for row in place.rows("class_counts.csv")] == ["2020", "2021"]


@pytest.mark.parametrize("given", [{}, {"classes": BOTH}])
def test_a_validation_folder_that_lacks_a_class_is_joined_or_refused(
    place: Place, given: dict[str, Any]
) -> None:
    members = parts(train=BOTH, val=("ants",), test=BOTH)
    place.refused("found ants", members, **AUTO, **given)
    place.run(members, **AUTO, **given, validation="join")


def test_a_table_of_ours_that_does_not_fit_the_archive_is_refused(place: Place) -> None:
    members = {
        **top_classes("a", "b"),
        "transferlab-table.csv": b"path,label,split,group\nx.png,a,,\n",
    }
    place.refused(r"expected transferlab-table\.csv to list .*, got 'x\.png'", members, **AUTO)


def test_images_that_most_would_miss_are_refused_and_stray_ones_are_not(place: Place) -> None:
    members = top_classes("ants", "bees", count=20)
    stray = {f"{i}.png": grain(900 + i) for i in range(3)}
    place.refused(
        "found of 43 some in no class folder: the top \\(3\\)", {**members, **stray}, **AUTO
    )
    place.run({**members, "logo.png": grain(900)}, **AUTO)


def test_names_tell_classes_where_the_user_says_so(place: Place) -> None:
    names = [f"{name}.{i}.png" for name in ("cat", "great dane") for i in range(4)]
    flat = {name: grain(seed) for seed, name in enumerate(names)}
    place.refused(
        r"If the names tell the class, here 2: cat \(4\), great dane \(4\), add: "
        r"-S dataset\.labels=names",
        flat,
        **AUTO,
    )
    place.run(flat, **AUTO, labels="names")
    assert [row["class"] for row in place.rows("class_counts.csv")] == ["cat", "great dane"]


def test_classes_that_differ_in_case_alone_are_refused(place: Place) -> None:
    names = [f"{name}/{name}{i}.png" for name in ("Cat", "cat ", "dog") for i in range(4)]
    members = {name: grain(seed) for seed, name in enumerate(names)}
    place.refused(
        "got 'Cat' and 'cat ', which differ in case, spaces or zeros alone", members, **AUTO
    )


@pytest.mark.parametrize("two", [("01", "1"), ("1", "1.0"), (" ", "1")])
def test_numbers_that_differ_in_zeros_alone_and_blank_names_are_refused(
    place: Place, two: tuple[str, str]
) -> None:
    place.refused("which differ in .* zeros|with names, got ' '", top_classes(*two), **AUTO)
    place.run(top_classes("1.1", "1.10"), **AUTO)


@pytest.mark.parametrize(
    "setting", [{"images_folder": "img"}, {"columns": {**table.AUTO, "group": "patient"}}]
)
def test_settings_of_a_table_are_refused_where_there_is_none(
    place: Place, setting: dict[str, Any]
) -> None:
    place.refused("expected a table with dataset.*, got folders", parts(train=BOTH), **setting)


def test_what_looks_the_same_is_held_out_together(place: Place) -> None:
    members = top_classes("rose", "tulip", count=12)
    copies = {f"{name[:-4]}_copy.png": content for name, content in members.items()}
    place.run({**members, **copies}, **TOP_CLASSES)
    tested = {row["id"] for row in place.rows("test/manifest.csv")}
    assert len(tested) == 12
    assert {name.replace("_copy", "") for name in tested} <= tested


def test_a_class_that_looks_all_the_same_is_divided_and_said(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    same = {f"same/{i}.png": grain(999) for i in range(6)}
    place.run({**top_classes("rose"), **same}, **TOP_CLASSES, on_duplicate="allow")
    assert "'same': too few images look different, so some that look the same had" in caplog.text


def test_kinds_of_files_are_counted_in_words() -> None:
    kinds = {"bad image": 4, "GIF": 2, "not an image": 3}
    assert of_kinds(kinds) == "4 bad images, 2 GIF, 3 not an image"
    assert of_kinds({"bad image": 1}) == "1 bad image"
