"""What every stage does around its work: check first, notice edits, one line on failure, its own
code.
"""

import errno
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toy
import yaml
from checkout import ROOT

from transferlab.params.reading import load_params
from transferlab.pipeline import stage


def run(
    monkeypatch: pytest.MonkeyPatch, work: Callable[..., Any], name: str = "toy", *arguments: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["stage", *arguments])
    stage.main(name, work)


def failure(
    monkeypatch: pytest.MonkeyPatch, work: Callable[..., Any], name: str = "toy", *arguments: str
) -> str:
    """What a failing stage prints; Python exits with 1 after a text."""
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, work, name, *arguments)
    assert isinstance(caught.value.code, str)
    return caught.value.code


def edit(root: Path, key: str, value: Any) -> None:
    """What a person does with an editor."""
    path = root / "params.yaml"
    data = yaml.safe_load(path.read_text())
    *above, last = key.split(".")
    section = data
    for name in above:
        section = section[name]
    section[last] = value
    path.write_text(yaml.safe_dump(data, sort_keys=False))


def idle(*_: Any) -> None:
    """Work that does nothing."""


def test_work_receives_the_checkout_the_parameters_and_the_strategy(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    run(monkeypatch, lambda *given: seen.extend(given), "each", "probe")
    assert seen == [root, load_params(root / "params.yaml"), "probe"]


# Edits while a stage runs


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("seeds", [9], "seeds"),
        ("train.batch_size", 64, "train"),
        ("train.augment.flip", 0, "train"),
    ],
)
def test_a_parameter_of_the_stage_edited_meanwhile_fails_it_by_name(
    root: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: Any, named: str
) -> None:
    text = failure(monkeypatch, lambda *_: edit(root, key, value))
    assert text.startswith(
        f"error: toy: expected its inputs to stay as they were, but {named} changed while it ran."
    )


@pytest.mark.parametrize(
    "key",
    ["compare.confidence", "engine.threads", "strategies.frozen.lr", "strategies.probe.folds"],
)
def test_a_parameter_that_the_stage_does_not_read_disturbs_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    run(monkeypatch, lambda *_: edit(root, key, 7))


def test_only_its_own_strategy_disturbs_a_stage_of_one_strategy(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, lambda *_: edit(root, "strategies.probe.folds", 3), "each", "frozen")
    run(monkeypatch, lambda *_: edit(root, "seeds", [9]), "each", "frozen")
    text = failure(monkeypatch, lambda *_: edit(root, "strategies.frozen.lr", 3), "each", "frozen")
    assert "strategies.frozen changed while it ran" in text


