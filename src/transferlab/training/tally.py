"""What is measured on the way through an epoch."""

import torch
from torch import Tensor


class Tally:
    """Sums over an epoch's steps so far; they stay on the device until somebody asks.

    Args:
        device: Where the arithmetic runs.
        steps: Of the whole epoch.
    """

    def __init__(self, device: torch.device, steps: int):
        self.loss, self.correct, self.norms = torch.zeros(3, device=device)
        self.steps, self.step, self.images = steps, 0, 0

    def add(self, loss: Tensor, logits: Tensor, targets: Tensor, norm: Tensor) -> None:
        """A step.

        Args:
            loss: Mean of the batch.
            logits: [B, C].
            targets: int64 [B].
            norm: Of the gradient, before clipping.
        """
        self.loss += loss.detach() * len(targets)
        self.correct += (logits.detach().argmax(1) == targets).sum()
        self.norms += norm
        self.images += len(targets)
        self.step += 1

    def said(self) -> str:
        """The running loss, in words; on a GPU this waits for it."""
        if not self.step:
            return ""
        return f"step {self.step} of {self.steps}, loss {float(self.loss) / self.images:.3f}"

    def means(self) -> dict[str, float | None]:
        """Of loss and accuracy over the images, and of the gradient's norm over the steps."""
        return {
            "train_loss": float(self.loss) / self.images,
            "train_accuracy": float(self.correct) / self.images,
            "gradient_norm": float(self.norms) / self.steps,
        }
