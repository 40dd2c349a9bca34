"""`transferlab export`: a checked file and its card, and nothing where one of them cannot be."""

import shutil
from pathlib import Path

import pytest

from transferlab.commands import export as command
from transferlab.commands import main

pytestmark = pytest.mark.slow


def leave(*arguments: str) -> str | int | None:
    """What a command ends with; None where it ends well."""
    try:
        main.main(["export", "--format", "pt2", *arguments])
    except SystemExit as ended:
        return ended.code
    return None


@pytest.mark.slow
def test_a_file_and_its_card_are_named_by_what_they_are(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leave("--model", "probe") is None
    speed, card = capsys.readouterr().out.splitlines()
    assert speed.startswith("textures-probe.pt2: ")
    assert " MB; the largest difference to torch is " in speed
    assert " on 9 pictures; one picture takes " in speed
    assert card == "textures-probe.md: its card"
    text = (here / "textures-probe.md").read_text()
    assert "takes `pictures` uint8 [B, 32, 32, 3] in RGB and gives `probabilities`" in text
    assert speed.removeprefix("textures-probe.pt2: ") in text
    assert sorted(one.name for one in here.iterdir()) == [
        "photos",
        "textures-probe.md",
        "textures-probe.pt2",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "x.onnx"), "x.onnx: expected a name that ends in .pt2."),
        (("--out", "none/x.pt2"), "none/x.pt2: expected a folder that can be written to"),
        (("--out", "mine.pt2"), "mine.md: expected no file yet, got one. Replace it with --force."),
        (("--model", "probes"), "--model: expected champion, a strategy (probe, finetune, mlp_"),
        (("--images", "mine.md"), "mine.md: is not a JPEG, PNG, "),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    here: Path, arguments: tuple[str, ...], message: str
) -> None:
    (here / "mine.md").write_text("mine")
    ended = leave(*arguments)
    assert isinstance(ended, str)
    assert ended.startswith(f"error: {message}")
    assert sorted(one.name for one in here.iterdir()) == ["mine.md", "photos"]
    assert (here / "mine.md").read_text() == "mine"


def test_pictures_to_check_with_are_asked_for_where_there_are_none(
    here: Path, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(shipped / "champion", bare / "champion")
    monkeypatch.setattr(command, "checkout", lambda: bare)
    assert leave() == (
        "error: export: expected pictures to check with, found no test images here. Name some: "
        "--images photos"
    )
    assert leave("--images", "none.png") == 2
