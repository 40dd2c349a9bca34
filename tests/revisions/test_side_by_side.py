"""Experiments side by side."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from finished import CLASSES, parameters, write_all

from transferlab.evidence.records import Comparison, between
from transferlab.params.compare import Compare
from transferlab.pipeline.files import read_json
from transferlab.revisions.entries import Entry, accuracy_of, read_entry, require_same_test
from transferlab.revisions.side_by_side import write

PARAMS = parameters("frozen", "probe")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two strategies."""
    root = tmp_path_factory.mktemp("run")
    write_all(root, PARAMS)
    return root


@pytest.fixture
def entries(run: Path) -> list[Entry]:
    """The two as if each came of an experiment of its own."""
    other = {**PARAMS, "seeds": [0, 1, 2]}
    return [
        read_entry(run, "main", "frozen", PARAMS),
        read_entry(run, "other", "probe", other),
    ]


def test_an_entrys_accuracy_is_the_comparisons(run: Path, entries: Sequence[Entry]) -> None:
    summary = read_json(run / "metrics/summary.json")
    for entry in entries:
        assert accuracy_of(entry) == summary[entry.strategy]["accuracy"]
    facts = copy.deepcopy(entries[0].facts)
    facts["seeds"]["1"] |= {"status": "diverged", "diverged_epoch": 2}
    assert accuracy_of(replace(entries[0], facts=facts)) is None


@pytest.mark.slow
def test_experiments_are_compared_as_strategies_of_one_run_are(
    run: Path, entries: Sequence[Entry], tmp_path: Path
) -> None:
    answer = write(tmp_path, entries, Compare(**PARAMS["compare"]))
    own = between(read_json(run / "metrics/comparison.json", Comparison), "frozen", "probe")
    found = between(read_json(tmp_path / "metrics/comparison.json", Comparison), "main", "other")
    assert found == {**own, "first": "main", "second": "other"}
    text = (tmp_path / "report.md").read_text()
    assert text.startswith(f"# Which experiment for hymenoptera?\n\n{answer}\n")
    assert answer.startswith(
        "**Use `other`**: any of 2 candidates may be the best (95 % confidence),"
    )
    assert "`other` differs from `main` in:\n\n    -S 'seeds=[0,1,2]'  # there: [0,1]" in text
    shown = {path.name for path in (tmp_path / "figures").glob("*.png")}
    assert shown == {"accuracy.png", "verdicts.png", "cost.png"}
    assert all(f"](figures/{name})" in text for name in shown)
    assert "data:image/svg+xml" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"classes": [*CLASSES, "wasps"]},
            "expected the same classes, got wasps only in the second",
        ),
        (
            {"classes": CLASSES[::-1]},
            "expected the same classes, got another order",
        ),
        (
            {"test": {"test/ants/0.png": ("ants", "0" * 64)}},
            "expected the same test images, got test/ants/1.png and 38 more only in the first",
        ),
    ],
    ids=["a class more", "another order of the classes", "fewer images"],
)
def test_other_classes_and_other_test_images_are_named(
    entries: Sequence[Entry], changed: dict[str, object], message: str
) -> None:
    first, second = entries
    with pytest.raises(ValueError, match=f"^compare: {message} \\(main, then other\\)\\.$"):
        require_same_test([first, replace(second, **changed)])  # type: ignore[arg-type]


@pytest.mark.parametrize("known", [("bees", "0" * 64), ("ants", "1" * 64)])
def test_another_label_or_another_picture_under_the_same_name_is_named(
    entries: Sequence[Entry], known: tuple[str, str]
) -> None:
    first, second = entries
    other = replace(second, test={**second.test, "test/ants/1.png": known})
    with pytest.raises(ValueError, match=r"another picture or label of test/ants/1\.png"):
        require_same_test([first, other])
