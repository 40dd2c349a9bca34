"""Backbones side by side are measured, and parts are printed with what trains when."""

from pathlib import Path

import pytest
from PIL import Image

from transferlab.commands.zoo import figure, measure, show
from transferlab.network import backbones
from transferlab.report.figures.sheet import save


def test_a_backbone_is_measured_and_not_quoted() -> None:
    found = measure.measure("tiny")
    net = backbones.build("tiny", 2)
    assert found.parameters == sum(parameter.numel() for parameter in net.parameters())
    assert (found.side, found.features, found.top1) == (64, 128, None)
    assert found.megabytes == pytest.approx(4 * found.parameters / 1e6, rel=0.02)
    assert found.forward > found.training > 0


@pytest.mark.slow
def test_the_accuracy_is_the_one_that_the_weights_say() -> None:
    """mobilenet_v3_small's first weights, by torchvision's own table."""
    assert measure._published("mobilenet_v3_small") == (224, 67.668)


def test_a_name_that_is_no_backbone_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(ValueError, match=r"zoo: expected some of tiny, .* got 'resnet19'"):
        show.zoo(["tiny", "resnet19"], None)


def some(name: str, top1: float | None, training: float) -> measure.Measured:
    return measure.Measured(
        name=name,
        side=224,
        parameters=10**7,
        features=512,
        megabytes=40.0,
        top1=top1,
        forward=3 * training,
        training=training,
        memory_mb=200.0,
    )


def test_the_figure_has_a_point_for_each_backbone_with_a_published_accuracy(tmp_path: Path) -> None:
    found = [some("resnet18", 69.8, 6.0), some("tiny", None, 300.0), some("vit_b_16", 81.1, 0.9)]
    drawn = figure.draw(found, "of one core")
    names = {text.get_text() for text in drawn.axes[0].texts}
    assert names == {"resnet18", "vit_b_16"}
    save(drawn, tmp_path / "zoo.png")
    with Image.open(tmp_path / "zoo.png") as picture:
        assert picture.size[0] > 1000


@pytest.mark.slow
def test_parts_say_what_each_strategy_trains_when(capsys: pytest.CaptureFixture[str]) -> None:
    show.parts(["preset=demo", "strategy=[probe,two_phase]", "train.max_epochs=3"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "tiny, images of 64 x 64 px"
    assert [line.split()[0] for line in lines[1:7]] == list(backbones.PARTS)
    assert lines[6].split()[1:6] == ["258", "parameters", "->", "2", "Linear"]
    assert "  no gradient: the head is solved for, the backbone frozen" in lines
    frozen = ", ".join(f"{part} frozen" for part in backbones.PARTS[:-1])
    assert f"  head, 2 epochs: {frozen}, head 0.001" in lines
    slow = ", ".join(f"{part} 1e-05" for part in backbones.PARTS[:-1])
    assert f"  all, 1 epoch: {slow}, head 0.0001" in lines
