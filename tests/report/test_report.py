"""The files of a run in, `reports/` out."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from finished import CLASSES, TEST, compare, diverge, parameters, rows_of, write_all, write_data

from transferlab.evidence.records import Line
from transferlab.pipeline import files, places
from transferlab.prediction import sample
from transferlab.report import words, write
from transferlab.report.drawn import attributed
from transferlab.report.figures import photographs
from transferlab.report.figures.photographs import centre
from transferlab.report.opened import read_results
from transferlab.report.tables import write_confusion, write_sheet
from transferlab.report.text import CAPTIONS, render
from transferlab.report.write import write_report

pytestmark = pytest.mark.slow

SHOWN = set(CAPTIONS) - {"features", "learning_curve", "labels"}
"""No strategy of the fixture changed the backbone, and learning curves are off."""
OUTPUTS = {
    "report.md",
    "report.html",
    *("classes.csv", "curves.csv", "confusion.csv", "label_errors.csv", "learning_curve.csv"),
    "figures/samples.png",
    *(f"figures/{name}.{kind}" for name in SHOWN for kind in ("png", "svg")),
}


def written(root: Path) -> dict[str, bytes]:
    reports = root / "reports"
    return {
        str(path.relative_to(reports)): path.read_bytes()
        for path in reports.rglob("*")
        if path.is_file()
    }


def text_of(root: Path, params: dict[str, Any] | None = None) -> str:
    """The Markdown, read from files as they are, without drawing a figure."""
    params = params or parameters()
    return render(read_results(root, params, params, "abc1234"), sorted(SHOWN))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_all(tmp_path, parameters())
    return tmp_path


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with its reports; tests only read it."""
    root = tmp_path_factory.mktemp("reported")
    write_all(root, parameters())
    write_report(root, parameters(), parameters(), "abc1234")
    return root


def test_all_outputs_are_written_and_twice_the_same_bytes(reported: Path) -> None:
    once = written(reported)
    assert set(once) == OUTPUTS
    assert once["figures/samples.png"] == (reported / "data/processed/samples.png").read_bytes()
    write_report(reported, parameters(), parameters(), "abc1234")
    assert written(reported) == once


def test_no_date_and_no_time_of_day_is_written(reported: Path) -> None:
    assert not re.search(
        rb"\d{4}-\d\d-\d\d|\d\d:\d\d", (reported / "reports/report.md").read_bytes()
    )


def test_every_figure_that_is_written_is_shown_in_the_order_of_the_captions(reported: Path) -> None:
    shown = re.findall(
        r"!\[.*\]\((.*)\)", (reported / "reports/report.md").read_text(encoding="utf-8")
    )
    assert set(shown) == {f"figures/{name}.png" for name in SHOWN | {"samples"}}
    assert [name for name in CAPTIONS if f"figures/{name}.png" in shown] == [
        Path(name).stem for name in shown if "samples" not in name
    ]


def test_page_holds_every_figure_that_the_report_shows(reported: Path) -> None:
    page = (reported / "reports/report.html").read_text(encoding="utf-8")
    assert page.count("<img ") == len(SHOWN) + 1 == page.count('src="data:image/')
    assert not re.search(r'(src|href)="(?!data:)', page)


def numbers_in(value: Any) -> set[str]:
    """Every number of a JSON value, as the report may write it."""
    if isinstance(value, dict):
        return set().union(*(numbers_in(item) for item in [*value.values(), *value.keys()]), set())
    if isinstance(value, list):
        return set().union(*(numbers_in(item) for item in value), set())
    if isinstance(value, str):
        return set(re.findall(r"\d+(?:\.\d+)*", value))
    if isinstance(value, bool) or value is None:
        return set()
    shares = {
        f"{100 * value:.1f}",
        f"{100 * value:.0f}",
        f"{100 * value:g}",
        f"{abs(100 * value):.1f}",
    }
    return shares | {
        f"{value:.3f}",
        f"{value:g}",
        f"{value:,}",
        f"{value:.1f}",
        *words.duration(value).split(),
    }


def test_every_number_stands_in_a_file_of_the_run(reported: Path) -> None:
    known = numbers_in(parameters()) | {"400"}  # of 400,000,000,000
    for path in reported.rglob("*.json"):
        known |= numbers_in(files.read_json(path))
    for path in reported.rglob("*.csv"):
        known |= numbers_in([list(row.values()) for row in files.read_csv(path)])
    train = sum(
        int(row["train"]) for row in files.read_csv(reported / "data/processed/class_counts.csv")
    )
    known |= {str(train), str(2 * TEST), "5.0"}  # sums of the counts, and 1 less the confidence
    pairs = files.read_json(reported / "metrics/comparison.json")["pairs"]
    # seen from the second of a pair
    known |= {f"{100 * (1 - pair['probability']):.1f}" for pair in pairs}
    # ImageNet and its classes, an example, limits
    known |= {"1000", "310", "309", "90", "0.001", "1"}
    text = (reported / "reports/report.md").read_text(encoding="utf-8").replace("abc1234", "")
    text = re.sub(r"`[0-9a-f]{64}`|https?://\S+|imageNotFound|F1|sha256|ImageNet-1k", "", text)
    assert [number for number in re.findall(r"\d+(?:[.,]\d+)*", text) if number not in known] == []


