"""`transferlab predict`: every photograph gets a line, and nothing of the user's is lost."""

import csv
import io
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from transferlab.commands import main
from transferlab.delivery import predictor
from transferlab.delivery.make import in_words
from transferlab.delivery.model import read

pytestmark = pytest.mark.slow

CLASSES = ["stripes", "dots", "noise"]


def leave(*arguments: str) -> str | int | None:
    """What a command ends with; None where it ends well."""
    try:
        main.main(["predict", *arguments])
    except SystemExit as ended:
        return ended.code
    return None


def names(text: str) -> list[str]:
    """The names of the lines of answers."""
    return [line.split()[-1] for line in text.splitlines()]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_files_folders_patterns_and_a_list_are_meant_each_once(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    every = ["photos/a.png", "photos/b.png", "photos/inner/c.png"]
    for words, expected in (
        (["photos"], every),
        (["photos/b.png", "photos"], [every[1], every[0], every[2]]),
        (["photos/*.png"], every[:2]),
        (["photos/**/*.png"], every),
        (["-"], [every[2], every[0]]),
    ):
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{every[2]}\r\n\n{every[0]}\n"))
        assert leave(*words) is None
        assert names(capsys.readouterr().out) == expected


def test_a_file_named_like_a_pattern_is_that_file(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "photos/a.png").rename(here / "photos/a[1].png")
    assert leave("photos/a[1].png") is None
    assert names(capsys.readouterr().out) == ["photos/a[1].png"]


def test_a_folder_gives_its_images_and_not_its_other_files(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "photos/notes.txt").write_text("no image")
    (here / "photos/.hidden.png").write_bytes(b"")
    (here / "photos/.cache").mkdir()
    (here / "photos/.cache/d.png").write_bytes(b"")
    assert leave("photos") is None
    assert names(capsys.readouterr().out) == [
        "photos/a.png",
        "photos/b.png",
        "photos/inner/c.png",
    ]


@pytest.mark.parametrize("word", ["x/*.png", "x", "photos/none.png", "empty"])
def test_a_word_that_names_no_image_ends_in_2_before_anything_is_answered(
    here: Path, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    (here / "empty").mkdir()
    assert leave("photos", word) == 2
    expected = "expected an image, or a folder or pattern of some, found none. Check the path."
    assert capsys.readouterr() == ("", f"error: {word!r}: {expected}\n")


def test_a_list_without_a_name_ends_in_2(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert leave("-") == 2
    said = "error: stdin: expected a list of images, got no line. Name one in each.\n"
    assert capsys.readouterr().err == said


def test_what_cannot_be_used_is_said_one_by_one_and_the_rest_is_answered(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = (here / "photos/a.png").read_bytes()
    (here / "photos/b.png").write_bytes(good[: len(good) // 2])
    monkeypatch.setattr(sys, "stdin", io.StringIO("photos\nnone.png\n"))
    assert leave("-", "--csv", "out.csv") == 1
    out, err = capsys.readouterr()
    assert names(out) == ["photos/a.png", "photos/inner/c.png"]
    lines = err.splitlines()
    assert lines[1].startswith("photos/b.png: does not decode (")
    assert lines[2] == "none.png: is no file."
    assert lines[3].startswith("2 of 4 pictures answered, ")
    assert lines[3].endswith(" of them unsure; 2 could not be used")
    rows = table(here / "out.csv")
    assert [row["path"] for row in rows] == [
        *names(out)[:1],
        "photos/b.png",
        *names(out)[1:],
        "none.png",
    ]
    assert [bool(row["error"]) for row in rows] == [False, True, False, True]
    assert [bool(row["predicted"]) for row in rows] == [True, False, True, False]


def test_a_line_says_class_probability_doubt_and_the_next_classes(
    here: Path, shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leave("photos/a.png", "--top", "0") == "error: --top: expected 1 or more classes, got 0."
    assert leave("photos/a.png", "--top", "3", "--csv", "out.csv") is None
    out, err = capsys.readouterr()
    facts = read(shipped / "champion/model.safetensors").facts
    assert err.splitlines()[0] == in_words(facts)
    assert err.splitlines()[-1].startswith("1 of 1 picture answered, ")
    (row,) = table(here / "out.csv")
    chances = {name: float(row[f"p_{name}"]) for name in CLASSES}
    first, *others = sorted(chances, key=lambda name: -chances[name])
    mark = "unsure" if row["unsure"] == "1" else "      "
    rest = ", ".join(f"{name} {100 * chances[name]:5.1f} %" for name in others)
    assert out == (
        f"{first.ljust(7)} {100 * chances[first]:5.1f} %  {mark}  photos/a.png  ({rest})\n"
    )
    assert (row["predicted"], float(row["probability"])) == (first, chances[first])
    assert (row["unsure"] == "0") == (chances[first] >= (facts.unsure.threshold or 2))


def test_a_strategy_and_a_file_can_be_asked_too(
    here: Path, shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leave("photos", "--model", "mlp_head") is None
    assert capsys.readouterr().err.startswith("mlp_head, seed ")
    assert leave("photos") is None
    champion = capsys.readouterr()
    assert leave("photos", "--model", str(shipped / "champion/model.safetensors")) is None
    assert capsys.readouterr() == champion


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "probes",
            "--model: expected champion, a strategy (probe, finetune, mlp_head), a file",
        ),
        ("photos/a.png", "photos/a.png: expected a model.safetensors that the stage champion"),
        ("photos", "photos: expected a model.safetensors that the stage champion wrote, got no"),
    ],
)
def test_what_is_no_model_is_refused(here: Path, word: str, message: str) -> None:
    ended = leave("photos", "--model", word)
    assert isinstance(ended, str)
    assert ended.startswith(f"error: {message}")


def test_without_a_champion_the_way_to_one_is_said(
    here: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "checkout", lambda: finished)
    ended = leave("photos")
    assert ended == (
        f"error: {finished}/champion: expected a model, found none. Run: dvc repro champion"
    )


@pytest.mark.parametrize("option", ["--csv", "--figure"])
def test_a_file_of_the_users_is_replaced_only_by_force(
    here: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = here / "mine.png"
    path.write_text("mine")
    path.chmod(0o444)
    ended = leave("photos", option, "mine.png")
    assert ended == "error: mine.png: expected no file yet, got one. Replace it with --force."
    assert path.read_text() == "mine"
    assert capsys.readouterr().out == ""
    assert leave("photos", option, "mine.png", "--force") is None
    assert path.read_bytes() != b"mine"
    assert sorted(one.name for one in here.iterdir()) == ["mine.png", "photos"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none/out.csv", "none/out.csv: expected a folder that can be written to, got 'none'."),
        ("photos", "photos: expected the name of a file, got a folder."),
        ("photos/a.png", "photos/a.png: expected another file, got one of the pictures."),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_runs(
    here: Path, path: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leave("photos", "--csv", path, "--force") == f"error: {message}"
    assert capsys.readouterr().out == ""


def test_a_figure_of_another_kind_is_refused(here: Path) -> None:
    assert leave("photos", "--figure", "out.gif") == (
        "error: out.gif: expected a name that ends in .png, .jpg, .jpeg, .pdf, .svg, .webp."
    )


def test_a_table_and_a_figure_in_one_file_are_refused(here: Path) -> None:
    assert leave("photos", "--figure", "out.png", "--csv", "./out.png") == (
        "error: --csv: expected another file than --figure, got out.png for both."
    )
    assert [one.name for one in here.iterdir()] == ["photos"]


@pytest.mark.parametrize("name", ["out.png", "out.JPG", "out.pdf"])
def test_a_figure_shows_the_pictures(here: Path, name: str) -> None:
    assert leave("photos", "--figure", name) is None
    if name == "out.pdf":
        assert (here / name).read_bytes().startswith(b"%PDF")
        return
    with Image.open(here / name) as image:
        assert image.width == 1032  # 8.6 inches
        assert len(image.convert("RGB").getcolors(2**24) or ()) > 100


def test_names_of_others_are_no_formulas_and_move_no_cursor(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(here / "photos/a.png", here / "=cmd().png")
    shutil.copyfile(here / "photos/a.png", here / "\x1b[31m\udce9.png")
    assert (
        leave("=cmd().png", "\x1b[31m\udce9.png", "--csv", "out.csv", "--figure", "out.png") is None
    )
    assert "\x1b" not in (out := capsys.readouterr().out)
    assert r"\x1b[31m\udce9.png" in out
    assert [row["path"] for row in table(here / "out.csv")] == [
        "'=cmd().png",
        "\x1b[31m\\udce9.png",
    ]