def test_a_comment_and_another_spelling_are_no_edit(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rewrite(*_: Any) -> None:
        data = yaml.safe_load((root / "params.yaml").read_text())
        (root / "params.yaml").write_text(
            "# a comment\n" + yaml.safe_dump(data, sort_keys=False, indent=8)
        )

    run(monkeypatch, rewrite)


@pytest.mark.parametrize(
    "path",
    [
        "stages/toy.py",
        "src/transferlab/pipeline/files.py",
        "data/raw/archive.zip",
        "data/raw/new.zip",
    ],
)
def test_code_and_data_edited_meanwhile_fail_the_stage_by_name(
    root: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def write(*_: Any) -> None:
        with (root / path).open("a") as file:
            file.write("# edited")

    named = "data/raw" if path.startswith("data") else path
    assert f"but {named} changed while it ran" in failure(monkeypatch, write)


def test_a_removed_dependency_fails_the_stage(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = failure(monkeypatch, lambda *_: shutil.rmtree(root / "data/raw"))
    assert "but data/raw changed while it ran" in text


def test_code_that_the_stage_does_not_list_disturbs_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, lambda *_: (root / "src/transferlab/report/text.py").write_text("# edited"))
    (root / "src/transferlab/__pycache__").mkdir()
    run(
        monkeypatch,
        lambda *_: (root / "src/transferlab/__pycache__/files.pyc").write_text("compiled"),
    )


def test_several_edits_are_all_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def edits(*_: Any) -> None:
        edit(root, "seeds", [9])
        (root / "stages/toy.py").write_text("")

    assert "but seeds, stages/toy.py changed while it ran" in failure(monkeypatch, edits)


@pytest.mark.parametrize(
    ("content", "message"), [("seeds: [", "expected YAML"), (None, "expected a file, found none")]
)
def test_parameters_broken_or_removed_meanwhile_fail_the_stage(
    root: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, message: str
) -> None:
    path = root / "params.yaml"
    text = failure(
        monkeypatch, lambda *_: path.unlink() if content is None else path.write_text(content)
    )
    assert text.startswith(f"error: params.yaml: {message}")


def test_a_dependency_dropped_from_the_pipeline_meanwhile_is_noticed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = failure(
        monkeypatch, lambda *_: (root / "dvc.yaml").write_text(toy.DVC.replace(", data/raw]", "]"))
    )
    assert "but data/raw changed while it ran" in text


def test_large_files_are_marked_by_size_and_time(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "SMALL", 3)
    path = root / "data/raw/archive.zip"
    before = stage.fingerprint(root, "toy")
    os.utime(path, ns=(0, 0))
    assert stage.fingerprint(root, "toy")["data/raw"] != before["data/raw"]


def test_the_digest_of_the_code_follows_the_listed_code_alone(root: Path) -> None:
    before = stage.code_digest(root, "toy")
    (root / "data/raw/archive.zip").write_bytes(b"other")
    (root / "src/transferlab/report/text.py").write_text("# edited")
    assert stage.code_digest(root, "toy") == before
    (root / "src/transferlab/pipeline/files.py").write_text("# edited")
    assert stage.code_digest(root, "toy") != before


@pytest.mark.parametrize("edited", ["loop.py", "deeper/step.py", "new.py"])
def test_the_digest_of_the_code_follows_every_file_of_a_listed_room(
    root: Path, edited: str
) -> None:
    """Else an interrupted training would go on under other code."""
    room = root / "src/transferlab/training"
    path = room / "deeper/step.py"
    path.parent.mkdir()
    path.write_text("")
    (root / "dvc.yaml").write_text(toy.DVC.replace("data/raw]", "src/transferlab/training]"))
    before = stage.code_digest(root, "toy")
    (room / "__pycache__").mkdir(exist_ok=True)
    (room / "__pycache__/loop.cpython.pyc").write_text("compiled")
    assert stage.code_digest(root, "toy") == before
    (room / edited).write_text("# edited")
    assert stage.code_digest(root, "toy") != before


# Failures


def test_wrong_parameters_stop_the_stage_before_its_work(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(root, "compare.confidence", 95)
    edit(root, "strategies.probe.folds", "abc")
    seen: list[Any] = []
    text = failure(monkeypatch, lambda *given: seen.extend(given))
    assert text.splitlines() == [
        "error: params.yaml: compare.confidence: expected less than 1, got 95.",
        "params.yaml: strategies.probe.folds: expected integer, got 'abc'.",
    ]
    assert seen == []


@pytest.mark.parametrize("arguments", [["frozn"], [], [""]])
def test_an_unknown_strategy_lists_the_strategies(
    root: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    text = failure(monkeypatch, idle, "each", *arguments)
    assert text.startswith(
        f"error: each: expected one of frozen, probe, got '{''.join(arguments)}'."
    )


def test_missing_parameters_say_how_to_make_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "params.yaml").unlink()
    assert (
        "params.yaml: expected a file, found none. Compose it from conf/: transferlab compose."
        in failure(monkeypatch, idle)
    )


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a.jpg: does not decode"),
        PermissionError(errno.EACCES, "Permission denied", "made/toy.csv"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "made/toy.csv"),
        OSError("made/toy.csv: has its words already."),
    ],
)
def test_an_error_of_data_or_disk_is_one_line_of_its_own_cause(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    assert failure(monkeypatch, fail) == f"error: {error}"


def test_a_traceback_is_shown_on_request(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("a.jpg: does not decode")

    monkeypatch.setenv("TRANSFERLAB_TRACEBACK", "1")
    with pytest.raises(ValueError, match="does not decode"):
        run(monkeypatch, fail)


def test_a_mistake_in_the_code_is_not_dressed_up(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise KeyError("seed")

    with pytest.raises(KeyError):
        run(monkeypatch, fail)


def test_an_interrupt_says_how_to_go_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    assert (
        failure(monkeypatch, interrupt) == "toy: interrupted. Run the same command again to go on."
    )


# As DVC runs it: a process of its own


def test_a_stage_runs_the_code_of_its_own_checkout_whatever_is_installed(
    root: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere/transferlab"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise RuntimeError('the wrong code')")
    process = toy.start(root, PYTHONPATH=str(other.parent))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.split() == [str(root / "src/transferlab/__init__.py"), "frozen", "probe"]


@pytest.mark.parametrize(
    ("environment", "traceback"), [({}, False), ({"TRANSFERLAB_TRACEBACK": "1"}, True)]
)
def test_a_failing_stage_exits_with_1_and_shows_a_traceback_only_on_request(
    root: Path, environment: dict[str, str], traceback: bool
) -> None:
    edit(root, "seeds", "abc")
    process = toy.start(root, **environment)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "params.yaml: seeds: expected array, got 'abc'." in err
    assert ("Traceback" in err) == traceback
    assert out == ""


def test_sigterm_ends_a_stage_in_one_line(root: Path) -> None:
    process = toy.start(root, WORK=toy.WAIT)
    toy.began(process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == "toy: interrupted. Run the same command again to go on.\n"


@pytest.mark.parametrize("name", yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
def test_every_stage_puts_its_own_checkout_first(name: str) -> None:
    lines = (ROOT / f"stages/{name}.py").read_text().splitlines()
    inserted = lines.index('sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))')
    imported = next(
        number for number, line in enumerate(lines) if "transferlab" in line and "import" in line
    )
    assert inserted < imported
