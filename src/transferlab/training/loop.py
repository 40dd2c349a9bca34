"""The one loop that trains every gradient strategy."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, nll_loss
from torch.nn.modules.batchnorm import _BatchNorm

from ..data.chance import drawn_seed, named_generator
from ..network import auxiliary, models
from ..network.activations import IMAGES_A_PASS, Activations
from ..params.learning.strategies import GradientStrategy
from ..pipeline import heartbeat
from .checkpoint import Checkpoint, Progress, rank
from .keeping import Keeper
from .schedule import Moment, rate
from .strategies import PhasePlan
from .tally import Tally

LOSSES = ("train_loss", "validation_loss")


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What is learned from, and in which portions.

    Args:
        labels: int64 [N] of all images of the training split, where the model is.
        rows: Indices of the images to fit and of those to validate on.
        seed: Draws the order and the dropout.
        batch_size: Images per step.
        weights: Of the classes in the loss of training, float32 [K]; None: all alike.
    """

    labels: Tensor
    rows: tuple[np.ndarray, np.ndarray]
    seed: int
    batch_size: int
    weights: Tensor | None = None


def fit(
    model: nn.Sequential,
    plans: Sequence[PhasePlan],
    strategy: GradientStrategy,
    source_of: Callable[[int], Activations],
    *,
    examples: Examples,
    checkpoint: Checkpoint,
    log: Callable[[Mapping[str, Any]], None],
) -> Progress:
    """Train, and keep the epoch that is best on the validation rows.

    Args:
        model: Parts in order; ends with the tensors of the best epoch.
        plans: The phases.
        strategy: Optimiser, schedule, regularisation, selection.
        source_of: Number of frozen leading parts -> what enters the others.
        examples: Labels, rows, seed and batch size.
        checkpoint: Where the training saves itself, and goes on from.
        log: Receives each row of the history.

    Returns:
        The finished progress; `diverged` when a loss was not finite, then with the best epoch
        before it.
    """
    parts = changing_parts(model, plans, strategy)
    origin = {it: it.detach().clone() for it in model.parameters()} if pulled(strategy) else {}
    progress = checkpoint.load()
    progress.best_tensors = progress.best_tensors or models.tensors_of(model, parts)
    models.overlay(model, progress.tensors)
    end = 0
    with Keeper(checkpoint, model, parts) as keeper:
        for plan in plans:
            begun, end = end, end + plan.epochs
            if progress.status != "running" or progress.epoch >= end:
                continue
            optimizer = begin_phase(model, plan, strategy, origin)
            if progress.optimizer and progress.phase == plan.name:
                optimizer.load_state_dict(progress.optimizer)
            source, upper = source_of(plan.cut), model[plan.cut :]
            for epoch in range(progress.epoch, end):
                losses = [row["validation_loss"] for row in progress.history[begun:]]
                now = Moment(
                    epoch=epoch, phase_epoch=epoch - begun, length=plan.epochs, losses=losses
                )
                measured, seconds = one_epoch(
                    upper, source, examples, now=now, optimizer=optimizer, strategy=strategy
                )
                progress.passed(plan.name, seconds, source.shared.seconds if source.shared else {})
                if not all(_finite(measured[loss]) for loss in LOSSES):
                    progress.status = "diverged"
                    break
                row = {"phase": plan.name, "epoch": epoch + 1, **measured}
                progress.add(row, strategy.select_by, lambda: models.tensors_of(model, parts))
                log(row)
                keeper.epoch_done(progress, optimizer)
    models.overlay(model, progress.best_tensors)
    if progress.status == "running":
        progress.status = "finished"
    progress.tensors, progress.optimizer = {}, {}
    checkpoint.save(progress)
    return progress


def _finite(loss: float | None) -> bool:
    """Whether it is a number, or nothing was there to measure it on."""
    return loss is None or math.isfinite(loss)


