"""The baseline: the loop of the PyTorch transfer-learning tutorial, with switches that lift its
costs one by one.

As in the tutorial every epoch decodes every JPEG, trains in batches of 4 and passes all test
images; SGD 0.001 with momentum 0.9, divided by 10 every 7 epochs; the model stays in training mode,
the norm layers of frozen parts included. Prints one line of JSON.
"""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from transferlab.network import backbones, device
from transferlab.params.learning.network import PARTS

TRAINED = {"frozen": ("head",), "partial": ("stage4", "head"), "finetune": PARTS}


class Decoded(ImageFolder):
    """The same folder with every image decoded once, its shorter side 256 px."""

    def __init__(self, root: Path, transform: Any):
        super().__init__(str(root), transform)
        self.kept = [transforms.Resize(256)(self.loader(path)) for path, _ in self.samples]

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """The transformed image and its label."""
        picture: Image.Image = self.kept[index]
        return self.transform(picture), self.targets[index]


def loaders(given: argparse.Namespace) -> dict[str, DataLoader[Any]]:
    """Training and test images, as the tutorial loads them."""
    normal = [
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
    views = {
        "train": [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), *normal],
        "val": [transforms.Resize(256), transforms.CenterCrop(224), *normal],
    }
    kind = Decoded if given.decoded else ImageFolder
    return {
        name: DataLoader(
            kind(given.data / name, transforms.Compose(view)),
            given.batch,
            shuffle=True,
            num_workers=given.workers,
        )
        for name, view in views.items()
    }


def network(given: argparse.Namespace, classes: int) -> nn.Module:
    """The published network with a new head; what the strategy freezes does not train."""
    state = torch.load(given.weights, weights_only=True) if given.weights else {}
    head = [name for name, _ in state.items() if name.endswith("bias")][-1:]
    net = torchvision.models.get_model(
        given.backbone, num_classes=len(state[head[0]]) if head else 1000
    )
    if state:
        net.load_state_dict(state)
    name, old = [
        (name, module) for name, module in net.named_modules() if isinstance(module, nn.Linear)
    ][-1]
    net.set_submodule(name, nn.Linear(old.in_features, classes))
    for part, modules in zip(PARTS, backbones.divided(given.backbone, net), strict=True):
        for module in modules:
            module.requires_grad_(part in TRAINED[given.strategy])
    net = net.to(given.device)
    return net.to(memory_format=torch.channels_last) if given.channels_last else net


def epoch(
    model: nn.Module,
    batches: Mapping[str, DataLoader[Any]],
    optimizer: torch.optim.Optimizer,
    layout: torch.memory_format | None,
) -> dict[str, float]:
    """Accuracy and number of passes of both phases, of which only "train" descends.

    Args:
        model: Changed in place.
        batches: Loader of each phase.
        optimizer: Of what trains.
        layout: Of the images; None: as they are loaded.
    """
    row: dict[str, float] = {}
    device = next(model.parameters()).device
    for phase, loader in batches.items():
        model.train(phase == "train")
        correct = passes = 0
        for loaded, named in loader:
            optimizer.zero_grad()
            images, labels = loaded.to(device), named.to(device)
            if layout is not None:
                images = images.contiguous(memory_format=layout)
            with torch.set_grad_enabled(phase == "train"):
                logits = model(images)
                loss = nn.functional.cross_entropy(logits, labels)
            if phase == "train":
                loss.backward()
                optimizer.step()
            correct += int((logits.argmax(1) == labels).sum())
            passes += len(images)
        row |= {f"{phase}_accuracy": correct / passes, f"{phase}_passes": passes}
    return row


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "data", type=Path, help="folder with train/ and val/, a folder per class in each"
    )
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--strategy", choices=TRAINED, default="frozen")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", type=torch.device, default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--decoded", action="store_true", help="decode every image once")
    parser.add_argument(
        "--keep-memory", action="store_true", help="let the allocator keep freed memory"
    )
    parser.add_argument("--channels-last", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Train and print what it took."""
    given = _arguments()
    torch.manual_seed(given.seed)
    if given.keep_memory:
        device.keep_freed_memory()
    begun = time.perf_counter()
    batches = loaders(given)
    model = network(given, len(batches["train"].dataset.classes))  # type: ignore[attr-defined]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.001, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    layout = torch.channels_last if given.channels_last else None
    prepared = time.perf_counter() - begun
    epochs = []
    for _ in range(given.epochs):
        begun = time.perf_counter()
        row = epoch(model, batches, optimizer, layout)
        schedule.step()
        epochs.append({"seconds": time.perf_counter() - begun, **row})
    found = {
        "prepared_seconds": prepared,
        "epochs": epochs,
        "peak_memory_mb": device.peak_memory_mb(given.device),
        "workers": given.workers,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
