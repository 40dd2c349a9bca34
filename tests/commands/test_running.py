"""`make repro` runs what is meant where params.yaml and conf/ differ; it replaces none silently."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from called import edit, failure, said

from transferlab.commands import main
from transferlab.settings import compose

pytestmark = pytest.mark.slow

DVC = ("-m", "transferlab.settings.between_stages", "dvc")
COMMITTED = ("seeds=[7]", "train.batch_size=16")
KEPT = "params.yaml is run as it stands (dvc repro); conf/ would give "


class Became(BaseException):
    """This process has become another program."""


@pytest.fixture(autouse=True)
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that this process would have become."""
    made: list[list[str]] = []

    def become(_: str, command: list[str]) -> None:
        made.append(command[1:])
        raise Became

    monkeypatch.setattr(os, "execv", become)
    return made


def git(root: Path, *words: str) -> None:
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", *identity, *words], cwd=root, check=True, capture_output=True)


@pytest.fixture
def clone(root: Path) -> Path:
    """A clone of a result that somebody made with settings of their own, and committed."""
    (root / "params.yaml").write_text(compose.compose(COMMITTED, root))
    git(root, "init", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--message", "result")
    return root


def repro(capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(Became):
        main.main(["repro"])
    return capsys.readouterr().out.splitlines()


def test_a_clone_runs_what_was_committed_and_both_commands_are_named(
    clone: Path, ran: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (clone / "params.yaml").read_bytes()
    assert repro(capsys) == [
        f"{KEPT}seeds ([7] -> [0, 1, 2, 3, 4]), train.batch_size (16 -> 32). "
        "To run conf/: transferlab compose && dvc repro",
        "dvc repro",
    ]
    assert (clone / "params.yaml").read_bytes() == before
    assert ran == [[*DVC, "repro"]]


def test_an_edit_of_conf_is_composed_and_the_committed_settings_are_named(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(clone / "conf/config.yaml", "batch_size: 32", "batch_size: 48")
    lines = repro(capsys)
    assert (clone / "params.yaml").read_text() == compose.compose(root=clone)
    assert "params.yaml: train.batch_size (16 -> 48)" in lines
    assert lines[-2:] == [
        "conf/ was edited, so params.yaml was composed anew. To run the committed one: git "
        "checkout params.yaml && dvc repro",
        "dvc repro",
    ]


def test_one_edit_of_conf_after_another_is_composed_without_a_commit(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for old, new in (("32", "48"), ("48", "50"), ("50", "52")):
        edit(clone / "conf/config.yaml", f"batch_size: {old}", f"batch_size: {new}")
        repro(capsys)
        assert f"batch_size: {new}\n" in (clone / "params.yaml").read_text()


def test_a_hand_edit_is_run(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(clone / "params.yaml", "batch_size: 16", "batch_size: 17")
    before = (clone / "params.yaml").read_bytes()
    assert repro(capsys)[0].startswith(f"{KEPT}seeds ([7] -> [0, 1, 2, 3, 4]), train.batch_size")
    assert (clone / "params.yaml").read_bytes() == before


def test_a_wrong_hand_edit_is_named_before_anything_runs(clone: Path) -> None:
    edit(clone / "params.yaml", "batch_size: 16", "batch_size: 0")
    text = failure("repro")
    assert text.startswith("error: params.yaml: train.batch_size: expected greater than or equal")


def test_edits_of_both_are_refused_with_both_commands(clone: Path, ran: list[list[str]]) -> None:
    edit(clone / "params.yaml", "batch_size: 16", "batch_size: 17")
    edit(clone / "conf/config.yaml", "batch_size: 32", "batch_size: 48")
    before = (clone / "params.yaml").read_bytes()
    assert failure("repro") == (
        "error: params.yaml: expected what conf/ composes to, or edits of one of the two, got "
        "seeds ([7] -> [0, 1, 2, 3, 4]), train.batch_size (17 -> 48). "
        "To run params.yaml: dvc repro. "
        "To run conf/: transferlab compose && dvc repro."
    )
    assert (clone / "params.yaml").read_bytes() == before
    assert ran == []


def test_what_an_experiment_composed_is_run_until_conf_is_edited(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "compose", "seeds=[8]")
    assert repro(capsys)[0].startswith(f"{KEPT}seeds ([8] -> ")
    edit(clone / "conf/config.yaml", "batch_size: 32", "batch_size: 48")
    assert "params.yaml: seeds ([8] -> [0, 1, 2, 3, 4])" in repro(capsys)


def test_where_conf_does_not_compose_here_the_committed_settings_are_run(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a clone without the images that its data set names."""
    edit(clone / "conf/config.yaml", "dataset: hymenoptera", "dataset: folder")
    edit(clone / "conf/dataset/folder.yaml", "path: ???", "path: nowhere")
    git(clone, "commit", "--all", "--message", "images of our own")
    lines = repro(capsys)
    assert "found nothing at 'nowhere'" in lines[0]
    assert lines[1] == "So conf/ is not composed here, and params.yaml is run as it stands."
    edit(clone / "conf/config.yaml", "batch_size: 32", "batch_size: 48")
    assert "found nothing at 'nowhere'" in failure("repro")


def test_a_second_experiment_accuses_nobody_of_hand_edits(
    clone: Path, ran: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    for seeds in ("seeds=[8]", "seeds=[9]"):
        with pytest.raises(Became):
            main.main(["experiment", seeds])
        assert "instead" not in capsys.readouterr().out
        said(capsys, "compose", seeds)  # as DVC does
    assert ran[-1] == [*DVC, "exp", "run", "-S", "seeds=[9]"]
    edit(clone / "params.yaml", "batch_size: 32", "batch_size: 17")
    with pytest.raises(Became):
        main.main(["experiment", "seeds=[9]"])
    assert "differs from conf/ in train.batch_size (17 -> 32); " in (capsys.readouterr().out)


def test_without_git_there_is_one_line_with_the_remedy(
    root: Path, ran: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    remedy = "Run: git init && git add --all && git commit --message start"
    line = f"error: {root} is no git repository (a downloaded zip?), and DVC needs one. {remedy}"
    assert failure("repro") == line
    assert failure("experiment") == line
    git(root, "init")
    assert failure("experiment") == (
        "error: git has no commit yet, and experiments start from one. "
        "Run: git add --all && git commit --message start"
    )
    assert ran == []
    repro(capsys)  # DVC needs no commit for it
    assert ran == [[*DVC, "repro"]]


def test_settings_of_an_experiment_reach_dvc_as_they_are(clone: Path, ran: list[list[str]]) -> None:
    setting = "strategies.frozen.title='a b, c'"
    with pytest.raises(Became):
        main.main(["experiment", "seeds=[3]", setting])
    assert ran == [[*DVC, "exp", "run", "-S", "seeds=[3]", "-S", setting]]


def test_an_experiment_beside_another_run_is_refused_before_dvc_puts_anything_aside(
    clone: Path, ran: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    script = tmp_path_factory.mktemp("bin") / "dvc"
    script.write_text("input()")
    with subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE) as other:
        held = {"write": {"/a": {"pid": other.pid, "cmd": "dvc repro"}}}
        lock = clone / ".dvc/tmp/rwlock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.write_text(json.dumps(held))
        said = f"expected no other experiment at work here, got one (PID {other.pid})."
        assert said in failure("experiment")
        other.communicate(b"\n")
    assert ran == []
    with pytest.raises(Became):
        main.main(["experiment"])
