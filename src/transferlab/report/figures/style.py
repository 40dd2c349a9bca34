"""What all figures look like: colours, lines and marks of the strategies."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from matplotlib import style
from matplotlib.colors import to_hex, to_rgb

from ...data.letters import STANDARD

WIDTH = 8.6  # inches

DPI, DPI_PHOTOS = 150, 120  # photographs compress badly, and reports live in git

INK, GREY, PALE = "#333333", "#6E6E6E", "#999999"

GOOD, MIXED, BAD = "#00704F", "#8A6100", "#B03A00"  # of the palette, dark enough for text

BETTER, WORSE, NEITHER = "#0072B2", "#E07B00", "#F4F4F4"

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000")
"""Okabe and Ito, "Color universal design" (2008), without the yellow that white paper swallows."""

KNOWN = (
    *("frozen", "finetune", "partial", "progressive", "lp_ft", "probe", "scratch"),
    *("mlp_head", "wise_ft", "two_phase"),  # in the colours of their next of kin
)
"""Strategies with a look of their own, in the order of the palette, whichever others are shown."""

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1.5, 1, 1.5)))

MARKERS = ("o", "s", "^", "D")

# from a label to what it names
LEADER = {"arrowstyle": "-", "patchA": None, "shrinkA": 0, "shrinkB": 0}

STYLE = {
    "font.family": STANDARD,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": PALE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E8E8E8",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$x^$"
    "xtick.color": PALE,
    "ytick.color": PALE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "path",  # a reader may not have the font
    "svg.hashsalt": "transferlab",  # ids by content, not by chance
}

CONTROL: dict[str, Any] = {
    "color": GREY,
    "linewidth": 0.9,
    "linestyle": (0, (2, 2)),
    "zorder": 1,
    "clip_on": False,
}

CONTROL_TEXT: dict[str, Any] = {"color": GREY, "fontsize": 8}
# lines pass behind it
CONTROL_TEXT["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}

styled = style.context(["default", STYLE])  # whatever the user's matplotlibrc says


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a strategy is drawn in every figure."""

    color: str
    dash: Any
    marker: str


def looks(names: Iterable[str], pale: Collection[str] = ()) -> dict[str, Look]:
    """Known strategies keep their colour; others take a dashed one by the hash of their name, or
    the next free. Those of `pale` are mixed with white.
    """
    places = list(range(len(KNOWN), len(PALETTE) * len(DASHES)))
    taken: dict[str, int] = {}
    for name in names:
        start = int(hashlib.sha256(name.encode()).hexdigest(), 16) % len(places)
        wanted = places[start:] + places[:start]
        free = [place for place in wanted if place not in taken.values()]
        taken[name] = KNOWN.index(name) if name in KNOWN else (free or wanted)[0]
    return {
        name: Look(
            color=_faded(PALETTE[place % len(PALETTE)], 0.65 if name in pale else 0),
            dash=DASHES[place // len(PALETTE)],
            marker=MARKERS[place // len(PALETTE)],
        )
        for name, place in taken.items()
    }


def _faded(color: str, white: float) -> str:
    red, green, blue = (white + (1 - white) * part for part in to_rgb(color))
    return to_hex((red, green, blue))