def one_epoch(
    upper: nn.Module,
    source: Activations,
    examples: Examples,
    *,
    now: Moment,
    optimizer: torch.optim.Optimizer,
    strategy: GradientStrategy,
) -> tuple[dict[str, float | None], float]:
    """Every row to fit once, in an order of its own, and what comes of it on those to validate on.

    Returns:
        What is measured, and the seconds it took beside those of tables that are shared.
    """
    started, shared = time.perf_counter(), source.shared_seconds
    fitted, validated = examples.rows
    order = named_generator(examples.seed, f"order/{now.epoch}").permutation(fitted)
    batches = list(batches_of(order, examples.batch_size))
    torch.manual_seed(drawn_seed(examples.seed, f"dropout/{now.epoch}"))
    set_modes(upper, strategy.norm_statistics)
    measured: dict[str, float | None] = descend(
        upper,
        source,
        examples.labels,
        batches,
        weights=examples.weights,
        now=now,
        optimizer=optimizer,
        strategy=strategy,
    )
    measured |= validate(upper, source, examples.labels, validated)
    return measured, time.perf_counter() - started - (source.shared_seconds - shared)


def descend(
    upper: nn.Module,
    source: Activations,
    targets: Tensor,
    batches: Sequence[np.ndarray],
    *,
    weights: Tensor | None = None,
    now: Moment,
    optimizer: torch.optim.Optimizer,
    strategy: GradientStrategy,
) -> dict[str, float | None]:
    """One epoch of steps; gives the rate of the last one, and loss and accuracy on the way, which
    are the head's alone.

    Args:
        upper: The parts that train, and frozen ones between them.
        source: Gives what enters them.
        targets: int64 [N], labels of all images.
        batches: Rows of each step.
        weights: Of the classes in the loss, float32 [K]; None: all alike.
        now: Which epoch it is.
        optimizer: Its groups carry `base`, the rate before the schedule.
        strategy: Schedule, loss and clipping.
    """
    tally, beside = Tally(targets.device, len(batches)), auxiliary.beside(upper)
    with heartbeat.telling(tally.said):
        for batch, entering in zip(batches, source.train(batches, now.epoch), strict=True):
            multiplier = rate(strategy, now, tally.step / len(batches))
            for group in optimizer.param_groups:
                group["lr"] = group["base"] * multiplier
            y = targets[torch.from_numpy(batch).to(targets.device)]
            with source.compute.autocast():
                logits = upper(entering).float()
            loss = loss_of(strategy, logits, y, weights)
            others = [loss_of(strategy, it.taken(), y, weights) for it in beside]
            optimizer.zero_grad(set_to_none=True)
            sum((auxiliary.WEIGHT * other for other in others), loss).backward()  # type: ignore[no-untyped-call]
            pull(optimizer)
            most = math.inf if strategy.clip_norm is None else strategy.clip_norm
            norm = nn.utils.clip_grad_norm_(_trained(optimizer), most)
            optimizer.step()
            tally.add(loss, logits, y, norm)
    lr = max(group["lr"] for group in optimizer.param_groups)
    return {"lr": lr, **tally.means()}


def _trained(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def pulled(strategy: GradientStrategy) -> bool:
    """Whether the backbone decays towards its start."""
    return strategy.decay_to == "start" and strategy.weight_decay > 0


def pull(optimizer: torch.optim.Optimizer) -> None:
    """Add to the gradients what decays towards the start (L2-SP, arXiv 1802.01483)."""
    for group in optimizer.param_groups:
        for parameter, start in zip(group["params"], group.get("start", ()), strict=False):
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - start, alpha=group["pull"])


def begin_phase(
    model: nn.Sequential,
    plan: PhasePlan,
    strategy: GradientStrategy,
    origin: Mapping[nn.Parameter, Tensor],
) -> torch.optim.Optimizer:
    """Let exactly the plan's parameters train, and build their optimiser.

    Args:
        model: Parts in order.
        plan: The phase.
        strategy: Which optimiser.
        origin: Where parameters were before all training, of a strategy that decays towards it.
    """
    model.requires_grad_(False)
    for group in plan.groups:
        for parameter in group["params"]:
            parameter.requires_grad_(True)
    groups = [{**group, "base": group["lr"]} for group in plan.groups]
    for group in groups:
        if group.get("pull"):
            group["start"] = [origin[parameter] for parameter in group["params"]]
    if strategy.optimizer == "sgd":
        nesterov = strategy.nesterov and strategy.momentum > 0
        return torch.optim.SGD(groups, momentum=strategy.momentum, nesterov=nesterov)
    kinds: dict[str, type[torch.optim.Adam]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
    }
    return kinds[strategy.optimizer](groups, betas=(strategy.momentum, 0.999))


