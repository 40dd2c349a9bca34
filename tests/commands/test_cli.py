"""The `transferlab` command: says what changes before it changes, and what is wrong in a line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from checkout import ROOT

from transferlab import tracking
from transferlab.commands import demo, main, parameters
from transferlab.commands.parameters import short
from transferlab.params.reading import load_params, parse
from transferlab.settings import compose, cost


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with `conf/` and nothing else, which the code under test takes for its own."""
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / "conf", root / "conf", ignore=shutil.ignore_patterns("__pycache__"))
    path = root / "conf/config.yaml"
    path.write_text(path.read_text().replace("strategy: all", "strategy: [frozen, probe]"))
    for module in (parameters, compose):
        monkeypatch.setattr(module, "checkout", lambda: root)
    for name in ("TRANSFERLAB_TRACEBACK", "TRANSFERLAB_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    return root


@pytest.fixture
def params_file(root: Path) -> Path:
    """`params.yaml` as conf/ composes to."""
    path = root / "params.yaml"
    path.write_text(compose.compose(root=root))
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    main.main(arguments)
    return capsys.readouterr().out.splitlines()


def failure(*arguments: str) -> str:
    """What a failing command prints; Python exits with 1 after a text."""
    with pytest.raises(SystemExit) as caught:
        main.main(arguments)
    assert isinstance(caught.value.code, str)
    return caught.value.code


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# compose


def test_compose_writes_what_conf_composes_to(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = said(capsys, "compose")
    assert (root / "params.yaml").read_text() == compose.compose(root=root)
    assert "params.yaml: seeds (none -> [0, 1, 2, 3, 4])" in lines
    assert lines[-1].startswith("2 strategies x 5 seeds of resnet18 on hymenoptera: about ")


def test_compose_prints_every_key_that_changes(
    params_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = said(capsys, "compose", "strategy=probe", "train.batch_size=64", "seeds=[7]")
    assert lines[:-1] == [
        "params.yaml: seeds ([0, 1, 2, 3, 4] -> [7])",
        "params.yaml: train.batch_size (32 -> 64)",
        (
            "params.yaml: strategies.frozen ({title, learner, start, head_hidden, head_dropout, "
            "head_s... -> none)"
        ),
    ]
    assert load_params(params_file).train.batch_size == 64


def test_compose_leaves_a_file_alone_that_is_right(
    params_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = params_file.stat()
    assert len(said(capsys, "compose")) == 1
    after = params_file.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_compose_replaces_what_cannot_be_read(
    params_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    composed = params_file.read_text()
    params_file.write_text("seeds: [")
    said(capsys, "compose")
    assert params_file.read_text() == composed


@pytest.mark.parametrize(
    "setting", ["train.batch_size=yes", "train.epoch=5", "strategy=frozn", "checked=true seeds=3"]
)
def test_wrong_settings_leave_params_alone(params_file: Path, setting: str) -> None:
    before = params_file.read_bytes()
    assert failure("compose", *setting.split()).startswith("error: conf: ")
    assert params_file.read_bytes() == before


def test_a_crash_while_writing_leaves_the_old_params(
    params_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    before = params_file.read_bytes()
    monkeypatch.setattr(os, "replace", full)
    assert failure("compose", "seeds=[7]") == "error: [Errno 28] No space left on device"
    assert params_file.read_bytes() == before
    assert sorted(path.name for path in params_file.parent.iterdir()) == ["conf", "params.yaml"]


# preview


def test_preview_says_what_would_change_and_changes_nothing(
    params_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = params_file.read_bytes()
    lines = said(capsys, "preview", "strategies.frozen.lr=0.02")
    assert lines[0] == "params.yaml: strategies.frozen.lr (0.01 -> 0.02)"
    assert len(lines) == 2
    assert params_file.read_bytes() == before


def test_preview_warns_of_hand_edits_that_will_be_replaced(
    params_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(params_file, "batch_size: 32", "batch_size: 99")
    lines = said(capsys, "preview", "seeds=[7]")
    assert lines[:2] == [
        "params.yaml: seeds ([0, 1, 2, 3, 4] -> [7])",
        "params.yaml: train.batch_size (99 -> 32)",
    ]
    warning = (
        "params.yaml differs from conf/ in train.batch_size (99 -> 32); that is replaced. "
        "Edit conf/ instead."
    )
    assert lines[3:] == [warning]


def test_preview_of_settings_that_params_already_has_is_quiet(
    params_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(params_file, "batch_size: 32", "batch_size: 99")
    assert len(said(capsys, "preview", "train.batch_size=99")) == 1


def test_preview_works_without_params(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "differs" not in " ".join(said(capsys, "preview"))
    assert not (root / "params.yaml").exists()


def test_preview_names_the_key_that_was_meant(params_file: Path) -> None:
    assert failure("preview", "train.epoch=5").startswith(
        "error: conf: train.epoch: unknown key. Did you mean 'max_epochs'? Choices: augment, "
        "batch_size, "
    )


# check


def test_check_passes_what_conf_composes_to(
    params_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "check") == ["params.yaml is what conf/ composes to"]
    params_file.write_text(
        yaml.safe_dump(yaml.safe_load(params_file.read_text()), sort_keys=False, indent=8)
    )
    assert said(capsys, "check") == ["params.yaml is what conf/ composes to"]


def test_check_names_the_keys_that_conf_changed(params_file: Path) -> None:
    edit(params_file.parent / "conf/config.yaml", "batch_size: 32", "batch_size: 48")
    edit(params_file.parent / "conf/strategy/frozen.yaml", "epochs: 100", "epochs: 50")
    assert failure("check") == (
        "error: params.yaml: expected what conf/ composes to, got other values of "
        "train.batch_size (32 -> 48), strategies.frozen.epochs (100 -> 50). "
        "Run: make repro, or dvc exp run with these settings"
    )


def test_check_counts_what_it_does_not_name(params_file: Path) -> None:
    for key in (
        "batch_size",
        "split_seed",
        "store_px",
        "max_file_mb",
        "max_ratio",
        "max_files",
        "max_megapixels",
    ):
        edit(params_file, f" {key}: ", f" {key}: 3")
    text = failure("check")
    assert text.count(" -> ") == 5
    assert " and 2 more. Run: " in text


def test_check_of_wrong_params_names_them_first(params_file: Path) -> None:
    edit(params_file, "batch_size: 32", "batch_size: abc")
    assert failure("check") == "error: params.yaml: train.batch_size: expected integer, got 'abc'."


def test_check_without_params_says_how_to_make_them(root: Path) -> None:
    assert failure("check").endswith("Compose it from conf/: make repro.")


# Errors


def test_all_problems_are_told_a_line_each(params_file: Path) -> None:
    assert failure("preview", "seeds=[0,a]", "+train.epoch=5").splitlines() == [
        "error: conf: seeds.1: expected integer, got 'a'.",
        "conf: train.epoch: unknown key. Did you mean 'max_epochs'? "
        "Choices: augment, batch_size, max_epochs, select_by, validation_fraction.",
    ]


def test_a_traceback_is_shown_on_request(
    params_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFERLAB_TRACEBACK", "1")
    with pytest.raises(ValueError, match="frozn"):
        main.main(["preview", "strategy=frozn"])


def test_an_interrupt_is_one_word(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(compose, "compose", interrupt)
    assert failure("preview") == "interrupted"


def test_a_wrong_setting_exits_with_1_and_no_traceback() -> None:
    command = [sys.executable, "-m", "transferlab", "preview", "strategy=frozn"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: conf: In 'config': Could not find 'strategy/frozn'")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["ui", "--port", "abc"], ["check", "more"]]
)
def test_a_wrong_command_shows_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(arguments)
    assert caught.value.code == 2
    assert "usage: transferlab" in capsys.readouterr().err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--help"])
    text = capsys.readouterr().out
    assert [
        line.split()[0] for line in text.splitlines() if line.startswith("    ") and line[4] != " "
    ] == [
        "compose",
        "preview",
        "check",
        "demo",
        "ui",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (0.5, "0.5"),
        ([1, 2], "[1, 2]"),
        ({"a": 1, "b": 2}, "{a, b}"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 57 + "..."),
    ],
)
def test_a_value_is_shown_in_at_most_60_characters(value: Any, text: str) -> None:
    assert short(value) == text


# What to expect


def expected_minutes(*settings: str) -> float:
    text = cost.expectation(parse(yaml.safe_load(compose.compose(settings))))
    return float(text.split("about ")[1].split(" minutes")[0])


def test_the_expected_time_grows_with_what_is_asked() -> None:
    one = expected_minutes("strategy=scratch", "seeds=[0]")
    assert one < expected_minutes("strategy=scratch", "seeds=[0,1]")
    assert one < expected_minutes("strategy=[scratch,finetune]", "seeds=[0]")
    assert one < expected_minutes("strategy=scratch", "seeds=[0]", "strategies.scratch.epochs=80")
    assert one < expected_minutes(
        "strategy=scratch", "seeds=[0]", "strategies.scratch.resolution=1"
    )
    assert one > expected_minutes("strategy=scratch", "seeds=[0]", "train.max_epochs=4")
    assert one > expected_minutes("strategy=frozen", "seeds=[0]", "strategies.frozen.epochs=40")
    assert one > expected_minutes("strategy=scratch", "seeds=[0]", "backbone=mobilenet_v2")


def test_images_of_ones_own_are_expected_by_the_thousand(own_home: Path) -> None:
    (own_home / "birds/ants").mkdir(parents=True)
    composed = compose.compose(["dataset=folder", "dataset.path=birds", "strategy=probe"])
    text = cost.expectation(parse(yaml.safe_load(composed)))
    assert text.startswith("1 strategies x 5 seeds of resnet18 on folder: about ")
    assert " minutes on 2 CPU cores per 1000 images, " in text
    assert text.endswith(f" GB in {own_home}")


def test_the_demo_is_expected_to_take_minutes() -> None:
    assert expected_minutes("preset=demo") < 10


# demo


PARTS = ("conf", "src", "stages", "dvc.yaml", ".dvcignore", ".dvc/config", ".dvc/plots")
RESULTS = (
    "params.yaml",
    "dvc.lock",
    "metrics/summary.json",
    "reports/report.md",
    "models/probe/seed-0.safetensors",
)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole checkout with results in it."""
    root = tmp_path / "checkout"
    for name in PARTS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=ignore)
        else:
            shutil.copyfile(ROOT / name, root / name)
    for name in RESULTS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"the real {name}")
    (root / "src/transferlab/__pycache__").mkdir()
    (root / "src/transferlab/__pycache__/cli.pyc").touch()
    monkeypatch.setattr(demo, "checkout", lambda: root)
    return root


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """What the demo would run; it succeeds."""
    made: list[SimpleNamespace] = []

    def run(command: list[str], *, cwd: Path, env: dict[str, str], check: bool) -> SimpleNamespace:
        made.append(SimpleNamespace(command=command, cwd=cwd, env=env))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    return made


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".demo" not in path.relative_to(root).parts
    }


def test_the_demo_composes_and_runs_in_a_copy(
    checkout: Path, calls: list[SimpleNamespace], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = said(capsys, "demo")
    commands = [["transferlab", "compose", "preset=demo"], ["dvc", "repro"]]
    assert [call.command for call in calls] == [
        [sys.executable, "-m", *command] for command in commands
    ]
    assert {call.cwd for call in calls} == {checkout / ".demo"}
    assert lines == [f"The report is at {checkout}/.demo/reports/report.md"]


def test_the_demo_copies_the_code_and_no_results(
    checkout: Path, calls: list[SimpleNamespace]
) -> None:
    main.main(["demo"])
    copied = contents(checkout / ".demo")
    sources = {
        name for name in contents(checkout) if name not in RESULTS and "__pycache__" not in name
    }
    assert set(copied) == {*sources, ".dvc/config.local"}
    assert copied[".dvc/config.local"] == b"[core]\n    no_scm = true\n"
    assert (checkout / "src/transferlab/commands/main.py").read_bytes() == copied[
        "src/transferlab/commands/main.py"
    ]


def test_the_demo_touches_nothing_outside_its_copy(
    checkout: Path, calls: list[SimpleNamespace]
) -> None:
    before = contents(checkout)
    main.main(["demo"])
    assert contents(checkout) == before


def test_a_second_demo_takes_the_code_of_now_and_keeps_its_results(
    checkout: Path, calls: list[SimpleNamespace]
) -> None:
    main.main(["demo"])
    kept = checkout / ".demo/models/probe/seed-0.safetensors"
    kept.parent.mkdir(parents=True)
    kept.touch()
    (checkout / "stages/report.py").unlink()
    (checkout / "conf/config.yaml").write_text("# edited")
    main.main(["demo"])
    assert not (checkout / ".demo/stages/report.py").exists()
    assert (checkout / ".demo/conf/config.yaml").read_text() == "# edited"
    assert kept.exists()


def test_the_demo_hears_nothing_of_the_repository_around_it(
    checkout: Path, calls: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DVC_ROOT", "DVC_EXP_NAME", "TRANSFERLAB_MIRROR", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    main.main(["demo"])
    for call in calls:
        assert not {"DVC_ROOT", "DVC_EXP_NAME", "TRANSFERLAB_MIRROR", "MLFLOW_TRACKING_URI"} & set(
            call.env
        )
        assert call.env["PYTHONPATH"] == str(checkout / ".demo/src")
        assert call.env["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
        assert call.env["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_failing_demo_says_where_its_files_are(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Any] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        ran.append(command)
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(subprocess, "run", run)
    assert failure("demo").endswith(f"see above. Its files are in {checkout / '.demo'}.")
    assert len(ran) == 1


# ui


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would replace this process, with a tracking module that needs no MLflow."""
    made: list[list[str]] = []
    monkeypatch.setattr(os, "execvp", lambda _, command: made.append(command))
    return made


def track(monkeypatch: pytest.MonkeyPatch, uri: str) -> list[str]:
    prepared: list[str] = []
    address = SimpleNamespace(tracking_uri=lambda: uri)
    store = SimpleNamespace(prepare_store=lambda: prepared.append(uri))
    monkeypatch.setattr(tracking, "address", address, raising=False)
    monkeypatch.setattr(tracking, "store", store, raising=False)
    return prepared


def test_the_pages_show_the_local_store_on_this_machine_only(
    server: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = track(monkeypatch, "sqlite:////data/mlflow.db")
    assert said(capsys, "ui", "--port", "5001") == ["MLflow: http://127.0.0.1:5001"]
    (command,) = server
    assert prepared == ["sqlite:////data/mlflow.db"]
    assert command[command.index("--backend-store-uri") + 1] == "sqlite:////data/mlflow.db"
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "5001"


def test_a_server_that_exists_is_named_instead_of_started(
    server: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    track(monkeypatch, "http://tracking:5000")
    assert said(capsys, "ui") == ["MLflow: http://tracking:5000, as MLFLOW_TRACKING_URI says"]
    assert server == []