def test_a_report_that_fails_leaves_the_last_one_whole(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(root, parameters(), parameters(), "abc1234")
    before = written(root)
    for error in (ValueError, KeyboardInterrupt):

        def fail(*_: Any, error: type[BaseException] = error) -> str:
            raise error

        monkeypatch.setattr(write, "render", fail)
        with pytest.raises(error):
            write_report(root, parameters(), parameters(), "other")
        assert written(root) == before


@pytest.mark.drill
def test_dvc_leaves_the_last_report_where_the_next_one_fails(root: Path) -> None:
    declared = yaml.safe_load((places.checkout() / "dvc.yaml").read_text(encoding="utf-8"))
    script = (
        "import sys, yaml; from pathlib import Path; "
        "from transferlab.report.write import write_report; "
        "params = yaml.safe_load(Path('values.yaml').read_text()); "
        "write_report(Path('.'), params, params, None)"
    )
    stage = {"cmd": f'{sys.executable} -c "{script}"', "deps": ["values.yaml"]}
    stage["outs"] = declared["stages"]["report"]["outs"]
    files.write_text(root / "dvc.yaml", yaml.safe_dump({"stages": {"report": stage}}))
    environment = {**os.environ, "PYTHONPATH": str(places.checkout() / "src")}

    def dvc(*words: str) -> int:
        command = [sys.executable, "-m", "dvc", *words]
        return subprocess.run(command, cwd=root, env=environment, check=False).returncode

    assert dvc("init", "--no-scm") == 0
    files.write_text(root / "values.yaml", yaml.safe_dump(parameters(), sort_keys=False))
    assert dvc("repro") == 0
    before = written(root)
    assert set(before) == OUTPUTS
    other = parameters(train={"validation_fraction": 0.3, "max_epochs": None})
    files.write_text(root / "values.yaml", yaml.safe_dump(other, sort_keys=False))
    assert dvc("repro") != 0
    assert written(root) == before


def test_a_report_that_succeeds_leaves_nothing_of_the_last_one_and_all_else(root: Path) -> None:
    lingering = ("figures/old.png", ".part/figures/half.png", "examples/mine/report.md")
    for name in lingering:
        files.write_text(root / "reports" / name, "older")
    write_report(root, parameters(), parameters(), "abc1234")
    assert set(written(root)) == OUTPUTS | {"examples/mine/report.md"}


def test_files_of_other_strategies_that_lie_around_do_not_show(root: Path) -> None:
    narrow = parameters("probe")
    compare(root, narrow)
    write_report(root, narrow, parameters(), None)
    tables = b"".join(content for name, content in written(root).items() if name.endswith(".csv"))
    text = (root / "reports/report.md").read_text(encoding="utf-8")
    assert b"frozen" not in tables
    assert [line for line in text.splitlines() if "frozen" in line] == [
        "    strategy: probe  (default: [scratch,frozen,probe])"
    ]


def test_where_all_diverged_there_is_no_answer(root: Path) -> None:
    params = parameters("frozen", "scratch")
    diverge(root, params, "frozen", "scratch")
    write_report(root, params, params, None)
    text = (root / "reports/report.md").read_text(encoding="utf-8")
    assert (
        text.split("\n\n")[1]
        == "No strategy finished: `frozen` and `scratch` diverged. There is no answer."
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("strategies", "frozen", "lr", 0.42),
            r"^Model 'frozen' was trained with strategy.lr=0.32 but params.yaml says 0.42. "
            r"Run: dvc repro -f -s train@frozen$",
        ),
        (
            ("train", "max_epochs", 3),
            r"Model 'scratch' was trained with train.max_epochs=null but params.yaml says 3\.",
        ),
        (("engine", "device", "cpu"), r"engine.device=auto but params.yaml says cpu"),
        (
            ("backbone", "source", {"lr": 0.1}),
            r"backbone.source=null but params.yaml says \{lr:0.1\}",
        ),
    ],
)
def test_a_model_of_other_parameters_is_refused_and_the_old_report_stays(
    root: Path, change: tuple[Any, ...], message: str
) -> None:
    files.write_text(root / "reports/report.md", "the old one")
    params = parameters()
    *path, key, value = change
    section: Any = params
    for step in path:
        section = section[step]
    section[key] = value
    with pytest.raises(ValueError, match=message):
        write_report(root, params, params, None)
    assert written(root) == {"report.md": b"the old one"}


