"""A head that knows its training images instead of weights."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

TEMPERATURE = 0.07  # of the votes, as DINO's evaluation has it (arXiv 2104.14294)

FLOOR = 1e-3  # share of the votes that a class has without any neighbour


class Neighbours(nn.Module):
    """Weighted votes of the training images whose features point in the most similar directions.

    Args:
        inputs: Number of features F.
        outputs: Number of classes C.
        count: How many vote.
    """

    features: Tensor  # float32 [N, F], of length 1
    votes: Tensor  # float32 [N, C]

    def __init__(self, inputs: int, outputs: int, count: int):
        super().__init__()
        self.in_features, self.count = inputs, count
        self.register_buffer("features", torch.zeros(0, inputs))
        self.register_buffer("votes", torch.zeros(0, outputs))

    def know(self, features: Tensor, labels: Tensor) -> None:
        """Take the features [N, F] of training images, and their labels int64 [N]."""
        outputs = self.votes.shape[1]
        self.features = normalize(features.float(), dim=1)
        self.votes = torch.eye(outputs, device=features.device)[labels.to(features.device)]

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, F] -> logarithms of the shares of the votes [B, C]."""
        alike = normalize(features.float(), dim=1) @ self.features.T
        nearest, rows = alike.topk(min(self.count, len(self.features)), dim=1)
        weights = (nearest / TEMPERATURE).softmax(1)
        shares = (weights[..., None] * self.votes[rows]).sum(1)
        return (shares + FLOOR).log()


def make_room(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Let heads of this kind hold as many images as the tensors that are to be put into them."""
    for name, module in model.named_modules():
        if isinstance(module, Neighbours) and f"{name}.votes" in tensors:
            for key in ("features", "votes"):
                own, given = getattr(module, key), tensors[f"{name}.{key}"]
                setattr(module, key, own.new_zeros(len(given), own.shape[1]))
