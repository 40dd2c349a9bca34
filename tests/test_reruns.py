"""Which stages an edit runs again: the walls of the cache, as a table that a person can read."""

import pytest
import yaml
from checkout import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
SECTION = (
    (ROOT / "CONTRIBUTING.md").read_text().split("## What an edit re-runs")[1].split("\n## ")[0]
)
LINES = [line for line in SECTION.splitlines() if line.startswith("|")]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES[2:]]


def runs_again(edited: str) -> list[str]:
    """The stages that list what is edited, a file or a parameter, itself or the folder above.

    They run at least; a stage behind them runs where what it reads comes out as other bytes.
    """
    return [stage for stage in STAGES if any(holds(place, edited) for place in listed(stage))]


def listed(stage: str) -> list[str]:
    entry = STAGES[stage].get("do", STAGES[stage])
    return [*entry["deps"], *(f"params.yaml: {name}" for name in entry["params"])]


def holds(place: str, edited: str) -> bool:
    """Whether a file lies in a folder, or a parameter in a section, of any strategy."""
    place = place.removesuffix(".${key}")
    return edited == place or edited.startswith((f"{place}/", f"{place}."))


@pytest.mark.parametrize(("subject", "edited", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_an_edit_runs_exactly_the_stages_of_the_table(
    subject: str, edited: str, expected: str
) -> None:
    del subject
    assert (", ".join(runs_again(edited.strip("`"))) or "nothing") == expected


@pytest.mark.parametrize("edited", [row[1].strip("`") for row in ROWS])
def test_the_table_names_files_and_parameters_that_there_are(edited: str) -> None:
    """Else "nothing" would stay true of a file that moved."""
    file, _, key = edited.partition(": ")
    assert (ROOT / file).is_file()
    found = yaml.safe_load((ROOT / file).read_text()) if key else {}
    for name in filter(None, key.split(".")):
        found = found[name]
