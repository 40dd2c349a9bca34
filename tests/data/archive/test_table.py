"""A table of images is read by its columns, and what it calls a group is never divided."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from archives import Place, dataset, grain

from transferlab.data.archive import table
from transferlab.data.ingest.pixels import preprocess

AUTO: Mapping[str, Any] = {
    **{name: "auto" for name in ("train_folder", "validation_folder", "test_folder")},
    "test_fraction": 0.3,
}
Rows = list[tuple[str, ...]]


def written(root: Path, rows: Rows, separator: str = ",") -> Path:
    """A table beside the images that its first column names."""
    for number, row in enumerate(rows[1:]):
        file = root / "birds" / row[0]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(grain(number))
    path = root / "birds/table.csv"
    path.write_text("".join(separator.join(row) + "\n" for row in rows), encoding="utf-8-sig")
    return path


def rows(*more: str, count: int = 12) -> Rows:
    """Images of two classes; `{i}` is the number of the image."""
    names = [f"img/{i:02d}.png" for i in range(2 * count)]
    return [
        (name, "wren" if i % 2 else "robin", *(text.format(i=i, pair=i // 4) for text in more))
        for i, name in enumerate(names)
    ]


def run(place: Place, path: Path, columns: table.Columns | None = None, **changes: Any) -> None:
    table.pack_table(path, columns, None, place.archive)
    preprocess(place.archive, dataset(**{**AUTO, **changes}), place.out)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_gives_images_their_classes(place: Place, separator: str) -> None:
    run(place, written(place.root, [("Filename", "Class"), *rows()], separator))
    counts = [{"class": name, "train": "8", "test": "4"} for name in ("robin", "wren")]
    assert place.rows("class_counts.csv") == counts
    assert place.rows("train/manifest.csv")[0]["id"].startswith("img/")


def test_a_parquet_table_is_the_same_table(place: Place) -> None:
    from pyarrow import Table, parquet

    lines = rows()
    written(place.root, [("path", "label"), *lines])
    path = place.root / "birds/table.parquet"
    columns = {"path": [line[0] for line in lines], "label": [line[1] for line in lines]}
    parquet.write_table(Table.from_pydict(columns), path)
    csv = table.read_table(place.root / "birds/table.csv", None, None)
    assert table.read_table(path, None, None) == csv


def test_groups_are_held_out_whole(place: Place) -> None:
    run(place, written(place.root, [("path", "label", "patient"), *rows("p{pair}")]))
    group_of = {row["id"]: row["group"] for row in place.rows("given.csv")}
    train, test = (
        {group_of[row["id"]] for row in place.rows(f"{split}/manifest.csv")}
        for split in ("train", "test")
    )
    assert train and test and not train & test


def test_splits_of_the_table_are_used(place: Place) -> None:
    lines = [(*row, ("Train", "VAL", "test")[i % 3]) for i, row in enumerate(rows())]
    run(place, written(place.root, [("path", "label", "split"), *lines]))
    assert len(place.rows("train/manifest.csv")) == 16
    assert len(place.rows("test/manifest.csv")) == len(place.rows("given.csv")) == 8


def test_columns_that_cannot_be_told_are_listed(place: Place) -> None:
    path = written(place.root, [("picture", "label"), *rows()])
    with pytest.raises(ValueError, match=r"columns\.path=picture; .* columns: picture, label"):
        table.read_table(path, None, None)
    path = written(place.root, [("path", "label", "class"), *rows("x")])
    with pytest.raises(ValueError, match=r"expected one column of .*, found label, class\. Name"):
        table.read_table(path, None, None)
    path = written(place.root, [("path", "label", "label"), *rows("x")])
    with pytest.raises(ValueError, match=r"several columns called 'label': rename all but one"):
        table.read_table(path, None, None)


@pytest.mark.parametrize(("setting", "value"), [("train_folder", "train"), ("labels", "names")])
def test_settings_of_folders_are_refused_beside_a_table(
    place: Place, setting: str, value: str
) -> None:
    path = written(place.root, [("path", "label"), *rows()])
    with pytest.raises(ValueError, match=rf"got dataset\.{setting}={value}, which speaks of folde"):
        run(place, path, **{setting: value})


def test_a_table_of_ids_leaves_the_ending_out_where_one_file_fits(place: Place) -> None:
    path = written(place.root, [("path", "label"), *rows()])
    named = table.read_table(path, None, None)
    path.write_text(path.read_text(encoding="utf-8").replace(".png", ""), encoding="utf-8")
    assert table.read_table(path, None, None) == named
    (path.parent / "img/00.JPG").touch()
    with pytest.raises(ValueError, match="files that are not there: 1: img/00"):
        table.read_table(path, None, None)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"image": [{"bytes": b"x"}], "label": ["a"]}, "in the column 'image': write images"),
        ({"path": ["img/00.png"], "label": [b"a"]}, "got binary in the column 'label'"),
        (
            {"path": ["img/00.png"], "label": [float("nan")]},
            "a path and a label, got lines without",
        ),
    ],
    ids=["images", "bytes", "NaN"],
)
def test_cells_of_a_parquet_table_that_are_no_words_are_refused(
    place: Place, columns: dict[str, list[object]], said: str
) -> None:
    from pyarrow import Table, parquet

    path = written(place.root, [("path", "label"), *rows()]).with_suffix(".parquet")
    parquet.write_table(Table.from_pydict(columns), path)
    with pytest.raises(ValueError, match=said):
        table.read_table(path, None, None)


def test_lines_without_a_cell_are_no_lines_and_a_header_that_is_an_image_is_told(
    place: Place,
) -> None:
    path = written(place.root, [("path", "label"), *rows()])
    text, whole = path.read_text(encoding="utf-8"), table.read_table(path, None, None)
    path.write_text(f"{text},\n , \n", encoding="utf-8")
    assert table.read_table(path, None, None) == whole
    path.write_text(text.split("\n", 1)[1], encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"like an image's: img/00\.png, robin\. Write one above: "
    ):
        table.read_table(path, None, None)


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_table_without_a_training_split_is_refused(place: Place, split: str) -> None:
    path = written(place.root, [("path", "label", "split"), *rows(split)])
    with pytest.raises(ValueError, match=f"expected a split called train, found {split}. Name on"):
        run(place, path)


def test_a_word_that_is_no_split_is_named(place: Place) -> None:
    lines = [(*row, "train" if i % 2 else "holdout") for i, row in enumerate(rows())]
    with pytest.raises(ValueError, match="expected train, val or test as splits, got 'holdout'"):
        run(place, written(place.root, [("path", "label", "split"), *lines]))


def test_a_named_column_that_is_not_there_lists_the_columns(place: Place) -> None:
    path = written(place.root, [("path", "label"), *rows()])
    wrong = {**table.AUTO, "label": "labels"}
    with pytest.raises(
        ValueError, match=r"columns\.label: .*, got 'labels'\. Columns: path, label"
    ):
        table.read_table(path, wrong, None)


def test_files_that_are_not_there_or_twice_are_named(place: Place) -> None:
    path = written(place.root, [("path", "label"), *rows()])
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "img/nowhere.png,wren\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"files that are not there: 1: img/nowhere\.png\. Paths"):
        table.read_table(path, None, None)
    path.write_text(text + "img/00.png,wren\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"files that are listed twice: 1: img/00\.png \(two lab"):
        table.read_table(path, None, None)


def test_a_group_on_both_sides_of_a_split_is_refused(place: Place) -> None:
    lines = [(*row, "train" if i % 2 else "test", "one") for i, row in enumerate(rows())]
    path = written(place.root, [("path", "label", "split", "group"), *lines])
    with pytest.raises(ValueError, match=r"got in more than one: one\."):
        run(place, path)


def test_the_digest_changes_with_images_and_with_what_is_said_of_them(place: Place) -> None:
    path = written(place.root, [("path", "label"), *rows()])
    digests = [table.table_sha256(path, None, None)]
    (path.parent / "img/00.png").write_bytes(grain(99))
    digests.append(table.table_sha256(path, None, None))
    path.write_text(path.read_text().replace("img/00.png,robin", "img/00.png,wren"))
    digests.append(table.table_sha256(path, None, None))
    assert len(set(digests)) == 3
