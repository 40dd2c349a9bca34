"""The command that asks a model about photographs."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..params.reading import load_params
from ..pipeline.files import write_csv
from ..pipeline.places import checkout
from ..pipeline.terminal import printable

if TYPE_CHECKING:  # torch takes seconds, which no other command shall wait for
    from ..delivery.answers import Count
    from ..delivery.model import Model
    from ..delivery.predictor import Answer, Predictor, Unusable

FEW = 64  # pictures that need no bar


def predict_arguments(parser: ArgumentParser) -> None:
    """What `transferlab predict` takes."""
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="file, folder, pattern, - for a list"
    )
    model_argument(parser)
    parser.add_argument("--top", type=int, default=1, metavar="N", help="classes to name")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="a sheet of the pictures")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a table of the answers")
    parser.add_argument("--force", action="store_true", help="replace these files")


def model_argument(parser: ArgumentParser) -> None:
    """Which model is meant."""
    parser.add_argument(
        "--model",
        default="champion",
        help="champion (default), a strategy, a file, or models:/NAME@champion of MLflow",
    )


def predict(
    *,
    paths: Sequence[str],
    model: str,
    top: int,
    figure: Path | None,
    csv: Path | None,
    force: bool,
) -> None:
    """Say which class photographs are of, and how sure that is.

    Args:
        paths: Files, folders, patterns, and `-` for a list on stdin.
        model: `champion`, a strategy, a file, or the address of a model in MLflow.
        top: Number of classes to name.
        figure: Where a sheet of the pictures goes.
        csv: Where a table of the answers goes.
        force: Whether these may replace files.

    Raises:
        SystemExit: 2: no image was found; 1: some could not be used, the others were answered.
        ValueError: There is no such model, no class to name, or no place for the results.
    """
    if top < 1:
        raise ValueError(f"--top: expected 1 or more classes, got {top}.")
    files = files_named(paths)
    for path in filter(None, (figure, csv)):
        require_place(path, force, files)
    if figure is not None:
        _require_kind(figure)
        if csv is not None and figure.resolve() == csv.resolve():
            raise ValueError(f"--csv: expected another file than --figure, got {csv} for both.")
    from ..delivery.answers import Count, columns, row
    from ..delivery.figure import MOST
    from ..delivery.make import in_words
    from ..delivery.predictor import Predictor

    asked, count = Predictor(model_of_word(model)), Count(most=MOST if figure else 0)
    print(printable(in_words(asked.facts)), file=sys.stderr)
    found = _shown(asked, files, count, top)
    if csv is None:
        for _ in found:
            pass
    else:
        write_csv(csv, columns(asked.facts.classes), map(row, found))
    if figure is not None:
        _draw(asked, count, figure)
    print(count.in_words(), file=sys.stderr)
    if count.unusable:
        raise SystemExit(1)


def model_of_word(word: str) -> "Model":
    """The model that a person means.

    Raises:
        ValueError: There is none.
    """
    from ..delivery.make import model_of
    from ..delivery.model import read
    from ..delivery.predictor import champion

    if word == "champion":
        return champion()
    if word.startswith("models:/"):
        from ..tracking.registry import downloaded

        with downloaded(word) as path:
            return read(path)
    if Path(word).exists():
        return read(Path(word))
    root = checkout()
    params = load_params(root / "params.yaml")
    if word not in params.strategies:
        names = ", ".join(params.strategies)
        raise ValueError(
            f"--model: expected champion, a strategy ({names}), a file or models:/NAME@champion, "
            f"got {word!r}."
        )
    return model_of(root, word, params.champion.error, params.dataset.max_megapixels)


def require_place(path: Path, force: bool, inputs: Iterable[str] = ()) -> None:
    """Refuse a file that could not be written, or that would replace one.

    Raises:
        ValueError: Why it cannot be written.
    """
    folder = path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{path}: expected a folder that can be written to, got {str(folder)!r}.")
    if path.is_dir():
        raise ValueError(f"{path}: expected the name of a file, got a folder.")
    if not path.exists():
        return
    if not force:
        raise ValueError(f"{path}: expected no file yet, got one. Replace it with --force.")
    if any(os.path.exists(name) and path.samefile(name) for name in inputs):
        raise ValueError(f"{path}: expected another file, got one of the pictures.")


def files_named(paths: Sequence[str]) -> list[str]:
    """The files that a command's words mean.

    Raises:
        SystemExit: 2: a word names no image.
    """
    from ..delivery.pictures import named

    try:
        return named(paths, sys.stdin)
    except ValueError as error:
        print(f"error: {printable(error)}", file=sys.stderr)
        raise SystemExit(2) from None


def _require_kind(figure: Path) -> None:
    from ..delivery.figure import KINDS

    if figure.suffix[1:].lower() not in KINDS:
        raise ValueError(f"{figure}: expected a name that ends in .{', .'.join(KINDS)}.")


def _shown(
    asked: "Predictor", files: Sequence[str], count: "Count", top: int
) -> Iterator["Answer | Unusable"]:
    """Print and count what is found, as it comes."""
    from tqdm import tqdm

    from ..delivery.answers import line
    from ..delivery.predictor import Unusable

    quiet = len(files) <= FEW or not sys.stderr.isatty()
    with tqdm(total=len(files), unit="picture", disable=quiet, leave=False) as bar:
        for found in asked.each(files):
            bar.clear()
            if isinstance(found, Unusable):
                print(printable(f"{found.name}: {found.reason}."), file=sys.stderr)
            else:
                print(line(found, asked.facts.classes, top))
            count.add(found)
            bar.update()
            yield found


def _draw(asked: "Predictor", count: "Count", path: Path) -> None:
    from ..delivery.figure import sheet
    from ..delivery.pictures import seen

    answers = count.first
    pictures = seen([answer.name for answer in answers], asked.facts.pictures)
    title = f"{asked.facts.strategy} on {asked.facts.dataset}"
    if count.answered > len(answers):
        title += f", the first {len(answers)} of {count.answered} pictures"
    sheet(pictures, answers, title, path)
