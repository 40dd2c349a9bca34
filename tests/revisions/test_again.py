"""A run made again, against what was recorded."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from called import failure, said
from checkout import ROOT
from repository import SMALL, Repository

from transferlab.commands import verify
from transferlab.pipeline.files import read_json, write_json
from transferlab.revisions.again import (
    Record,
    first_difference,
    largest,
    outputs_of,
    problems,
    read_record,
    settings_of,
)
from transferlab.settings import compose
from transferlab.settings.changes import differences

EXAMPLE = ROOT / "reports/examples/textures-tiny"
STAGES = ["download", "train", "evaluate", "compare", "report"]
STATE = ("params.yaml", "dvc.lock", "metrics/*", "models/**/*", "data/**/*", "reports/*.md")
BEFORE = Record(
    accuracies={"frozen": 0.9, "wild": None},
    outputs={
        "download": {"data/raw/archive.zip": "a"},
        "train@frozen": {"models/frozen": "b"},
        "evaluate@frozen": {"predictions/frozen.csv": "c"},
        "report": {"reports/report.md": "d"},
    },
)


def test_the_same_accuracies_are_no_problem_and_their_distance_is_told() -> None:
    after = replace(BEFORE, accuracies={"frozen": 0.92, "wild": None})
    assert list(problems(BEFORE, after, 0.02)) == []
    assert largest(BEFORE, after) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("accuracies", "said"),
    [
        (
            {"frozen": 0.879, "wild": None},
            "frozen: expected an accuracy within 2 points of 90.0 %, got 87.9 %",
        ),
        (
            {"frozen": 0.9, "wild": 0.5},
            "wild: expected an accuracy within 2 points of none, got 50.0 %",
        ),
        ({"frozen": 0.9}, "expected the strategies frozen, wild, got frozen"),
    ],
)
def test_what_differs_by_more_is_named(accuracies: dict[str, float | None], said: str) -> None:
    assert list(problems(BEFORE, replace(BEFORE, accuracies=accuracies), 0.02)) == [said]


def test_the_first_stage_of_other_bytes_is_that_of_the_pipelines_order() -> None:
    assert first_difference(BEFORE, BEFORE, STAGES) is None
    assert BEFORE.outputs is not None
    other = {
        "evaluate@frozen": {"predictions/frozen.csv": "x"},
        "train@frozen": {"models/frozen": "x"},
    }
    after = replace(BEFORE, outputs={**BEFORE.outputs, **other})
    assert first_difference(BEFORE, after, STAGES) == "train@frozen"


def test_outputs_that_hold_seconds_are_not_compared() -> None:
    outs = [
        {"path": "models/a", "md5": "1"},
        {"path": "runs/a/costs.json", "md5": "2"},
        {"path": "data/raw/archive.json", "md5": "3"},
    ]
    assert outputs_of({"stages": {"train@a": {"outs": outs}, "track": {}}}) == {
        "train@a": {"models/a": "1"},
        "track": {},
    }
    report = replace(
        BEFORE, outputs={**(BEFORE.outputs or {}), "report": {"reports/report.md": "x"}}
    )
    assert first_difference(BEFORE, report, STAGES) is None


def test_what_is_no_example_and_no_tolerance_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify.again, "clone", lambda root, folder: folder)
    assert failure("verify", str(tmp_path)) == (
        f"error: {tmp_path}: expected params.yaml and metrics/summary.json, found no params.yaml. "
        "Name the folder of an example, or run the pipeline and commit its results."
    )
    assert "--tolerance: expected points from 0 to 100, got 200." in failure(
        "verify", "--tolerance", "200"
    )


def test_of_an_example_only_named_strategies_are_compared_and_what_is_left_out_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify.again, "clone", lambda root, folder: ROOT)
    monkeypatch.setattr(verify.again, "compose", lambda copy, params: None)
    recorded = read_record(EXAMPLE)
    asked: list[list[str]] = []

    def made(copy: Path, names: list[str]) -> Record:
        asked.append(names)
        return replace(recorded, accuracies={name: recorded.accuracies[name] for name in names})

    monkeypatch.setattr(verify, "_made", made)
    assert failure("verify", str(EXAMPLE), "--strategy", "probe", "mlp") == (
        f"error: {EXAMPLE}: expected strategies of scratch, probe, frozen, finetune, got mlp."
    )
    lines = said(capsys, "verify", str(EXAMPLE), "--strategy", "probe", "frozen")
    assert asked == [["probe", "frozen"]]
    assert lines[-1] == (
        "verify: each accuracy that was compared is as recorded (largest difference 0 points, 2 "
        "are allowed). All outputs up to the predictions have the same bytes. Not made again and "
        "not compared: scratch, finetune, controls, cross-validation, learning curves, and what "
        "rests on all strategies: pairs, the recommendation."
    )


def test_a_mirror_beside_the_checkout_is_found_from_the_copy(
    tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFERLAB_MIRROR", "../mirror")
    environment = verify.again._environment(tmp_path)
    assert environment["TRANSFERLAB_MIRROR"] == str(own_home / "../mirror")
    assert not {key for key in environment if key.startswith("DVC_")}


@pytest.mark.slow
def test_an_examples_settings_compose_again_where_the_code_knows_more_keys() -> None:
    words = settings_of(EXAMPLE / "params.yaml", ROOT / "conf/defaults.yaml")
    found = yaml.safe_load(compose.compose(words))
    recorded = yaml.safe_load((EXAMPLE / "params.yaml").read_text())
    changed = [key for key, old, _ in differences(recorded, found) if old is not None]
    assert changed == []
    assert list(read_record(EXAMPLE).accuracies) == list(found["strategies"])


@pytest.mark.drill
def test_a_run_is_made_again_and_a_forged_record_is_named_with_its_first_stage(
    tmp_path: Path,
) -> None:
    made = Repository(tmp_path / "repository")
    made.compose(*SMALL, "strategy=[probe,nearest_mean]")
    made("dvc", "repro")
    example = made.root / "reports/examples/toy"
    shutil.copytree(made.root / "metrics", example / "metrics")
    for name in ("params.yaml", "dvc.lock"):
        shutil.copyfile(made.root / name, example / name)
    made.commit()
    state = [made.digest(pattern) for pattern in STATE]
    command = [sys.executable, "-m", "transferlab", "verify"]
    environment = {"PYTHONPATH": str(made.root / "src")}
    lines = made(*command, **environment)
    assert "every accuracy is as recorded (largest difference 0 points, 2 are allowed)" in lines
    assert "All outputs up to the predictions have the same bytes." in lines
    summary = read_json(example / "metrics/summary.json")
    summary["probe"]["accuracy"] += 0.1
    write_json(example / "metrics/summary.json", summary)
    lock = (example / "dvc.lock").read_text()
    models = yaml.safe_load(lock)["stages"]["train@probe"]["outs"][0]["md5"]
    (example / "dvc.lock").write_text(lock.replace(models, "0" * 36))
    narrow = [*command, str(example), "--strategy", "probe"]
    last = made(*narrow, fails=True, **environment).splitlines()[-1]
    assert last.startswith("error: verify: probe: expected an accuracy within 2 points of ")
    assert (
        "The first stage whose outputs have other bytes is train@probe: another machine, number "
        "of threads, version or code. Not made again and not compared: nearest_mean, controls, "
    ) in last
    shutil.rmtree(example)
    made("git", "checkout", "--", ".")
    assert [made.digest(pattern) for pattern in STATE] == state
