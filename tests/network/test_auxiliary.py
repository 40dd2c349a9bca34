"""Inception's auxiliary classifier: it computes and teaches what torchvision's does."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from small import CPU, params_of
from torch import Tensor
from torch.nn.functional import cross_entropy

from transferlab.network import auxiliary, backbones, models, setup
from transferlab.params.learning.strategies import GradientStrategy
from transferlab.pipeline.files import write_json
from transferlab.training import loop
from transferlab.training.schedule import Moment


def test_starting_weights_keep_the_classifier_apart_from_the_network(tmp_path: Path) -> None:
    held = {"stem.0.weight": torch.zeros(2), "auxiliary.conv0.bn.bias": torch.ones(3)}
    sha256 = models.save(held, tmp_path / "data/weights/start.safetensors")
    write_json(tmp_path / "data/weights/start.json", {"sha256": sha256})
    assert list(setup.starting_weights(tmp_path)) == ["stem.0.weight"]
    found = setup.auxiliary_weights(tmp_path)
    assert list(found) == ["conv0.bn.bias"]
    assert found["conv0.bn.bias"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("side", [3, 11, 17, 20])
def test_crops_of_any_size_that_the_network_takes_are_classified(side: int) -> None:
    model = torch.nn.Sequential()
    model.add_module("stage3", torch.nn.Sequential())
    entering = torch.rand(2, 768, side, side)
    with auxiliary.attached(model, 5, {}, start="random", seed=0, compute=CPU):
        assert torch.equal(model.train()(entering), entering)
        (classifier,) = auxiliary.beside(model)
        assert classifier.taken().shape == (2, 5)
        assert auxiliary.beside(model.eval()) == []
    assert len(model.get_submodule("stage3")) == 0


def torchvisions() -> Any:
    """Its network with two classes, in which every module speaks."""
    how: dict[str, Any] = {"transform_input": True, "init_weights": False}
    net = torchvision.models.inception_v3(num_classes=2, aux_logits=True, **how).eval()
    torch.manual_seed(0)
    backbones.stir(net)
    return net


@pytest.mark.drill
def test_a_step_is_that_of_torchvisions_network_with_the_auxiliary_loss_times_0_4() -> None:
    theirs = torchvisions()
    beside = {name: value.clone() for name, value in theirs.AuxLogits.state_dict().items()}
    body = {k: value for k, value in theirs.state_dict().items() if not k.startswith("Aux")}
    ours = backbones.build("inception_v3", 2, weights=body)
    images, labels = torch.rand(1, 3, 299, 299).double(), torch.tensor([0])
    theirs.double().training = True  # its flag alone: norm layers and dropout stay as they are
    logits, others = theirs(images)
    (cross_entropy(logits, labels) + 0.4 * cross_entropy(others, labels)).backward()
    with auxiliary.attached(ours, 2, beside, start="zero", seed=0, compute=CPU):
        classifier = ours.get_submodule("stage3")[-1]  # type: ignore[index]
        classifier.eval().training = True
        train_loss = step(ours.double(), images, labels)["train_loss"]
    assert float(others.softmax(1)[0, 0].detach()) < 0.9, "else it has nothing to teach"
    assert train_loss == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-4)
    pairs = [(ours, backbones.in_parts("inception_v3", theirs))]
    for mine, wanted in [*pairs, (classifier.classify, theirs.AuxLogits)]:
        for name, parameter in wanted.named_parameters():
            gradient, scale = mine.get_parameter(name).grad, float(parameter.grad.abs().max())
            torch.testing.assert_close(gradient, parameter.grad, rtol=1e-3, atol=1e-3 * scale)


def step(model: torch.nn.Module, images: Tensor, labels: Tensor) -> dict[str, float | None]:
    """One of the loop's, at a rate of zero: the gradients stay."""
    strategy = params_of().strategies["finetune"]
    assert isinstance(strategy, GradientStrategy)
    optimizer = torch.optim.SGD([{"params": list(model.parameters()), "lr": 0.0, "base": 0.0}])
    batch = np.arange(len(images))
    source = SimpleNamespace(train=lambda batches, epoch: iter([images]), compute=CPU)
    return loop.descend(
        model,
        source,  # type: ignore[arg-type]
        labels,
        [batch],
        now=Moment(epoch=0, phase_epoch=0, length=1),
        optimizer=optimizer,
        strategy=replace(strategy, clip_norm=None, label_smoothing=0),
    )
