"""The command that writes a model for other programs, and its card."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..pipeline.files import file_hash, write_text
from ..pipeline.places import checkout
from ..pipeline.terminal import printable
from .predict import files_named, model_argument, model_of_word, require_place

if TYPE_CHECKING:  # numpy and torch take seconds, which no other command shall wait for
    import numpy as np

    from ..delivery.export import Checked
    from ..delivery.model import Facts

MOST = 64  # pictures to check with


def export_arguments(parser: ArgumentParser) -> None:
    """What `transferlab export` takes."""
    parser.add_argument("--format", required=True, choices=("pt2", "onnx"), dest="kind")
    model_argument(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="else named by what it is")
    parser.add_argument(
        "--images", nargs="+", metavar="PATH", help="pictures to check with, else test images"
    )
    parser.add_argument("--force", action="store_true", help="replace files")


def export(
    *, kind: str, model: str, out: Path | None, images: Sequence[str] | None, force: bool
) -> None:
    """Write a model as pt2 or ONNX with its card beside it, checked on real pictures.

    Args:
        kind: The format.
        model: `champion`, a strategy, a file, or the address of a model in MLflow.
        out: Where it goes; None: named by data set and strategy, here.
        images: Pictures to check with; None: test images of this checkout.
        force: Whether files may be replaced.

    Raises:
        ValueError: There is no such model, no picture, a package is missing, or the answers differ.
    """
    from ..delivery.card import card, files_of
    from ..delivery.export import export as exported
    from ..delivery.export import require_packages

    require_packages(kind)
    found = model_of_word(model)
    facts = found.facts
    path = out or Path(f"{facts.dataset}-{facts.strategy}.{kind}")
    if path.suffix != f".{kind}":
        raise ValueError(f"{path}: expected a name that ends in .{kind}.")
    beside = path.with_suffix(".md")
    for place in (path, beside):
        require_place(place, force)
    checked = exported(found, kind, _pictures(facts, images), path)
    speed = _speed(checked)
    said = [_interface(path, facts), speed]
    write_text(beside, card(facts, files_of(checkout(), facts), said))
    print(printable(f"{path}: {speed}"))
    print(printable(f"{beside}: its card"))


def _pictures(facts: "Facts", images: Sequence[str] | None) -> "np.ndarray":
    """Real pictures as the network sees them, uint8 [N, S, S, 3].

    Raises:
        ValueError: There are none.
    """
    import numpy as np

    from ..data.images import load_images
    from ..delivery.pictures import seen

    how = facts.pictures
    if images is not None:
        return np.stack(seen(files_named(images)[:MOST], how))
    try:
        stored = load_images(checkout() / "data/processed/test", facts.classes)
    except (OSError, ValueError):
        raise ValueError(
            "export: expected pictures to check with, found no test images here. Name some: "
            "--images photos"
        ) from None
    rows = np.linspace(0, len(stored) - 1, min(MOST, len(stored))).astype(int)
    return np.stack(seen([stored[row] for row in rows], how))


def _interface(path: Path, facts: "Facts") -> str:
    from ..delivery.export import INPUT, OUTPUT
    from ..report import words

    side = facts.pictures.preprocessing.crop_px
    return (
        f"`{words.escaped(path.name)}`, sha256 `{file_hash(path)}`, takes `{INPUT}` uint8 [B, "
        f"{side}, {side}, 3] in RGB and gives `{OUTPUT}` float32 [B, {len(facts.classes)}], "
        "calibrated, in the order of the classes above."
    )


def _speed(checked: "Checked") -> str:
    return (
        f"{checked.megabytes:.1f} MB; the largest difference to torch is {checked.difference:.2g} "
        f"on {checked.pictures} pictures; one picture takes {checked.milliseconds:.1f} ms, in "
        f"torch {checked.torch_milliseconds:.1f} ms."
    )