SUMMARY_LINE: dict[str, Any] = dict.fromkeys(Line.__annotations__)
SUMMARY_LINE |= {"seeds": 1, "images": 1, "operations": 1, "train_seconds": 1.0}
SUMMARY_LINE |= {"trainable_parameters": 1, "status": "finished"}


@pytest.mark.parametrize(
    ("path", "key", "value", "message"),
    [
        (
            "data/processed/classes.json",
            "classes",
            ["ants", "wasps"],
            r"classes=\[ants,bees\] but .*\[ants,wasps\]",
        ),
        ("data/weights/start.json", "sha256", "e" * 64, "start_sha256=b+ but data/ has e+"),
        (
            "metrics/summary.json",
            "extra",
            SUMMARY_LINE,
            r"metrics/summary.json: expected .*Run: dvc repro compare",
        ),
    ],
)
def test_files_of_another_run_are_refused(
    root: Path, path: str, key: str, value: Any, message: str
) -> None:
    files.write_json(root / path, files.read_json(root / path) | {key: value})
    with pytest.raises(ValueError, match=message):
        text_of(root)


def test_predictions_of_images_that_are_not_there_are_refused(tmp_path: Path) -> None:
    write_all(tmp_path, parameters("probe"))
    table = tmp_path / "predictions/probe.csv"
    table.write_text(
        table.read_text(encoding="utf-8").replace("test/ants/0.png", "other.png"), encoding="utf-8"
    )
    with pytest.raises(
        ValueError, match=r"predictions/probe.csv: expected ids of data/.*csv, got 'other.png'"
    ):
        write_report(tmp_path, parameters("probe"), parameters("probe"), None)


def test_learning_curve_ends_in_the_run_itself(root: Path) -> None:
    params = parameters(learning_curve={"strategies": ["probe"], "fractions": [0.5]})
    ids, labels = write_data(root, CLASSES)
    parts = [
        {"fraction": 0.5, "images": 122, **row}
        for row in rows_of("probe", (5, 6), labels, ids, CLASSES)
    ]
    files.write_csv(root / "predictions/learning_curve/probe.csv", list(parts[0]), parts)
    write_report(root, params, params, None)
    rows = files.read_csv(root / "reports/learning_curve.csv")
    assert [
        (row["fraction"], row["images"], row["seed"], float(row["accuracy"])) for row in rows
    ] == [
        ("0.5", "122", "0", 35 / 40),
        ("0.5", "122", "1", 34 / 40),
        ("1.0", "244", "0", 39 / 40),
        ("1.0", "244", "1", 39 / 40),
    ]
    assert "figures/learning_curve.png" in (root / "reports/report.md").read_text(encoding="utf-8")


def test_heat_maps_show_the_surest_hit_of_each_class_and_the_surest_mistakes() -> None:
    told = [
        ("ants", "ants", 0.9),
        ("ants", "ants", 0.95),
        ("bees", "bees", 0.6),
        ("bees", "ants", 0.7),
    ]
    told += [("ants", "bees", 0.8), ("bees", "ants", 0.55)] * 2
    rows = [
        {
            "seed": 0,
            "id": str(i),
            "label": label,
            "predicted": seen,
            "p_ants": sure,
            "p_bees": 1 - sure,
        }
        if seen == "ants"
        else {
            "seed": 0,
            "id": str(i),
            "label": label,
            "predicted": seen,
            "p_ants": 1 - sure,
            "p_bees": sure,
        }
        for i, (label, seen, sure) in enumerate(told)
    ]
    found = attributed(pd.DataFrame(rows))
    assert [(row["id"], row["sure"]) for row in found] == [
        ("1", 0.95),
        ("2", 0.6),
        ("4", 0.8),
        ("6", 0.8),
        ("3", 0.7),
        ("5", 0.55),
    ]


def test_of_many_test_images_heat_maps_and_features_are_shown_of_a_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, path = parameters("probe"), tmp_path / "predictions/pictures/probe.npz"
    write_all(tmp_path, params)
    monkeypatch.setattr(sample, "FIGURES", 4)
    drawn: list[Sequence[np.ndarray]] = []
    monkeypatch.setattr(photographs, "attributions", lambda _, maps, __: drawn.append(maps))
    maps = np.arange(4, dtype=np.float16)[:, None, None] * np.ones((4, 2, 2), np.float16)
    views = np.zeros((2, 1, 8, 8, 3), np.uint8)
    features = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float16)
    np.savez(path, before=features, after=2 * features, maps=maps, views=views)
    write_report(tmp_path, params, params, None)
    assert {float(seen.flat[0]) for seen in drawn[0]} <= {0.0, 1.0, 2.0, 3.0}
    said = " ".join((tmp_path / "reports/report.md").read_text(encoding="utf-8").split())
    assert "for 4 of the test images, evenly spread, laid out" in said


