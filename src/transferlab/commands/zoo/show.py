"""The commands `zoo` and `parts`."""

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, fields
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path

import yaml

from ...params.learning.network import FAMILIES, PARTS, is_backbone
from ...params.learning.strategies import GradientStrategy, first_match
from ...params.reading import parse
from ...params.whole import Params
from ...pipeline.files import write_csv
from ...settings import compose
from .measure import Measured, measure

HEAD = (
    "backbone",
    "px",
    "parameters",
    "features",
    "MB",
    "top-1 %",
    "forward/s",
    "training/s",
    "memory MB",
)


def zoo_arguments(parser: ArgumentParser) -> None:
    """Of the command `zoo`."""
    parser.add_argument("names", nargs="*", help="backbones; none: all that have a file in conf/")
    parser.add_argument("--out", metavar="FOLDER", help="write zoo.csv, zoo.png and zoo.svg there")


def zoo(names: Sequence[str], out: str | None) -> None:
    """Measure backbones here: size, features, speed, memory, beside their published accuracy.

    Raises:
        ValueError: A name is none of a backbone, or it cannot be divided into parts.
    """
    if wrong := [name for name in names if not is_backbone(name)]:
        raise ValueError(
            f"zoo: expected some of {', '.join(FAMILIES)}, torchvision/<name> or timm/<name>, got "
            f"{wrong[0]!r}."
        )
    found = []
    print(_line(HEAD))
    for name in names or FAMILIES:
        found.append(_alone(name))
        print(_line(_cells(found[-1])), flush=True)
    print(_unit().join(("\nA second is one ", ".")))
    if out is not None:
        _write(found, Path(out))


def _alone(name: str) -> Measured:
    """In a fresh process: memory that one network took would count for the next."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, name).result()


def _unit() -> str:
    import torch

    return "of the clock, on CUDA" if torch.cuda.is_available() else "of one core"


def _cells(it: Measured) -> tuple[str, ...]:
    return (
        it.name,
        str(it.side),
        f"{it.parameters:,}",
        f"{it.features:,}",
        f"{it.megabytes:.1f}",
        "" if it.top1 is None else f"{it.top1:.1f}",
        f"{it.forward:.3g}",
        f"{it.training:.3g}",
        f"{it.memory_mb:.0f}",
    )


def _line(cells: Sequence[str]) -> str:
    name, *rest = cells
    return f"{name:<28}" + "".join(f"{cell:>13}" for cell in rest)


def _write(found: Sequence[Measured], folder: Path) -> None:
    from ...report.figures.sheet import save
    from .figure import draw

    folder.mkdir(parents=True, exist_ok=True)
    columns = [field.name for field in fields(Measured)]
    write_csv(folder / "zoo.csv", columns, map(asdict, found))
    if any(it.top1 is not None for it in found):
        save(draw(found, _unit()), folder / "zoo.png")


def parts(settings: Sequence[str]) -> None:
    """Print the parts of the backbone, and what each strategy trains when and how fast."""
    params = parse(yaml.safe_load(compose.compose(settings)), "conf")
    for line in (*_of_backbone(params), "", *_of_strategies(params)):
        print(line)


def _of_backbone(params: Params) -> Iterator[str]:
    import torch

    from ...network import backbones

    side = params.backbone.preprocessing.crop_px
    net, values = backbones.build(params.backbone.name, 2), torch.zeros(1, 3, side, side)
    yield f"{params.backbone.name}, images of {side} x {side} px"
    for name, part in net.named_children():
        with torch.no_grad():
            values = part(values)
        kinds = groupby(type(module).__name__ for module in part.children())
        counts = ((kind, len(list(those))) for kind, those in kinds)
        inside = ", ".join(f"{count} {kind}" if count > 1 else kind for kind, count in counts)
        count = sum(parameter.numel() for parameter in part.parameters())
        shape = " x ".join(map(str, values.shape[1:]))
        yield f"  {name:<8}{count:>12,} parameters  -> {shape:<16}{inside}"


def _of_strategies(params: Params) -> Iterator[str]:
    from ...report import words
    from ...training.strategies import phase_lengths

    for name, strategy in params.strategies.items():
        yield f"{name}: {strategy.title}"
        if not isinstance(strategy, GradientStrategy):
            yield "  no gradient: the head is solved for, the backbone frozen"
            continue
        most = min(strategy.epochs, params.train.max_epochs or strategy.epochs)
        lengths = phase_lengths(most, [phase.share for phase in strategy.phases.values()])
        for (phase, said), epochs in zip(strategy.phases.items(), lengths, strict=True):
            rates = ((part, said.rates[str(first_match(said.rates, part))]) for part in PARTS)
            each = (
                f"{part} {'frozen' if rate is None else format(strategy.lr * rate, '.2g')}"
                for part, rate in rates
            )
            yield f"  {phase}, {words.counted(epochs, 'epoch')}: {', '.join(each)}"
