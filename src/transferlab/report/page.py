"""Markdown and figures -> one HTML file that needs nothing else, no network and no other file."""

import base64
import html
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image

# as JPEG: a fifth of a PNG's size, and mail takes the page
PHOTOS = ("predicted", "gallery", "labels", "attributions", "views", "samples")

QUALITY = 82

# Names in the page are foreign text: whatever slips through runs nothing and loads nothing.
# Styles stand in the page itself, those of table cells in attributes.
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)

STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ddd; --soft: #f5f5f5;
  --link: #0072b2 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ddd; --paper: #16181c; --line: #3a3d44; --soft: #22252b; --link: #56b4e9 }
}
body { margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 62rem; color: var(--ink);
  background: var(--paper); font: 16px/1.55 system-ui, sans-serif }
h1, h2, h3 { line-height: 1.25 }
h2 { margin-top: 2.5rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line) }
h1 + p { font-size: 1.15rem }
a { color: var(--link) }
code, pre { font: .875em/1.5 ui-monospace, monospace; background: var(--soft); border-radius: 4px }
code { padding: .1em .3em; overflow-wrap: anywhere }
th code, td code { overflow-wrap: normal } /* a name in a table stays whole; the table scrolls */
pre { padding: .8rem; overflow-x: auto }
.table { overflow-x: auto }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top }
td[style*="right"] { white-space: nowrap }
strong code { font-weight: 700 }
img { display: block; max-width: 100%; margin: 1.5rem 0 .5rem; background: #fff;
  border-radius: 6px }
"""


def render(text: str, folder: Path) -> str:
    """The page.

    Args:
        text: Markdown whose images are PNG files below `folder`; where there is an SVG of the same
            name, it is taken.
        folder: Where the images are looked up.

    Raises:
        OSError: An image is not there.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("table_open", _opened)
    parser.add_render_rule("table_close", _closed)
    tokens = parser.parse(text)
    for image in (
        child for token in tokens for child in token.children or [] if child.type == "image"
    ):
        image.attrSet("src", _inlined(folder / str(image.attrGet("src"))))
    title = re.sub(r"[`#]", "", text.split("\n", 1)[0]).strip()
    body = parser.renderer.render(tokens, parser.options, {})
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(html.unescape(title))}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}</body>\n</html>\n"
    )


def _inlined(path: Path) -> str:
    """A picture as an address that holds it."""
    vector = path.with_suffix(".svg")
    if path.stem not in PHOTOS and vector.is_file():
        return f"data:image/svg+xml;base64,{base64.b64encode(vector.read_bytes()).decode()}"
    if path.stem not in PHOTOS:
        return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    content = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(content, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def _opened(self: Any, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
    return '<div class="table">\n<table>\n'


def _closed(self: Any, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
    return "</table>\n</div>\n"