def test_photographs_under_heat_maps_are_cut_to_what_the_network_saw() -> None:
    image = np.arange(80 * 100 * 3, dtype=np.uint32).reshape(80, 100, 3)
    assert np.array_equal(centre(image, 0.5), image[20:60, 30:70])


@pytest.mark.parametrize("name", ["=cmd()", "+1", "-1", "@x", "\tx", "\nx"])
def test_class_names_do_not_become_formulas(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame({"seed": [0, 0], "label": [name, "ants"], "predicted": ["ants", name]})
    write_confusion(tmp_path / "confusion.csv", {"probe": table})
    rows = files.read_csv(tmp_path / "confusion.csv")
    assert (
        {row["actual"] for row in rows}
        == {row["predicted"] for row in rows}
        == {f"'{name}", "ants"}
    )


def test_numbers_below_zero_stay_numbers(tmp_path: Path) -> None:
    write_sheet(tmp_path / "a.csv", ("text", "number"), [{"text": "-1", "number": -1}])
    assert files.read_csv(tmp_path / "a.csv") == [{"text": "'-1", "number": "-1"}]


STARVED = """
import importlib.util, resource, sys, yaml
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from transferlab.params.compare import Compare
from transferlab.report.write import write_report
name, limit = sys.argv[1], int(sys.argv[2])
root, params = Path(sys.argv[3]), yaml.safe_load(Path(sys.argv[4]).read_text())
spec = importlib.util.spec_from_file_location("script", "stages/compare.py")
stage = importlib.util.module_from_spec(spec)
spec.loader.exec_module(stage)
values = SimpleNamespace(**params)
values.cross_validation = SimpleNamespace(**params["cross_validation"])
values.compare = Compare(**params["compare"])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    if name == "compare":
        stage.work(root, values, "")
    else:
        write_report(root, params, params, "other")
except OSError as error:
    sys.exit(f"error: {error}")
"""


@pytest.mark.drill
@pytest.mark.parametrize("stage", ["compare", "report"])
def test_a_stage_that_runs_out_of_room_leaves_the_last_results_whole(
    root: Path, stage: str
) -> None:
    """The last file that is written, or the first figure, is larger than may be."""
    write_report(root, parameters(), parameters(), "abc1234")
    files.write_text(root / "values.yaml", yaml.safe_dump(parameters(), sort_keys=False))
    facts = files.read_json(root / "runs/frozen/facts.json")
    facts["trainable_parameters"] = 7  # other numbers would be written
    files.write_json(root / "runs/frozen/facts.json", facts)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    sizes = [len(content) for path, content in before.items() if "metrics" in path.parts]
    limit = sorted(sizes)[-1] - 1 if stage == "compare" else 20 * 1024
    command = [sys.executable, "-c", STARVED, stage, str(limit), str(root)]
    done = subprocess.run(
        [*command, str(root / "values.yaml")],
        cwd=places.checkout(),
        env={**os.environ, "PYTHONPATH": str(places.checkout() / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*: expected room for .*\(File too large\)\..*\n", done.stderr)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_the_tables_for_dvc_plots_are_long(reported: Path) -> None:
    confusion = files.read_csv(reported / "reports/confusion.csv")
    assert confusion[0] == {
        "strategy": "scratch",
        "seed": "0",
        "actual": "ants",
        "predicted": "ants",
        "images": "2",
    }
    assert sum(int(row["images"]) for row in confusion) == 3 * 2 * 2 * TEST
    curves = files.read_csv(reported / "reports/curves.csv")
    first = {
        "strategy": "scratch",
        "seed": "0",
        "epoch": "1",
        "measure": "validation_accuracy",
        "value": "0.75",
    }
    assert curves[0] == first
    assert {row["measure"] for row in curves} == {
        "validation_accuracy",
        "validation_loss",
        "train_accuracy",
        "train_loss",
    }
    assert len(curves) == 4 * 2 * (2 + 2 + 1)


@pytest.mark.parametrize("template", ["strategy_curves", "strategy_confusion"])
def test_a_plot_template_takes_dvcs_data_and_names_columns_that_are_written(template: str) -> None:
    content = (places.checkout() / f".dvc/plots/{template}.json").read_text(encoding="utf-8")
    assert json.loads(content)["data"] == {"values": "<DVC_METRIC_DATA>"}
    columns = {
        "strategy",
        "seed",
        "epoch",
        "measure",
        "value",
        "actual",
        "predicted",
        "images",
        "rev",
    }
    made = set(re.findall(r'"as": "(\w+)"', content))
    named = set(re.findall(r'"field": "(\w+)"', content)) | set(
        re.findall(r"datum\.(\w+)", content)
    )
    assert named <= columns | made
