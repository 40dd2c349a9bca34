"""Backbones as points: how fast they train, how good their weights are said to be, how large."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from ...report.figures.sheet import axes_at, logarithmic, write
from ...report.figures.style import BETTER, DPI, GREY, INK, WIDTH, styled
from .measure import Measured

HEIGHT, MARKS = 4.6, (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@styled
def draw(found: Sequence[Measured], unit: str) -> Figure:
    """A point for each backbone whose weights have a published accuracy.

    Args:
        found: At least one of them.
        unit: What a second is one of.
    """
    known = [(it, it.top1) for it in found if it.top1 is not None]
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor="white")
    says = "Faster is right, better on ImageNet is up; the larger, the more megabytes"
    write(figure, 0.65, 0.2, says, color=INK)
    axes = axes_at(figure, 0.65, 0.5, WIDTH - 0.85, HEIGHT - 1.1)
    axes.set_xscale("log")
    speeds = [it.training for it, _ in known]
    logarithmic(axes, speeds, {mark: f"{mark:g}" for mark in MARKS}, (0.6, 1.4))
    for it, top1 in known:
        area = 4 * it.megabytes**0.8  # in points; in proportion a small one would not be seen
        axes.scatter(it.training, top1, s=area, color=BETTER, alpha=0.55, lw=0)
        axes.annotate(
            it.name,
            (it.training, top1),
            xytext=(3 + area**0.5 / 2, -3),
            textcoords="offset points",
            fontsize=8,
            color=INK,
        )
    axes.set_ylim(min(top1 for _, top1 in known) - 2, max(top1 for _, top1 in known) + 2)
    axes.set_xlabel(f"images trained on per second {unit}", color=GREY)
    axes.set_ylabel("published top-1 on ImageNet, %", color=GREY)
    return figure
