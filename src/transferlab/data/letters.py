"""Foreign names in letters that the fonts of this machine have, whatever their script."""

import functools
import unicodedata
from typing import Any

STANDARD = "DejaVu Sans"
"""Comes with matplotlib: what it has letters for looks the same on every machine."""

LEFT, RIGHT = "\N{LEFT-TO-RIGHT MARK}", "\N{RIGHT-TO-LEFT MARK}"

UNSEEN = ("\N{ZERO WIDTH NON-JOINER}", "\N{ZERO WIDTH JOINER}", LEFT, RIGHT)
"""Signs that shape or order what stands beside them, and nothing else."""

WITHOUT_LETTERS = ("LastResort", "AdobeBlank")
"""Fonts that show a box, or nothing, for every sign."""


def legible(text: str) -> str:
    """A text whose every sign some font of this machine has.

    Others stand in Latin letters, such as `Quan` for the Chinese dog, or by their number, such as
    `U+E000`. Unseen signs that may turn a whole line around are left out.
    """
    return "".join(sign if _font_of(sign) else _in_latin(sign) for sign in text)


def families(text: str) -> list[str]:
    """The fonts that matplotlib takes for a legible text, one after the other for every sign."""
    fonts = [_font_of(sign) for sign in text]
    return list(dict.fromkeys([STANDARD, *(font for font in fonts if font)]))


def apart(text: str) -> str:
    """A text that keeps its order, and what stands around it, too, if it runs from the right."""
    if not any(unicodedata.bidirectional(sign) in ("R", "AL") for sign in text):
        return text
    return f"{LEFT}{text}{RIGHT}{LEFT}"  # the right one holds a sign at the end: an ellipsis


def _in_latin(sign: str) -> str:
    from anyascii import anyascii

    if unicodedata.category(sign) in ("Cc", "Co", "Cn", "Cs"):
        return f"U+{ord(sign):04X}"
    return anyascii(sign) or ("" if unicodedata.category(sign)[0] in "CMZ" else f"U+{ord(sign):X}")


@functools.cache
def _font_of(sign: str) -> str | None:
    """The family that shows a sign; None where there is none, or nothing to see."""
    if not sign.isprintable() and sign not in UNSEEN:
        return None
    if _standard().get_char_index(ord(sign)):
        return STANDARD
    return next((name for name, font in _others().items() if font.get_char_index(ord(sign))), None)


@functools.cache
def _standard() -> Any:
    from matplotlib import font_manager

    return font_manager.get_font(font_manager.findfont(STANDARD))


@functools.cache
def _others() -> dict[str, Any]:
    """The other fonts of this machine by family, those for reading first: looked for when a sign
    is met that the standard one lacks.
    """
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    known = {font.name for font in font_manager.fontManager.ttflist}
    fonts: dict[str, Any] = {}
    for path in sorted(font_manager.findSystemFonts(), key=_preference):
        try:
            font = FT2Font(path)
        except (RuntimeError, OSError):  # no font that can be read
            continue
        name = font.family_name
        if not font.scalable or name in fonts or any(it in path for it in WITHOUT_LETTERS):
            continue
        if name not in known:  # installed after matplotlib listed them
            font_manager.fontManager.addfont(path)
        fonts[name] = font
    return fonts


def _preference(path: str) -> tuple[bool, bool, bool, str]:
    name = path.rpartition("/")[2]
    return "NotoSans" not in name, "Regular" not in name, "Sans" not in name, name