def set_modes(model: nn.Module, norm_statistics: str) -> None:
    """Training mode for the parts that train; frozen ones, with their dropout and norm layers, stay
    in eval mode.

    So a frozen norm layer never moves its running statistics, nor does any where the strategy says
    "frozen"; all do where it says "everywhere".
    """
    for part in model.children():
        part.train(any(parameter.requires_grad for parameter in part.parameters()))
    for module in model.modules():
        if isinstance(module, _BatchNorm) and norm_statistics != "batch":
            module.train(norm_statistics == "everywhere")


@torch.no_grad()
def validate(
    upper: nn.Module, source: Activations, targets: Tensor, rows: np.ndarray
) -> dict[str, float | None]:
    """Loss and accuracy on the test view of the given rows: sums over images, divided once; None
    without any.
    """
    if not len(rows):
        return {"validation_loss": None, "validation_accuracy": None}
    upper.eval()
    loss, correct = 0.0, 0
    for batch in batches_of(rows, IMAGES_A_PASS):
        y = targets[torch.from_numpy(batch).to(targets.device)]
        with source.compute.autocast():
            logits = upper(source.test(batch)).float()
        loss += float(cross_entropy(logits, y, reduction="sum"))
        correct += int((logits.argmax(1) == y).sum())
    return {"validation_loss": loss / len(rows), "validation_accuracy": correct / len(rows)}


def batches_of(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Batches in order; a last single row joins the batch before it, since BatchNorm cannot train
    on one image.
    """
    ends = list(range(size, len(rows), size))
    if ends and len(rows) - ends[-1] == 1:
        ends.pop()
    yield from np.split(rows, ends)


def loss_of(
    strategy: GradientStrategy, logits: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Mean loss of a batch: logits [B, C], targets int64 [B].

    With weights of the classes [C] it is their sum over the size of the batch: over their own sum,
    a batch of one class alone would count as any other.
    """
    share = 1.0 if weights is None else weights[targets].mean()
    if strategy.loss == "nll":
        return share * nll_loss(log_softmax(logits, 1), targets, weights)
    smoothing = strategy.label_smoothing
    return share * cross_entropy(logits, targets, weights, label_smoothing=smoothing)


def interpolate(
    model: nn.Sequential,
    start: Mapping[str, Tensor],
    progress: Progress,
    strategy: GradientStrategy,
    measure: Callable[[], Mapping[str, float | None]],
) -> dict[str, Any]:
    """Average the trained weights with those at the start, and keep the best share (Wortsman et al.
    2022, WiSE-FT).

    Args:
        model: As trained; ends with the chosen average.
        start: The tensors that training could change, as they were before it.
        progress: Of the training; its result becomes the average.
        strategy: The shares to try, and what selects among them; ties go to the other measure, then
            to the earlier.
        measure: Validation loss and accuracy of the model as it stands.

    Returns:
        The row of the history that stands for the average, as an epoch after the last.
    """
    end, tried = progress.best_tensors, []
    for share in strategy.interpolate or ():
        mixed = {
            name: torch.lerp(start[name].double(), end[name].double(), share).to(end[name])
            for name in end
        }
        models.overlay(model, mixed)
        row = {"phase": f"share = {share:g}", "epoch": progress.epoch + 1, "lr": None}
        row |= {"train_loss": None, "train_accuracy": None, "gradient_norm": None}
        tried.append(({**row, **measure()}, mixed))
    row, tensors = max(tried, key=lambda pair: rank(pair[0], strategy.select_by))
    progress.best = None
    progress.add(row, strategy.select_by, lambda: tensors)
    models.overlay(model, tensors)
    return row


def trained_parts(model: nn.Sequential, plans: Sequence[PhasePlan]) -> list[str]:
    """Names of the parts that any phase may change."""
    ours = {
        id(parameter) for plan in plans for group in plan.groups for parameter in group["params"]
    }
    return [
        name
        for name, part in model.named_children()
        if any(id(p) in ours for p in part.parameters())
    ]


def changing_parts(
    model: nn.Sequential, plans: Sequence[PhasePlan], strategy: GradientStrategy
) -> list[str]:
    """Names of the parts whose tensors any phase may change: norm layers of frozen parts move their
    statistics where they see the batch.
    """
    trained = trained_parts(model, plans)
    if strategy.norm_statistics != "everywhere":
        return trained
    return [
        name
        for name, part in model.named_children()
        if name in trained or any(isinstance(it, _BatchNorm) for it in part.modules())
    ]
