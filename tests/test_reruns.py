"""Which stages an edit runs again: the walls of the cache, as a table that a person can read."""

import pytest
import yaml
from checkout import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
TABLE = """
| edited | for instance | runs again |
| --- | --- | --- |
| how an archive is fetched | `src/transferlab/data/archive/fetch.py` | download, weights, report |
| how an archive is read | `src/transferlab/data/ingest/decode.py` | weights, preprocess |
| how images are divided | `src/transferlab/data/splits/draw.py` | split |
| how pixels become views | `src/transferlab/network/augment.py` | weights, precision, train, evaluate, controls, cross_validate, learning_curve |
| the loop | `src/transferlab/training/loop.py` | weights, train, cross_validate, learning_curve |
| what a training tells MLflow | `src/transferlab/tracking/sender.py` | train, track |
| what MLflow receives at the end | `src/transferlab/tracking/sync.py` | track |
| where a network looks | `src/transferlab/prediction/attribution.py` | evaluate |
| evidence | `src/transferlab/evidence/intervals.py` | compare |
| a word of the report | `src/transferlab/report/words.py` | report |
| a figure | `src/transferlab/report/figures/cost.py` | report |
| a command | `src/transferlab/commands/demo.py` | nothing |
| a default | `conf/config.yaml` | report |
| the data set | `params.yaml: dataset.classes` | download, preprocess, controls, report, track |
| the backbone | `params.yaml: backbone.name` | weights, precision, train, evaluate, controls, cross_validate, learning_curve, report, track |
| the seeds | `params.yaml: seeds` | split, train, evaluate, cross_validate, learning_curve, report, track |
| the share of validation images | `params.yaml: train.validation_fraction` | weights, split, train, evaluate, cross_validate, learning_curve, report, track |
| crops and flips | `params.yaml: train.augment.flip` | weights, train, evaluate, cross_validate, learning_curve, report, track |
| a strategy | `params.yaml: strategies.frozen.lr` | train, evaluate, cross_validate, learning_curve, compare, report, track |
| the views of the evaluation | `params.yaml: evaluate.tta_views` | evaluate, report, track |
| cross-validation | `params.yaml: cross_validation.folds` | split, compare, report, track |
| learning curves | `params.yaml: learning_curve.fractions` | split, report, track |
| what as good as means | `params.yaml: compare.margin` | compare, report, track |
"""  # noqa: E501
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.split("\n")[3:-1]]


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
