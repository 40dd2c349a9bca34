"""What a run is expected to take."""

from pathlib import Path

import pytest
import yaml

from transferlab.params.reading import parse
from transferlab.settings import compose, cost


def expected_minutes(*settings: str) -> float:
    text = cost.expectation(parse(yaml.safe_load(compose.compose(settings))))
    return float(text.split("about ")[1].split(" minutes")[0])


@pytest.mark.slow
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
    assert text.startswith("1 strategy x 5 seeds of resnet18 on folder: about ")
    assert " minutes on 2 CPU cores per 1000 images, " in text
    assert text.endswith(f" GB in {own_home}")


def test_the_demo_is_expected_to_take_minutes() -> None:
    assert expected_minutes("preset=demo") < 10
