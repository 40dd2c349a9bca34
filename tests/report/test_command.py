"""What a report prints under Settings composes the same parameters again."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout import ROOT

from transferlab.report.command import again, quoted
from transferlab.report.opened import read_defaults
from transferlab.settings import compose
from transferlab.settings.changes import override_value


def composed(*overrides: str) -> Any:
    return yaml.safe_load(compose.compose(overrides))


def through_a_shell(words: list[str]) -> list[str]:
    """The words as a shell reads them, of the line that a person pastes."""
    line = " ".join(quoted(word) for word in words)
    assert "\n" not in line
    run = ["bash", "-c", f"printf '%s\\0' {line}"]
    return subprocess.run(run, capture_output=True, check=True).stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(("strategy=probe", "seeds=[0]", "strategies.probe.folds=3"), id="keys"),
        pytest.param(
            ("backbone=efficientnet_b4", "backbone.preprocessing={resize_px:256,crop_px:224}"),
            id="another backbone with a key put back to the default",
        ),
        pytest.param(("preset=demo", "engine.precision=bf16"), id="groups by a preset"),
    ],
)
def test_the_printed_command_composes_the_same_parameters(overrides: tuple[str, ...]) -> None:
    params, defaults = composed(*overrides), read_defaults(ROOT / "conf/defaults.yaml")
    words, lost = again(params, defaults)
    assert lost == []
    assert composed(*through_a_shell(words)) == params


def test_images_of_ones_own_compose_again_whatever_they_are_called(tmp_path: Path) -> None:
    """Quotes, commas, line breaks and `$`: of the shell, of Hydra and of Markdown."""
    folder = tmp_path / "it's $HOME, a=b"
    for name in ("x", "y"):
        (folder / name).mkdir(parents=True)
    (folder / "x/1.jpg").write_bytes(b"x")
    path = f"dataset.path={override_value(str(folder))}"
    classes = ["a b", "null", "=x", "new\nline", "\u05d0", "100 %"]
    names = f"dataset.classes={override_value(classes)}"
    params = composed("dataset=folder", path, names, "dataset.name=mine", "strategy=probe")
    params["dataset"]["imagenet"] = None
    words, lost = again(params, read_defaults(ROOT / "conf/defaults.yaml"))
    assert lost == []
    assert words[:3] == ["strategy=probe", "dataset=folder", "dataset.name=mine"]
    assert composed(*through_a_shell(words)) == params
