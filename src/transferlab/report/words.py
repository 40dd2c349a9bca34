"""Numbers in words, for text and figures."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ..data.letters import apart
from ..evidence.records import Measured

NONE = "\N{EN DASH}"

UNITS = {"E": 1e18, "P": 1e15, "T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3}


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int]) -> str:
    """A table whose columns are aligned right, except those of `left`."""
    marks = ["---" if i in left else "--:" for i in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, marks, *rows))


def escaped(value: Any) -> str:
    """Foreign text that stays text, whatever Markdown or HTML it holds."""
    line = apart(" ".join(str(value).split()))
    # Entities are shown as characters but mean nothing to Markdown; an underscore inside a word is
    # harmless as it is.
    return re.sub(r"(?<!\w)_|_(?!\w)|[^\w\s.,/()%:;+-]", lambda sign: _entity(sign[0]), line)


def _entity(sign: str) -> str:
    """Of a sign that may mean something, or is not seen; vowels of Devanagari and emoji do not."""
    return sign if sign.isprintable() and not sign.isascii() else f"&#{ord(sign)};"


def listed(items: Iterable[Any], mark: str = "`") -> str:
    """`a`, `b` and `c`."""
    words = [f"{mark}{item}{mark}" for item in items]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Such as `1 pair` and `1,000 pairs`; `plural` where that is not the noun with an s."""
    return f"{number:,} {agreeing(number, noun, plural or f'{noun}s')}"


def agreeing(number: int, one: str, many: str) -> str:
    """The form of a word that fits so many."""
    return one if number == 1 else many


def amount(count: int) -> str:
    """A number of parameters or operations for a label, such as `11.2 M`."""
    for unit, size in UNITS.items():
        if count >= max(size, 10_000):
            return f"{count / size:.3g} {unit}"
    return f"{count:,}"


def work(operations: int) -> str:
    """Counted operations, such as `3.4 TFLOP`."""
    text = amount(operations)
    return f"{text}FLOP" if text[-1] in UNITS else f"{text} FLOP"


def percent(share: float | None, digits: int = 1) -> str:
    """Such as `95.4 %`."""
    return NONE if share is None else f"{100 * share:z.{digits}f} %"


def interval(low: float | None, high: float | None) -> str:
    """Such as `90.3 to 97.5 %`."""
    return NONE if low is None or high is None else f"{100 * low:z.1f} to {percent(high)}"


def with_interval(row: Any, measure: str) -> str:
    """A share with its ends in a line of `metrics/summary.json`: `94.1 % (90.3 to 97.5 %)`."""
    ends = interval(row[f"{measure}_low"], row[f"{measure}_high"])
    return f"{percent(row[measure])} ({ends})" if ends != NONE else percent(row[measure])


def number(value: float | None) -> str:
    """Three decimals."""
    return NONE if value is None else f"{value:z.3f}"


def with_ends(record: Measured) -> str:
    """Such as `0.958 (0.917 to 0.989)`; without ends where all resamples agree, as those of the
    AUROC do where no image is wrong: that is no certainty.
    """
    if record["images_low"] == record["images_high"]:
        return number(record["mean"])
    ends = f"{number(record['images_low'])} to {number(record['images_high'])}"
    return f"{number(record['mean'])} ({ends})"


def rounded(count: int) -> str:
    """A count to two digits: `1,900`."""
    digits = max(0, len(str(count)) - 2)
    return f"{round(count, -digits):,}"


def signed(share: float, digits: int = 1) -> str:
    """A difference in points, with a minus as wide as the plus; one that rounds to zero has no
    sign.
    """
    text = f"{100 * share:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def points(share: float) -> str:
    """Such as `0.7 points`."""
    return f"{100 * share:z.1f} points"


def p_value(value: float) -> str:
    """Three decimals, or less than 0.001."""
    return "< 0.001" if value < 0.001 else f"{value:z.3f}"


def span(values: Iterable[int], noun: str) -> str:
    """Such as `195 images`, and `195 to 197 images` where values differ."""
    low, *rest = sorted(set(values))
    return f"{low:,} to {counted(rest[-1], noun)}" if rest else counted(low, noun)


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
