"""Names of classes short enough for a figure and still different from each other."""

from collections.abc import Sequence

from ...data.letters import apart, legible

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def told_apart(names: Sequence[str], length: int) -> list[str]:
    """The names as fonts can show them, of at most `length` characters and no two alike.

    What long names share is left out: their ends, else their middle. Where no cut tells them apart
    their numbers stand before them.
    """
    whole = [legible(name) for name in names]
    for tail in (0, length // 3, 2 * length // 3):
        cut = [shortened(text, length, tail) for text in whole]
        if len(set(cut)) == len(cut):
            return list(map(apart, cut))
    digits = len(str(len(names)))
    numbered = (f"{number} " for number in range(1, len(names) + 1))
    room = max(length - digits - 1, 1)
    cut = [apart(shortened(text, room, 0)) for text in whole]
    return [mark + text for mark, text in zip(numbered, cut, strict=True)]


def shortened(text: str, length: int, tail: int) -> str:
    """At most `length` characters of a text, the last of them its last `tail` ones."""
    if len(text) <= length:
        return text
    return text[: max(length - 1 - tail, 0)] + ELLIPSIS + (text[-tail:] if tail else "")
