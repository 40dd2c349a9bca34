"""Names in any script are drawn in letters that fonts have, and never as boxes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from PIL import Image

from transferlab.data import letters
from transferlab.data.ingest import sheet
from transferlab.data.ingest.sheet import Row, write_sheet
from transferlab.report.figures import confusion
from transferlab.report.figures.labels import told_apart
from transferlab.report.figures.sheet import save, shown
from transferlab.report.text import written_otherwise

DOG, CAT, EMOJI = "\u72ac", "\u732b", "\N{DOG FACE}"
ARABIC = "\u0643\u0644\u0628"


@pytest.fixture(autouse=True)
def fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The fonts of a machine besides those of matplotlib: none, unless a test adds some."""
    found: list[str] = []
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: found)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", font_manager.fontManager.ttflist[:])
    for cached in (letters._font_of, letters._others):
        cached.cache_clear()
    yield found
    for cached in (letters._font_of, letters._others):
        cached.cache_clear()


def font(path: Path, signs: str) -> str:
    """A font that shows each sign as a square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 800), (800, 800), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    names = [".notdef", *(f"u{ord(sign):X}" for sign in signs)]
    built = FontBuilder(1000, isTTF=True)
    built.setupGlyphOrder(names)
    built.setupCharacterMap({ord(sign): f"u{ord(sign):X}" for sign in signs})
    built.setupGlyf(dict.fromkeys(names, pen.glyph()))
    built.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    built.setupHorizontalHeader(ascent=800, descent=-200)
    built.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    built.setupOS2()
    built.setupPost()
    built.save(path)
    return str(path)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("robin", "robin"),
        ("V\u00f6gel \u041a\u043e\u0442", "V\u00f6gel \u041a\u043e\u0442"),
        (f"{DOG} 1", "Quan 1"),
        ("\u0915\u0941\u0924\u094d\u0924\u093e", "kutta"),
        (ARABIC, ARABIC),
        ("\N{RIGHT-TO-LEFT OVERRIDE}ab", "ab"),
        ("\ue000", "U+E000"),
        ("a\nb", "aU+000Ab"),
    ],
)
def test_what_no_font_has_stands_in_latin_letters_and_nothing_turns_a_line(
    name: str, read: str
) -> None:
    assert letters.legible(name) == read


def test_letters_of_an_installed_font_are_shown_as_they_are(
    fonts: list[str], tmp_path: Path
) -> None:
    (tmp_path / "damaged.ttf").write_bytes(b"no font")
    fonts += [str(tmp_path / "damaged.ttf"), font(tmp_path / "LastResort.ttf", CAT)]
    fonts += [font(tmp_path / "Han.ttf", DOG)]
    assert letters.legible(f"{DOG}{CAT}") == f"{DOG}Mao"
    assert letters.families(f"a {DOG}") == ["DejaVu Sans", "Han"]
    assert letters.families("robin") == ["DejaVu Sans"]


def row(name: str, count: int = 1) -> Row:
    return Row(name=name, what="image", count=count, pictures=[np.zeros((9, 9, 3), np.uint8)])


def table(names: list[str]) -> pd.DataFrame:
    """Each class is taken for the next."""
    return pd.DataFrame(
        {"seed": 0, "label": names, "predicted": names[1:] + names[:1], "id": range(len(names))}
    )


@pytest.mark.parametrize("installed", [True, False])
def test_names_in_any_script_are_drawn_and_kept_apart_without_a_warning(
    installed: bool, fonts: list[str], tmp_path: Path
) -> None:
    """Matplotlib warns of each letter that it draws as a box, and warnings are errors here."""
    if installed:
        fonts.append(font(tmp_path / "Han.ttf", DOG + CAT + EMOJI))
    names = [DOG, CAT, EMOJI, ARABIC, "\u05db\u05dc\u05d1", "\u0915\u0941", "$x^$"]
    assert len(set(told_apart(names, 9))) == len(names)
    save(confusion.draw({"probe": table(names)}, names), tmp_path / "figure.png")
    write_sheet([row(name) for name in names[:2]], 0, tmp_path / "sheet.png")
    heading = np.asarray(Image.open(tmp_path / "sheet.png"))[:34]
    assert heading.min() < 60


def test_a_name_from_the_right_leaves_the_number_behind_it_where_it_is() -> None:
    left, right = "\u200e", "\u200f"
    assert shown(ARABIC, 9) == f"{left}{ARABIC}{right}{left}"
    assert shown("robin", 9) == "robin"


def test_a_long_name_leaves_room_for_its_count_and_keeps_its_end() -> None:
    assert row("robin", count=2).heading(sheet.SIGNS) == "robin (2 images)"
    found = row(f"{'long ' * 40}name 01").heading(sheet.SIGNS)
    assert found == f"{'long ' * 10}\u2026g long long name 01 (1 image)"


@pytest.mark.parametrize(("sign", "installed"), [("W", False), (DOG, True), (DOG, False)])
def test_wide_letters_are_fewer_so_that_a_heading_ends_on_the_sheet(
    sign: str, installed: bool, fonts: list[str], tmp_path: Path
) -> None:
    if installed:
        fonts.append(font(tmp_path / "Han.ttf", DOG))
    text = sheet._fitting(row(sign * 65), 944)
    assert 800 < sheet._width(text) <= 944
    assert text.endswith(" (1 image)") and "\u2026" in text


def test_the_report_says_which_classes_figures_write_otherwise() -> None:
    assert not list(written_otherwise(["robin", ARABIC]))
    (said,) = written_otherwise(["robin", DOG])
    assert f"all letters of 1 class, which they write otherwise: {DOG} as Quan." in said
