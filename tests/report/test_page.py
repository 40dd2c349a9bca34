"""Markdown and figures -> one file that needs nothing else."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from transferlab.report import page

TEXT = (
    "# Which, & why?\n\n**Use `a<b`**: see.\n\n| a | b |\n| --- | --: |\n| 1 | 2 "
    "|\n\n![cost](figures/cost.png)\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "figures").mkdir()
    for name in ("cost", "gallery"):
        Image.new("RGB", (30, 20), "red").save(tmp_path / f"figures/{name}.png")
        (tmp_path / f"figures/{name}.svg").write_bytes(b"<svg/>")
    Image.new("RGB", (30, 20), "red").save(tmp_path / "figures/samples.png")
    return tmp_path


def test_page_is_whole_and_carries_the_title(folder: Path) -> None:
    html = page.render(TEXT, folder)
    assert html.startswith("<!doctype html>") and html.endswith("</html>\n")
    assert "<title>Which, &amp; why?</title>" in html
    assert "<code>a&lt;b</code>" in html
    assert html.count("<table>") == html.count('<div class="table">') == 1


def test_charts_are_embedded_as_vectors(folder: Path) -> None:
    html = page.render("# t\n\n![x](figures/cost.png)\n", folder)
    (content,) = re.findall(r'src="data:image/svg\+xml;base64,(.*?)"', html)
    assert base64.b64decode(content) == b"<svg/>"


@pytest.mark.parametrize("name", ["gallery", "samples"])
def test_photographs_are_embedded_as_jpeg_of_the_same_size(folder: Path, name: str) -> None:
    html = page.render(f"# t\n\n![x](figures/{name}.png)\n", folder)
    (content,) = re.findall(r'src="data:image/jpeg;base64,(.*?)"', html)
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert (image.format, image.size) == ("JPEG", (30, 20))


def test_nothing_is_loaded_from_elsewhere(folder: Path) -> None:
    html = page.render(TEXT, folder)
    assert not re.search(r"https?://|url\(|@import|<script|<link", html)


def test_html_in_the_text_stays_text(folder: Path) -> None:
    assert "<script>" not in page.render("# t\n\n<script>alert(1)</script>\n", folder)


def test_a_figure_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(OSError, match=r"missing\.png"):
        page.render("# t\n\n![x](figures/missing.png)\n", folder)


class Loads(HTMLParser):
    """What a page would run or load, and its policy."""

    def __init__(self) -> None:
        super().__init__()
        self.policy: dict[str, list[str]] = {}
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("http-equiv") == "Content-Security-Policy":
            assert self.tags == ["html", "head", "meta"], "a policy holds for what comes after it"
            parts = (part.split() for part in (found["content"] or "").split(";"))
            self.policy = {name: sources for name, *sources in parts}
        self.tags.append(tag)
        self.addresses += [found[name] or "" for name in ("src", "href") if name in found]
        assert not [name for name in found if name.startswith("on")]


def test_a_policy_lets_the_page_show_itself_and_nothing_run_or_load(folder: Path) -> None:
    """All that the page holds is allowed: images in their addresses, and its own styles."""
    page_of = Loads()
    page_of.feed(page.render(f"{TEXT}\n![samples](figures/samples.png)\n", folder))
    assert page_of.policy == {
        "default-src": ["'none'"],
        "img-src": ["data:"],
        "style-src": ["'unsafe-inline'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & set(page_of.tags)
    assert [address.split(":")[0] for address in page_of.addresses] == ["data", "data"]
