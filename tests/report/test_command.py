"""What a report prints under Settings composes the same parameters again."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout import ROOT
from finished import parameters

from transferlab.report.command import again, changed_settings, different, quoted
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_of_another_backbone_no_more_is_said_than_a_person_sets() -> None:
    params = composed("backbone=mobilenet_v2", "backbone.weights=none", "seeds=[0,1]")
    defaults = read_defaults(ROOT / "conf/defaults.yaml")
    assert changed_settings(params, defaults) == [
        ("backbone", "resnet18", "mobilenet_v2"),
        ("seeds", [0, 1, 2, 3, 4], [0, 1]),
        ("backbone.weights", "official", "none"),
    ]
    assert again(params, defaults)[0] == [
        *("backbone=mobilenet_v2", "seeds=[0,1]", "backbone.weights=none"),
    ]


@pytest.mark.slow
def test_of_options_that_were_not_recorded_every_key_is_given() -> None:
    params = composed("backbone=tiny", "dataset=textures", "strategy=probe")
    defaults = {**read_defaults(ROOT / "conf/defaults.yaml"), "options": {}}
    words, lost = again(params, defaults)
    assert lost == [] and "backbone.precision=fp32" in words
    assert composed(*through_a_shell(words)) == params


@pytest.mark.slow
@pytest.mark.parametrize("group", ["dataset", "backbone"])
def test_every_option_is_recorded_as_it_composes(group: str) -> None:
    recorded = read_defaults(ROOT / "conf/defaults.yaml")["options"]
    files = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
    assert set(recorded[group]) == files - {"other"}  # which asks for a name
    assert recorded == compose.options_of(ROOT)


@pytest.mark.slow
def test_a_backbone_without_a_file_of_its_own_composes_from_other() -> None:
    params = composed("backbone=other", "backbone.name=torchvision/resnet34", "strategy=probe")
    words, lost = again(params, read_defaults(ROOT / "conf/defaults.yaml"))
    assert lost == [] and words[1:3] == ["backbone=other", "backbone.name=torchvision/resnet34"]
    assert composed(*through_a_shell(words)) == params


def test_two_recorded_settings_differ_by_single_keys_of_which_all_is_known() -> None:
    mine, theirs = parameters(), parameters()
    mine["backbone"] |= {"name": "torchvision/shufflenet_v2_x0_5", "weights": "none"}
    theirs["backbone"] |= {"name": "tiny", "weights": "none"}
    assert different(mine, theirs) == [
        ("backbone.name", "tiny", "torchvision/shufflenet_v2_x0_5"),
    ]
