"""Experiments side by side: what two or more runs predicted of the same images, in the form of the
report of one.
"""

from collections.abc import Sequence
from pathlib import Path

from ..evidence.recommendation import evidence
from ..params.compare import Compare
from ..params.record import plain
from ..pipeline import files
from ..prediction.reading import seed_accuracies
from ..report import page, words
from ..report.answer import sentences
from ..report.command import different, quoted
from ..report.comparison import numbers_of
from ..report.figures import accuracy, cost, verdicts
from ..report.figures.sheet import save
from ..report.results import Findings, confidence_of, excluded
from ..report.text import CAPTIONS
from ..settings.changes import override_value
from .entries import KINDS, Entry, require_same_test


def write(folder: Path, entries: Sequence[Entry], settings: Compare) -> str:
    """Write report.md, the same as one page, figures/ and metrics/.

    Args:
        folder: Receives them.
        entries: Two or more, asked about the same images.
        settings: Of the statistics.

    Returns:
        The answer in a paragraph.

    Raises:
        ValueError: Other test images or classes, or no seed that all have.
    """
    require_same_test(entries)
    by_label = {entry.label: entry for entry in entries}
    of = [{label: entry.tables[kind] for label, entry in by_label.items()} for kind in KINDS]
    facts = {label: entry.facts for label, entry in by_label.items()}
    found = evidence(
        of[0],
        validation=of[1],
        tta=of[2],
        controls={},
        folds={},
        facts=facts,
        costs={label: entry.costs for label, entry in by_label.items()},
        settings=settings,
    )
    findings = Findings(
        params={**entries[0].params, "compare": plain(settings)},
        summary=found["summary"],
        numbers=found["numbers"],
        comparison=found["comparison"],
        facts=facts,
        kind=("candidate", "candidates"),
    )
    folder.mkdir(parents=True, exist_ok=True)
    files.write_together({folder / f"metrics/{name}.json": it for name, it in found.items()})
    drawn = {
        "accuracy": accuracy.draw(
            findings.summary,
            {label: seed_accuracies(table) for label, table in of[0].items()},
            pale=excluded(findings),
        ),
        "verdicts": verdicts.draw(findings.comparison),
        "cost": cost.draw(findings.summary, findings.comparison["front"], excluded(findings)),
    }
    for name, figure in drawn.items():
        save(figure, folder / f"figures/{name}.png")
    text = render(findings, entries, list(drawn))
    files.write_text(folder / "report.md", text)
    files.write_text(folder / "report.html", page.render(text, folder))
    return sentences(findings)


def render(findings: Findings, entries: Sequence[Entry], figures: Sequence[str]) -> str:
    """The Markdown of the comparison."""
    captions = {"confidence": confidence_of(findings)}
    return (
        "\n\n".join(
            [
                f"# Which experiment for {words.escaped(findings.dataset)}?",
                sentences(findings),
                _entries(entries),
                numbers_of(findings),
                "## Figures",
                *(
                    f"![{name}](figures/{name}.png)\n\n{CAPTIONS[name].format(**captions)}"
                    for name in figures
                ),
                "## Caveats\n\n- Experiments that were chosen because their *test* accuracy was "
                "high are flattered by it: choose by validation, compare the few that are left.\n"
                "- Training times of experiments that ran side by side are no costs; counted "
                "operations are.",
            ]
        )
        + "\n"
    )


def _entries(entries: Sequence[Entry]) -> str:
    """What is compared, and how the settings of each differ from those of the first."""
    rows = [
        (
            f"`{entry.label}`",
            f"`{entry.strategy}`",
            words.escaped(entry.params["backbone"]["name"]),
            str(entry.facts["seeds"][min(entry.facts["seeds"])]["fit_images"]),
        )
        for entry in entries
    ]
    header = ("experiment", "strategy", "backbone", "images to fit")
    parts = [words.table(header, rows, left=(0, 1, 2))]
    for entry in entries[1:]:
        changed = different(entry.params, entries[0].params)
        lines = [
            f"    -S {quoted(f'{key}={override_value(value)}')}  # there: {override_value(usual)}"
            for key, usual, value in changed
        ]
        said = f"`{entry.label}` differs from `{entries[0].label}` in"
        parts.append(
            "\n".join([f"{said}:\n", *(" ".join(line.splitlines()) for line in lines)])
            if lines
            else f"{said} no setting."
        )
    return "\n\n".join(parts)
