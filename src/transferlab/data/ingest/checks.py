"""Images that cannot make a data set: too few of a class, or the same one twice."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ...pipeline import files, places
from .advice import without
from .decode import NO_IMAGE, named_like_image
from .layout import Skipped

# Formats that Pillow would open by content, whatever the name says, and that are no photographs.
_OTHER_FORMATS = {
    b"GIF8": "GIF",
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript",
    b"8BPS": "Photoshop",
}


def unusable(id: str, content: bytes, error: ValueError) -> Skipped:
    """Why a file is left out: another kind of file, or an image by its name that cannot be used.

    Args:
        id: Of the file.
        content: Its bytes.
        error: What decoding said.
    """
    other = next(
        (name for start, name in _OTHER_FORMATS.items() if content.startswith(start)), None
    )
    if other or not named_like_image(id):
        reason = f"left out: {NO_IMAGE}{f' but {other}' if other else ''}"
        return Skipped(id=id, reason=reason, kind=other or "not an image")
    return Skipped(id=id, reason=str(error) if content else "is empty", kind="bad image", bad=True)


def refuse_bad(skipped: Sequence[Skipped], where: str) -> None:
    """Refuse images that cannot be used, each with the reason."""
    bad = [f"{item.id}: {item.reason}" for item in skipped if item.bad]
    if bad:
        raise ValueError(
            f"{where}: expected images, got some that cannot be used: {len(bad)}"
            f"{ten(bad, 'bad images')}\n"
            "Repair or remove them, or leave them out: -S dataset.on_bad_image=skip."
        )


def check_counts(
    rows: list[dict[str, Any]], skipped: list[Skipped], classes: Sequence[str], where: str
) -> None:
    """Refuse classes with too few usable images in a split."""
    counts = Counter((row["split"], row["label"]) for row in rows)
    for split, least in (("train", 2), ("test", 1)):
        for name in classes:
            if counts[split, name] < least:
                excluded = [item for item in skipped if item.place == (split, name)]
                raise ValueError(
                    f"{where}: expected at least {least} usable of class {name!r} in {split}, got "
                    f"{counts[split, name]}; files left out: {len(excluded)}"
                    f"{ten((f'{e.id}: {e.reason}' for e in excluded), 'files left out')}\n"
                    f"{_without(counts, split, least, classes)}"
                )


def _without(
    counts: Mapping[tuple[str, str], int], split: str, least: int, classes: Sequence[str]
) -> str:
    return without([name for name in classes if counts[split, name] >= least])


def refuse_two_labels(rows: list[dict[str, Any]], where: str) -> None:
    """The same bytes in two classes contradict each other, wherever they are."""
    first: dict[str, dict[str, Any]] = {}
    pairs = [(first.setdefault(row["sha256"], row), row) for row in rows]
    lines = [f"{a['id']} = {b['id']}" for a, b in pairs if a["label"] != b["label"]]
    if lines:
        raise ValueError(
            f"{where}: expected one class of each image, got two of the same one:"
            f"{ten(lines, 'two labels')}\n"
            "One of its labels is wrong. Remove it from one class, or accept it: -S "
            "dataset.on_duplicate=allow."
        )


def refuse_duplicates(
    rows: list[dict[str, Any]], where: str, validation: Collection[str] = ()
) -> None:
    """Refuse the same bytes in two parts.

    Args:
        rows: Of the manifest: id, split, sha256.
        where: What messages begin with.
        validation: The ids of the training images that the user gave to validate on.

    Raises:
        ValueError: An image is in two of training, validation and test.
    """
    first: dict[str, dict[str, Any]] = {}
    pairs = [(first.setdefault(row["sha256"], row), row) for row in rows]
    twice = [(a, b) for a, b in pairs if _part(a, validation) != _part(b, validation)]
    if twice:
        parts = {_part(row, validation) for pair in twice for row in pair}
        lines = ten((f"{a['id']} = {b['id']}" for a, b in twice), "duplicates")
        raise ValueError(
            f"{where}: expected each image in one part, got the same in "
            f"{' and '.join(sorted(parts))}:{lines}\nResults on it would be too good. Remove one "
            "of the two, or accept it: -S dataset.on_duplicate=allow."
        )


def _part(row: Mapping[str, Any], validation: Collection[str]) -> str:
    return "validation" if row["id"] in validation else str(row["split"])


def ten(lines: Iterable[str], what: str) -> str:
    """The first ten lines, indented; where there are more, the file that has all of them."""
    listed = list(lines)
    if len(listed) <= 10:
        return "".join(f"\n  {line}" for line in listed)
    path = places.cache_folder("problems") / f"{what.replace(' ', '_')}.txt"
    files.write_text(path, "".join(f"{line}\n" for line in listed))
    rest = f"and {len(listed) - 10} more; all of them are listed in {path}"
    return "".join(f"\n  {line}" for line in [*listed[:10], rest])
