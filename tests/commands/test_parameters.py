"""Settings: what changes is said before it changes."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from called import edit, failure, said

from transferlab.commands.parameters import short
from transferlab.params.reading import load_params
from transferlab.settings import compose

# compose


@pytest.mark.slow
def test_compose_writes_what_conf_composes_to(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = said(capsys, "compose")
    assert (root / "params.yaml").read_text() == compose.compose(root=root)
    assert len(lines) == 1  # where nothing was, nothing changes
    assert lines[0].startswith("2 strategies x 5 seeds of resnet18 on hymenoptera: about ")


def test_compose_prints_every_key_that_changes(
    params_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = said(capsys, "compose", "strategy=probe", "train.batch_size=64", "seeds=[7]")
    assert lines[:-1] == [
        "params.yaml: seeds ([0, 1, 2, 3, 4] -> [7])",
        "params.yaml: train.batch_size (32 -> 64)",
        "params.yaml: strategies.frozen (left out)",
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
    told = failure("compose", "seeds=[7]")
    assert "expected room for params.yaml" in told
    assert "No space left on device" in told
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
        "Run: transferlab compose && dvc repro, or dvc exp run with these settings"
    )


def test_check_counts_what_it_does_not_name(params_file: Path) -> None:
    edit(params_file, "batch_size: 32", "batch_size: 332")
    for key in (
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
    assert failure("check").endswith("Compose it from conf/: transferlab compose.")


# How it is shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (0.5, "0.5"),
        ([1, 2], "[1, 2]"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 57 + "..."),
    ],
)
def test_a_value_is_shown_in_at_most_60_characters(value: Any, text: str) -> None:
    assert short(value) == text


@pytest.mark.slow
@pytest.mark.parametrize("content", [None, "seeds: [0", "dataset: {name: x}\n"])
def test_params_that_cannot_be_read_are_mended_by_the_command_that_is_named(
    root: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / "params.yaml"
    if content is not None:
        path.write_text(content)
    assert "transferlab compose" in failure("check")
    said(capsys, "compose")
    assert said(capsys, "check") == ["params.yaml is what conf/ composes to"]
