"""Markdown and figures -> one file that needs nothing else."""

import base64
import re
from pathlib import Path

import pytest

from transferlab import page

TEXT = "# Which, & why?\n\n**Use `a<b`**: see.\n\n| a | b |\n| --- | --: |\n| 1 | 2 |\n\n![cost](figures/cost.png)\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "figures").mkdir()
    for name in ("cost", "gallery"):
        (tmp_path / f"figures/{name}.png").write_bytes(b"png")
        (tmp_path / f"figures/{name}.svg").write_bytes(b"<svg/>")
    (tmp_path / "figures/samples.png").write_bytes(b"png")
    return tmp_path


def test_page_is_whole_and_carries_the_title(folder: Path) -> None:
    html = page.render(TEXT, folder)
    assert html.startswith("<!doctype html>") and html.endswith("</html>\n")
    assert "<title>Which, &amp; why?</title>" in html
    assert "<code>a&lt;b</code>" in html
    assert html.count("<table>") == html.count('<div class="table">') == 1


@pytest.mark.parametrize(
    ("name", "kind", "content"),
    [("cost", "svg+xml", b"<svg/>"), ("gallery", "png", b"png"), ("samples", "png", b"png")],
)
def test_charts_are_embedded_as_vectors_and_photographs_as_pixels(
    folder: Path, name: str, kind: str, content: bytes
) -> None:
    html = page.render(f"# t\n\n![x](figures/{name}.png)\n", folder)
    (found,) = re.findall(r'src="data:image/(.*?);base64,(.*?)"', html)
    assert (found[0], base64.b64decode(found[1])) == (kind, content)


def test_nothing_is_loaded_from_elsewhere(folder: Path) -> None:
    html = page.render(TEXT, folder)
    assert not re.search(r"https?://|url\(|@import|<script|<link", html)


def test_html_in_the_text_stays_text(folder: Path) -> None:
    assert "<script>" not in page.render("# t\n\n<script>alert(1)</script>\n", folder)


def test_a_figure_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(OSError, match=r"missing\.png"):
        page.render("# t\n\n![x](figures/missing.png)\n", folder)
