"""The one loop: what is frozen stays, what is killed goes on, and only seeds and values make a
difference.
"""

import math
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from small import CPU, setup_of
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from transferlab.data.archive import textures
from transferlab.data.chance import named_generator, stratified_split
from transferlab.data.images import Images
from transferlab.network import auxiliary, backbones, models
from transferlab.network.activations import Activations
from transferlab.network.setup import setup_for
from transferlab.network.views import Views
from transferlab.params.learning.network import PARTS
from transferlab.params.learning.recipe import recipe_of
from transferlab.params.learning.strategies import GradientStrategy
from transferlab.params.reading import parse
from transferlab.params.whole import Params
from transferlab.pipeline import heartbeat, signals
from transferlab.settings import compose
from transferlab.training import checkpoint as saved
from transferlab.training import keeping, loop, strategies
from transferlab.training.checkpoint import Checkpoint, Progress, rank
from transferlab.training.schedule import Moment, plateau, rate
from transferlab.training.task import Task, learn, outcome

SMALL = [
    "preset=demo",
    "strategy=[scratch,frozen,partial,finetune,progressive]",
    "backbone.preprocessing.resize_px=32",
    "backbone.preprocessing.crop_px=32",
    "train.batch_size=6",
    "engine.checkpoint_seconds=0.0",
]
EPOCHS = {"scratch": 3, "frozen": 4, "partial": 3, "finetune": 3, "progressive": 5}
Log = Callable[[Mapping[str, Any]], None]


@cache
def small_params() -> Params:
    epochs = [f"strategies.{name}.epochs={count}" for name, count in EPOCHS.items()]
    return parse(yaml.safe_load(compose.compose([*SMALL, *epochs])))


@cache
def drawn(per_class: int = 10, px: int = 32) -> Images:
    classes = ("stripes", "dots")
    labels = np.repeat(np.arange(2), per_class)
    pixels = [
        textures.draw(classes[label], px, 0.1, named_generator(0, f"image {i}"))
        for i, label in enumerate(labels)
    ]
    return Images(
        ids=tuple(f"train/{i}" for i in range(len(labels))),
        labels=labels,
        classes=classes,
        digest=f"{per_class} of each",
        pixels=np.concatenate([image.ravel() for image in pixels]),
        places=np.array([[i * px * px * 3, px, px] for i in range(len(labels))]),
    )


def strategy_of(name: str, **changes: Any) -> GradientStrategy:
    strategy = small_params().strategies[name]
    assert isinstance(strategy, GradientStrategy)
    return replace(strategy, **changes)


def one_phase(rates: dict[str, float | None], **changes: Any) -> GradientStrategy:
    strategy = strategy_of("finetune")
    return replace(
        strategy, phases={"only": replace(strategy.phases["all"], rates=rates)}, **changes
    )


def model_of(dropout: float = 0.0) -> nn.Sequential:
    """A pretrained network: its norm layers have seen images, its head is new."""
    model = backbones.build("tiny", 2)
    chance = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features, generator=chance) / 10
            module.running_var = torch.rand(module.num_features, generator=chance) + 0.5
    if dropout:
        for part in ("stage3", "stage4", "head"):
            sequence = model.get_submodule(part)
            assert isinstance(sequence, nn.Sequential)
            sequence.insert(0, nn.Dropout(dropout))
    new_head(model, "zero", seed=0)
    return backbones.move(model, CPU)


def new_head(model: nn.Sequential, start: str, seed: int) -> None:
    backbones.new_head(model, 2, start=start, seed=seed, hidden=None, dropout=None)


def task_of(strategy: GradientStrategy, seed: int = 0, images: Images | None = None) -> Task:
    params, images = replace(small_params(), strategies={"it": strategy}), images or drawn()
    recipe, setup = recipe_of(params, "it").settled(len(images)), setup_of(params)
    rows = stratified_split(images.labels, 0.3, seed, "validation")
    return Task(recipe=recipe, setup=setup, images=images, rows=rows, seed=seed)


def training(
    strategy: GradientStrategy,
    folder: Path,
    *,
    seed: int = 0,
    dropout: float = 0.0,
    log: Log = lambda row: None,
    images: Images | None = None,
    every: float = 0.0,
) -> tuple[nn.Sequential, Progress]:
    """Train the small network; a checkpoint in the folder is gone on from, as the stage would."""
    folder.mkdir(exist_ok=True)
    model = model_of(dropout)
    task, checkpoint = task_of(strategy, seed, images), Checkpoint(folder / "it.pt", every)
    done, _ = learn(model, task, checkpoint, log)
    return model, done


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


def changed(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> set[str]:
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


# ---------------------------------------------------------------- what is frozen


@pytest.mark.parametrize("norm_statistics", ["frozen", "batch"])
@pytest.mark.parametrize(
    "rates",
    [
        {"head": 1.0, "*": None},
        {"head": 1.0, "stage4": 1.0, "*": None},
        {"head": 1.0, "stage3": 1.0, "stem": 1.0, "*": None},
    ],
    ids=["head", "partial", "frozen parts between"],
)
def test_every_parameter_and_buffer_of_frozen_parts_stays_to_the_bit(
    rates: dict[str, float | None], norm_statistics: str, tmp_path: Path
) -> None:
    strategy = one_phase(rates, norm_statistics=norm_statistics, weight_decay=0.1, lr=0.1)
    before = models.tensors_of(model_of(), PARTS)
    model, _ = training(strategy, tmp_path)
    trained = {part for part in PARTS if strategies.rate_of(rates, part) is not None}
    touched = changed(before, model.state_dict())
    assert {name.split(".")[0] for name in touched} == trained
    statistics = {name for name in touched if "running" in name or "num_batches" in name}
    assert bool(statistics) == (norm_statistics == "batch" and trained != {"head"})


def test_head_only_training_changes_two_tensors(tmp_path: Path) -> None:
    before = models.tensors_of(model_of(), PARTS)
    model, done = training(strategy_of("frozen"), tmp_path)
    assert (
        changed(before, model.state_dict())
        == {"head.0.weight", "head.0.bias"}
        == set(done.best_tensors)
    )


def test_only_what_trains_is_in_training_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, bool]] = []
    original = loop.set_modes

    def watched(upper: nn.Module, norm_statistics: str) -> None:
        original(upper, norm_statistics)
        seen.append(
            {name: module.training for name, module in upper.named_modules() if "." in name}
        )

    monkeypatch.setattr(loop, "set_modes", watched)
    rates: dict[str, float | None] = {"head": 1.0, "stage4": 1.0, "stage2": 1.0, "*": None}
    training(one_phase(rates, norm_statistics="batch"), tmp_path / "batch", dropout=0.5)
    assert len(seen) == EPOCHS["finetune"]
    for modes in seen:
        assert modes["stage2.1"], "a norm layer that trains"
        assert not any(modes[name] for name in modes if name.startswith("stage3")), (
            "frozen, its dropout too"
        )
        assert modes["stage4.0"]
        assert modes["head.0"]
    seen.clear()
    training(one_phase(rates, norm_statistics="frozen"), tmp_path / "frozen", dropout=0.5)
    norms = [
        name for name, module in model_of(0.5).named_modules() if isinstance(module, nn.BatchNorm2d)
    ]
    assert not any(modes.get(name, False) for modes in seen for name in norms)
    assert all(modes["stage4.0"] for modes in seen), "dropout of a trained part"


# ---------------------------------------------------------------- chance


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, optimizer", [("scratch", "sgd"), ("finetune", "adamw"), ("frozen", "adam")]
)
def test_the_same_seed_gives_the_same_tensors_and_another_others(
    name: str, optimizer: str, tmp_path: Path
) -> None:
    strategy = strategy_of(name, optimizer=optimizer)
    first, done = training(strategy, tmp_path / "first", dropout=0.2)
    torch.rand(7), np.random.default_rng().random(3)
    second, again = training(strategy, tmp_path / "second", dropout=0.2)
    assert same(first.state_dict(), second.state_dict())
    assert done.history == again.history
    other, _ = training(strategy, tmp_path / "other", seed=1, dropout=0.2)
    assert not same(first.state_dict(), other.state_dict())


def test_strategies_see_the_same_order_and_the_same_views(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[tuple[list[int], int]] = []
    views: dict[tuple[int, int], Tensor] = {}
    take, draw = Activations.train, Views.crops

    def watched_train(
        self: Activations, batches: Sequence[np.ndarray], epoch: int
    ) -> Iterator[Tensor]:
        orders.extend((rows.tolist(), epoch) for rows in batches)
        return take(self, batches, epoch)

    def watched_crops(self: Views, rows: Sequence[int], view: int | None) -> Tensor:
        found = draw(self, rows, view)
        if view is not None:
            for row, pixels in zip(rows, found, strict=True):
                assert torch.equal(views.setdefault((row, view), pixels), pixels)
        return found

    monkeypatch.setattr(Activations, "train", watched_train)
    monkeypatch.setattr(Views, "crops", watched_crops)
    seen = []
    for name in ("frozen", "partial", "finetune", "progressive"):
        training(strategy_of(name, epochs=3), tmp_path / name)
        seen.append(list(orders))
        orders.clear()
    assert seen[0] == seen[1] == seen[2] == seen[3]
    assert {view for _, view in views} >= {0, 1, 2}


@pytest.mark.parametrize("name", ["frozen", "partial"])
def test_as_many_kept_views_as_epochs_equal_a_fresh_view_every_epoch(
    name: str, tmp_path: Path
) -> None:
    strategy = strategy_of(name, lr=0.05)
    kept, done = training(replace(strategy, views=strategy.epochs), tmp_path / "kept")
    fresh, again = training(replace(strategy, views=None), tmp_path / "fresh")
    for ours, theirs in zip(done.history, again.history, strict=True):
        assert ours.pop("phase") == theirs.pop("phase")
        assert ours == pytest.approx(theirs, rel=1e-4)
    for key, value in kept.state_dict().items():
        torch.testing.assert_close(value, fresh.state_dict()[key], rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------- the epoch that is kept


def row(epoch: int, accuracy: float, loss: float) -> dict[str, Any]:
    return {"epoch": epoch, "validation_accuracy": accuracy, "validation_loss": loss}


@pytest.mark.parametrize(
    "select_by, kept",
    [("accuracy", 3), ("loss", 5)],
)
def test_best_epoch_is_the_first_with_the_best_measure_then_the_other_one(
    select_by: str, kept: int
) -> None:
    progress = Progress()
    measures = [(0.8, 0.9), (0.9, 0.8), (0.9, 0.6), (0.9, 0.6), (0.7, 0.5), (0.6, 0.5), (0.9, 0.7)]
    for i, (accuracy, loss) in enumerate(measures):
        progress.add(
            row(i + 1, accuracy, loss), select_by, lambda i=i: {"epoch": torch.tensor(i + 1)}
        )  # type: ignore[misc]
    assert progress.best_epoch == kept == progress.best_tensors["epoch"].item()
    assert len(progress.history) == len(measures)


def test_returned_tensors_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    strategy = strategy_of("finetune", epochs=6, lr=0.3, schedule="constant")
    per_epoch: list[dict[str, Tensor]] = []
    add = Progress.add

    def watched(self: Progress, row: dict[str, Any], select_by: str, tensors: Any) -> None:
        per_epoch.append(tensors())
        add(self, row, select_by, tensors)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Progress, "add", watched)
        model, done = training(strategy, tmp_path)
    ranks = [(entry["validation_accuracy"], -entry["validation_loss"]) for entry in done.history]
    assert done.best_epoch == ranks.index(max(ranks)) + 1
    assert same(done.best_tensors, per_epoch[done.best_epoch - 1])
    assert same(models.tensors_of(model, PARTS), done.best_tensors)
    task = task_of(strategy)
    source = task.source(model, None, 1, 0)
    found = loop.validate(model, source, torch.from_numpy(task.images.labels), task.rows[1])
    assert found == {key: done.history[done.best_epoch - 1][key] for key in found}


# ---------------------------------------------------------------- killed and gone on


class Killed(KeyboardInterrupt):
    """What the terminal's Ctrl-C raises."""


def kill_at(epoch: int) -> Log:
    def log(row: Mapping[str, Any]) -> None:
        if row["epoch"] == epoch:
            raise Killed

    return log


RESUMED = {
    "head only, kept features": ("frozen", {}, 0.0),
    "plateau": ("finetune", {"schedule": "plateau", "patience": 0, "warmup": 0.0}, 0.0),
    "phases, Adam, batch statistics": (
        "progressive",
        {"optimizer": "adam", "norm_statistics": "batch"},
        0.0,
    ),
    "dropout and AdamW": ("finetune", {"optimizer": "adamw"}, 0.3),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", RESUMED)
def test_training_killed_at_any_epoch_goes_on_to_the_undisturbed_result(
    case: str, tmp_path: Path
) -> None:
    name, changes, dropout = RESUMED[case]
    strategy = strategy_of(name, lr=0.05, **changes)
    model, done = training(strategy, tmp_path / "undisturbed", dropout=dropout)
    for epoch in range(1, strategy.epochs + 1):
        folder = tmp_path / f"killed {epoch}"
        with pytest.raises(Killed):
            training(strategy, folder, dropout=dropout, log=kill_at(epoch))
        logged: list[int] = []

        def log(row: Mapping[str, Any], logged: list[int] = logged) -> None:
            logged.append(row["epoch"])

        resumed, again = training(strategy, folder, dropout=dropout, log=log)
        assert logged == list(range(epoch, strategy.epochs + 1)), "no epoch is trained twice"
        assert same(resumed.state_dict(), model.state_dict())
        assert same(again.best_tensors, done.best_tensors)
        assert (again.history, again.best_epoch, again.status) == (
            done.history,
            done.best_epoch,
            done.status,
        )


@pytest.mark.slow
def test_training_killed_again_and_again_goes_on_to_the_undisturbed_result(tmp_path: Path) -> None:
    strategy = strategy_of("progressive", optimizer="adam")
    model, done = training(strategy, tmp_path / "undisturbed")
    for epoch in range(1, strategy.epochs + 1):
        with pytest.raises(Killed):
            training(strategy, tmp_path, log=kill_at(epoch))
    resumed, again = training(strategy, tmp_path)
    assert same(resumed.state_dict(), model.state_dict())
    assert again.history == done.history


@pytest.mark.slow
@pytest.mark.skipif(
    torch.cuda.is_available() or not hasattr(os, "fork"), reason="autograd cannot be forked here"
)
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_process_that_was_killed_goes_on_to_the_undisturbed_result(tmp_path: Path) -> None:
    strategy = strategy_of("progressive")
    model, done = training(strategy, tmp_path / "undisturbed")

    def kill(row: Mapping[str, Any]) -> None:
        if row["epoch"] == 4:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        try:
            training(strategy, tmp_path, log=kill)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    logged: list[int] = []
    resumed, again = training(strategy, tmp_path, log=lambda row: logged.append(row["epoch"]))
    assert logged == [4, 5]
    assert same(resumed.state_dict(), model.state_dict())
    assert again.history == done.history


NEVER = 1e6  # seconds between two saves


def interrupt_within(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its steps, which have moved every tensor."""
    begun, descend = iter(range(epoch + 1)), loop.descend

    def interrupted(*given: Any, **named: Any) -> dict[str, float]:
        measured = descend(*given, **named)
        if next(begun) == epoch:
            raise Killed
        return measured

    monkeypatch.setattr(loop, "descend", interrupted)


@pytest.mark.slow
@pytest.mark.parametrize("case", RESUMED)
def test_interrupted_training_saves_its_last_whole_epoch_and_goes_on_to_the_undisturbed_result(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "SECONDS", 0.0)
    monkeypatch.setattr(keeping, "SHARE", math.inf)
    name, changes, dropout = RESUMED[case]
    strategy = strategy_of(name, lr=0.05, **changes)
    model, done = training(strategy, tmp_path / "undisturbed", dropout=dropout)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        interrupt_within(2, patch)
        training(strategy, tmp_path, dropout=dropout, every=NEVER)
    logged: list[int] = []
    resumed, again = training(
        strategy, tmp_path, dropout=dropout, log=lambda row: logged.append(row["epoch"])
    )
    assert logged == list(range(3, strategy.epochs + 1))
    assert same(resumed.state_dict(), model.state_dict())
    assert same(again.best_tensors, done.best_tensors)
    assert again.history == done.history


def test_training_interrupted_in_its_first_epoch_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_within(0, monkeypatch)
    with pytest.raises(Killed):
        training(strategy_of("finetune"), tmp_path, every=NEVER)
    assert list(tmp_path.iterdir()) == []


def test_second_signal_while_a_training_saves_itself_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "SECONDS", 0.0)
    monkeypatch.setattr(keeping, "SHARE", math.inf)
    monkeypatch.setattr(signals, "SAME_REQUEST", 0.0)
    save, saved = Checkpoint.save, []

    def disturbed(checkpoint: Checkpoint, progress: Progress) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        saved.append(progress.epoch)
        save(checkpoint, progress)

    monkeypatch.setattr(Checkpoint, "save", disturbed)
    interrupt_within(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt), signals.interrupting():
        training(strategy_of("finetune"), tmp_path, every=NEVER)
    assert saved == [2]
    assert Checkpoint(tmp_path / "it.pt", NEVER).load().epoch == 2


def test_copies_in_memory_take_a_small_share_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(keeping.time, "monotonic", lambda: clock[0])
    copies = []

    def copy(model: nn.Module, parts: Sequence[str]) -> dict[str, Tensor]:
        copies.append(clock[0])
        clock[0] += 0.125  # as from a device
        return {}

    monkeypatch.setattr(models, "tensors_of", copy)
    model = model_of()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    keeper = keeping.Keeper(Checkpoint(tmp_path / "it.pt", NEVER), model, PARTS)
    for _ in range(200):
        clock[0] += 0.125
        keeper.epoch_done(Progress(), optimizer)
    assert copies == [1.0, 7.375, 13.75, 20.125]


def test_finished_training_is_not_repeated(tmp_path: Path) -> None:
    model, done = training(strategy_of("finetune"), tmp_path)
    again, found = training(
        strategy_of("finetune"), tmp_path, log=lambda row: pytest.fail("trained again")
    )
    assert same(again.state_dict(), model.state_dict())
    assert (found.status, found.history, found.seconds) == ("finished", done.history, done.seconds)


def test_seconds_of_kept_tables_survive_a_kill(tmp_path: Path) -> None:
    strategy = strategy_of("frozen", views=2)
    with pytest.raises(Killed):
        training(strategy, tmp_path, log=kill_at(4))
    _, done = training(strategy, tmp_path)
    assert len(done.shared) == 3


def damaged(content: bytes, damage: str) -> bytes:
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    return {"flipped bit": flipped, "truncated": content[:-50], "empty": b"", "text": b"x"}[damage]


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True], ids=["the last save", "both saves"])
@pytest.mark.parametrize("damage", ["flipped bit", "truncated", "empty", "text"])
def test_damaged_save_falls_back_to_the_one_before_and_says_so(
    damage: str, both: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    strategy = strategy_of("finetune")
    model, done = training(strategy, tmp_path / "undisturbed")
    with pytest.raises(Killed):
        training(strategy, tmp_path, log=kill_at(3))
    for name in ("it.pt", "it.previous.pt") if both else ("it.pt",):
        (tmp_path / name).write_bytes(damaged((tmp_path / name).read_bytes(), damage))
    logged: list[int] = []
    again, found = training(strategy, tmp_path, log=lambda row: logged.append(row["epoch"]))
    assert logged == ([1, 2, 3] if both else [2, 3])
    assert [message.partition("it.")[2] for message in caplog.messages] == [
        "pt: this saved training is damaged. The save before it is taken.",
        "previous.pt: this saved training is damaged. The training starts afresh.",
    ][: 1 + both]
    assert same(again.state_dict(), model.state_dict())
    assert found.history == done.history


def test_damaged_finished_training_goes_on_from_its_last_save(tmp_path: Path) -> None:
    model, _ = training(strategy_of("finetune"), tmp_path)
    path = tmp_path / "it.pt"
    path.write_bytes(damaged(path.read_bytes(), "flipped bit"))
    again, _ = training(
        strategy_of("finetune"), tmp_path, log=lambda row: pytest.fail("trained again")
    )
    assert same(again.state_dict(), model.state_dict())


def test_file_that_is_no_training_counts_as_damaged(tmp_path: Path) -> None:
    torch.save({"epochs": 3}, tmp_path / "it.pt")
    (tmp_path / "it.recorded").touch()  # of what was saved here before
    assert Checkpoint(tmp_path / "it.pt", 0.0).load() == Progress()
    assert not list(tmp_path.iterdir())


def test_checkpoint_is_written_when_the_interval_has_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    checkpoint = Checkpoint(tmp_path / "it.pt", 10.0)
    assert not checkpoint.due()
    now = 110.0
    assert checkpoint.due()
    checkpoint.save(Progress(epoch=3))
    assert not checkpoint.due()
    assert checkpoint.load().epoch == 3


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file takes more than 1 kB, by the system's own limit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_disk_that_takes_no_save_is_named_once_and_costs_no_training(
    tmp_path: Path, small_files: None, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "it.pt").write_bytes(b"")
    _, done = training(strategy_of("finetune"), tmp_path)
    assert (done.status, done.epoch) == ("finished", EPOCHS["finetune"])
    damaged, full = (message.partition("it.pt: ")[2] for message in caplog.messages)
    assert damaged == "this saved training is damaged. The save before it is taken."
    assert "expected room for it.pt, got none (File too large)" in full
    assert full.endswith("The training goes on.")
    assert not list(tmp_path.iterdir()), "nothing half-written"


def test_earlier_save_stays_where_the_next_one_fails(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    checkpoint = Checkpoint(tmp_path / "it.pt", 0.0)
    checkpoint.save(Progress(epoch=3))
    request.getfixturevalue("small_files")
    checkpoint.save(Progress(epoch=4))
    assert checkpoint.load().epoch == 3
    assert list(tmp_path.iterdir()) == [checkpoint.path]


def test_cache_that_is_deleted_beside_a_training_is_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "cache"
    _, done = training(strategy_of("finetune"), folder, log=lambda row: shutil.rmtree(folder))
    assert done.status == "finished"
    assert Checkpoint(folder / "it.pt", 0.0).load().status == "finished"
    assert not caplog.messages


def test_oldest_trainings_make_room_and_saves_before_the_last_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "DISK_MB", 0.002)
    for age, name in enumerate(["new.pt", "new.previous.pt", "older.pt", "oldest.pt"]):
        (tmp_path / name).write_bytes(bytes(900))
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    saved.sweep(tmp_path, saved.DAYS, keep=tmp_path / "oldest.pt")
    assert {path.name for path in tmp_path.iterdir()} == {"new.pt", "oldest.pt"}


def test_a_training_that_no_dvc_lock_names_goes_last_and_never_of_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["waiting.pt", "waiting.result", "recorded.pt", "recorded.recorded", "keep.pt"]
    for age, name in enumerate(reversed(names)):
        (tmp_path / name).write_bytes(bytes(900 if name.endswith(".pt") else 0))
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    years = (time.time() - 1e9) / 86400
    saved.sweep(tmp_path, years + 1, keep=tmp_path / "keep.pt")
    assert {path.name for path in tmp_path.iterdir()} == set(names)
    with monkeypatch.context() as small:
        small.setattr(saved, "DISK_MB", 0.002)
        saved.sweep(tmp_path, years + 1, keep=tmp_path / "keep.pt")
    assert {path.name for path in tmp_path.iterdir()} == {"waiting.pt", "waiting.result", "keep.pt"}
    (tmp_path / "waiting.result").rename(tmp_path / "waiting.recorded")
    saved.sweep(tmp_path, years - 1, keep=tmp_path / "keep.pt")
    assert {path.name for path in tmp_path.iterdir()} == {"keep.pt"}


@pytest.mark.parametrize("given", ["soon", "-1", "nan", "1e3"])
def test_days_that_are_no_number_are_refused_before_a_training(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("TRANSFERLAB_KEEP_DAYS", given)
    expected = f"^TRANSFERLAB_KEEP_DAYS: expected a number of days, got '{given}'"
    with pytest.raises(ValueError, match=expected):
        saved.checkpoint_of("key", 1.0)
    monkeypatch.setenv("TRANSFERLAB_KEEP_DAYS", "0.5")
    assert saved.checkpoint_of("key", 1.0).days == 0.5


# ---------------------------------------------------------------- divergence


def test_divergence_in_the_first_epoch_keeps_the_start(tmp_path: Path) -> None:
    before = models.tensors_of(model_of(), PARTS)
    logged: list[int] = []
    model, done = training(
        strategy_of("finetune", lr=1e9), tmp_path, log=lambda row: logged.append(row["epoch"])
    )
    assert (done.status, done.epoch, done.best_epoch) == ("diverged", 1, None)
    assert outcome(done) == {
        "status": "diverged",
        "diverged_epoch": 1,
        "best_epoch": None,
        "validation_accuracy": None,
        "validation_loss": None,
    }
    assert same(model.state_dict(), before)
    assert not logged
    assert not done.history


def test_later_divergence_names_the_epoch_and_keeps_the_best_before_it(tmp_path: Path) -> None:
    strategy = strategy_of("progressive", epochs=6)
    steep = replace(strategy.phases["all"], rates={"*": 1e12})
    model, done = training(replace(strategy, phases={**strategy.phases, "all": steep}), tmp_path)
    assert (done.status, done.epoch, len(done.history)) == ("diverged", 5, 4)
    assert done.best_epoch in (1, 2, 3, 4)
    assert same(models.tensors_of(model, PARTS), done.best_tensors)
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    again, found = training(strategy, tmp_path)
    assert found.status == "diverged", "a finished result is not trained again"
    assert same(again.state_dict(), model.state_dict())


# ---------------------------------------------------------------- steps, rates and losses


@pytest.mark.parametrize(
    "images, size, lengths",
    [(8, 4, [4, 4]), (9, 4, [4, 5]), (10, 4, [4, 4, 2]), (1, 4, [1]), (5, 8, [5]), (3, 1, [1, 2])],
)
def test_last_single_image_joins_the_batch_before_it(
    images: int, size: int, lengths: list[int]
) -> None:
    batches = list(loop.batches_of(np.arange(images), size))
    assert [len(batch) for batch in batches] == lengths
    assert np.concatenate(batches).tolist() == list(range(images))


def test_batch_norm_trains_where_one_image_would_be_left_over(tmp_path: Path) -> None:
    strategy = strategy_of("scratch", epochs=1)
    task = task_of(strategy)
    rows = task.rows[0][:13], task.rows[1]
    assert len(rows[0]) % small_params().train.batch_size == 1
    checkpoint = Checkpoint(tmp_path / "it.pt", 0.0)
    done, _ = learn(model_of(), replace(task, rows=rows), checkpoint, lambda row: None)
    assert done.status == "finished"


@pytest.mark.parametrize(
    "changes, position, epoch, expected",
    [
        ({"schedule": "constant", "warmup": 0.0}, 0.0, 0, 1.0),
        ({"schedule": "constant", "warmup": 0.0}, 0.99, 9, 1.0),
        ({"schedule": "constant", "warmup": 0.5}, 0.25, 0, 0.5),
        ({"schedule": "constant", "warmup": 0.5}, 0.5, 0, 1.0),
        ({"schedule": "cosine", "warmup": 0.0}, 0.0, 0, 1.0),
        ({"schedule": "cosine", "warmup": 0.0}, 0.5, 0, 0.5),
        ({"schedule": "cosine", "warmup": 0.2}, 0.2, 0, 1.0),
        ({"schedule": "cosine", "warmup": 0.2}, 0.6, 0, 0.5),
        ({"schedule": "cosine", "warmup": 0.2}, 0.1, 0, 0.5),
        ({"schedule": "cosine", "warmup": 0.0}, 2 / 3, 0, 0.25),
        ({"schedule": "step", "step_epochs": 7, "warmup": 0.0}, 0.1, 6, 1.0),
        ({"schedule": "step", "step_epochs": 7, "warmup": 0.0}, 0.1, 7, 0.1),
        ({"schedule": "step", "step_epochs": 7, "warmup": 0.0}, 0.9, 20, 0.01),
    ],
)
def test_schedules_by_value(
    changes: dict[str, Any], position: float, epoch: int, expected: float
) -> None:
    now = Moment(epoch=9, phase_epoch=epoch, length=1)
    assert rate(strategy_of("finetune", **changes), now, position) == pytest.approx(
        expected, abs=4e-3
    )


def test_warmup_and_cosine_span_the_phase() -> None:
    strategy = strategy_of("finetune", schedule="cosine", warmup=0.0)
    now = Moment(epoch=9, phase_epoch=2, length=4)
    assert rate(strategy, now, 0.5) == pytest.approx((1 + math.cos(math.pi * 2.5 / 4)) / 2)


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_plateau_is_the_rate_that_torchs_scheduler_would_have(patience: int) -> None:
    losses = [1.0, 0.8, 0.81, 0.82, 0.79, 0.9, 0.9, 0.9, 0.9, 0.7, 0.7, 0.7]
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.1, patience=patience)
    for i, loss in enumerate(losses):
        scheduler.step(loss)
        rates = 0.5 * plateau(losses[: i + 1], patience), optimizer.param_groups[0]["lr"]
        assert rates[0] == pytest.approx(rates[1])
    assert optimizer.param_groups[0]["lr"] < 0.5


def test_plateau_lowers_the_rate_of_a_training_that_stands_still(tmp_path: Path) -> None:
    # At this rate nothing moves: the first epoch is the best, and each one after the patience
    # lowers the rate.
    strategy = strategy_of(
        "finetune", epochs=5, schedule="plateau", patience=1, warmup=0.0, lr=1e-30
    )
    _, done = training(strategy, tmp_path)
    assert [entry["lr"] for entry in done.history] == pytest.approx(
        [1e-30, 1e-30, 1e-30, 1e-31, 1e-31]
    )


def test_every_phase_begins_its_schedule_anew_and_the_history_shows_the_rate(
    tmp_path: Path,
) -> None:
    strategy = strategy_of(
        "progressive", epochs=6, schedule="step", step_epochs=1, warmup=0.0, lr=0.01
    )
    _, done = training(strategy, tmp_path)
    assert [entry["phase"] for entry in done.history] == [
        name for name in strategy.phases for _ in range(2)
    ]
    assert [entry["epoch"] for entry in done.history] == [1, 2, 3, 4, 5, 6]
    largest = [
        max(rate or 0 for rate in phase.rates.values()) for phase in strategy.phases.values()
    ]
    expected = [0.01 * rate * factor for rate in largest for factor in (1, 0.1)]
    assert [entry["lr"] for entry in done.history] == pytest.approx(expected)


def test_running_loss_of_an_epoch_is_there_for_whoever_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    @contextmanager
    def asked(what: Callable[[], str]) -> Iterator[None]:
        said.append(what())
        yield
        said.append(what())

    monkeypatch.setattr(heartbeat, "telling", asked)
    _, done = training(strategy_of("finetune", epochs=1), tmp_path)
    assert said == ["", f"step 3 of 3, loss {done.history[0]['train_loss']:.3f}"]


@pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
def test_losses_are_means_over_images_whatever_the_batches(
    label_smoothing: float, tmp_path: Path
) -> None:
    strategy = strategy_of(
        "finetune", epochs=1, lr=1e-30, label_smoothing=label_smoothing, head_start="random"
    )
    task, model = task_of(strategy), model_of()
    new_head(model, "random", seed=3)
    assert len(task.rows[0]) % small_params().train.batch_size not in (0, 1)
    checkpoint = Checkpoint(tmp_path / "it.pt", 0.0)
    (found,) = learn(model, task, checkpoint, lambda row: None)[0].history
    source, labels = task.source(model, None, 1, 0), torch.from_numpy(task.images.labels)
    with torch.no_grad():
        logits = model.eval()(next(source.train([task.rows[0]], 0)))
        loss = nn.functional.cross_entropy(
            logits, labels[task.rows[0]], label_smoothing=label_smoothing
        )
        held = model(source.test(task.rows[1]))
    assert found["train_loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert found["train_accuracy"] == pytest.approx(
        (logits.argmax(1) == labels[task.rows[0]]).float().mean().item()
    )
    plain = nn.functional.cross_entropy(held, labels[task.rows[1]])
    assert found["validation_loss"] == pytest.approx(plain.item(), rel=1e-5), (
        "validation is never smoothed"
    )


@pytest.mark.parametrize("kind", ["cross_entropy", "nll"])
def test_with_balanced_weights_every_class_counts_the_same(kind: str) -> None:
    """The sum over batches does not depend on how the images lie in them."""
    strategy = strategy_of("finetune", loss=kind, label_smoothing=0.0)
    labels = torch.tensor([0] * 9 + [1] * 3)
    logits = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([12 / (2 * 9), 12 / (2 * 3)])
    each = nn.functional.cross_entropy(logits, labels, reduction="none")
    equal = (each[:9].mean() + each[9:].mean()) / 2
    whole = loop.loss_of(strategy, logits, labels, weights)
    assert whole.item() == pytest.approx(equal.item(), rel=1e-6)
    parts = [
        loop.loss_of(strategy, logits[it], labels[it], weights) for it in (slice(8), slice(8, 12))
    ]
    assert (8 * parts[0] + 4 * parts[1]).item() / 12 == pytest.approx(equal.item(), rel=1e-6)


def test_weights_of_classes_follow_the_images_to_fit_and_are_none_by_default() -> None:
    task = task_of(strategy_of("finetune"))
    assert task.class_weights is None
    train = replace(task.recipe.train, class_weights="balanced")
    task = replace(task, recipe=replace(task.recipe, train=train))
    counts = np.bincount(task.images.labels[task.rows[0]])
    expected = counts.sum() / (len(counts) * counts)
    assert task.class_weights is not None
    assert task.class_weights.tolist() == pytest.approx(expected.tolist())


def test_validation_sums_over_images_of_unequal_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "IMAGES_A_PASS", 5)
    task, model = task_of(strategy_of("finetune")), model_of()
    task = replace(task, rows=task.rows[::-1])  # the larger part, for several batches
    new_head(model, "random", seed=3)
    source, labels = task.source(model, None, 1, 0), torch.from_numpy(task.images.labels)
    found = loop.validate(model, source, labels, task.rows[1])
    with torch.no_grad():
        logits = model(source.test(task.rows[1]))
    assert found["validation_loss"] == pytest.approx(
        nn.functional.cross_entropy(logits, labels[task.rows[1]]).item()
    )
    assert (
        found["validation_accuracy"]
        == (logits.argmax(1) == labels[task.rows[1]]).float().mean().item()
    )


def test_nll_of_log_softmax_is_the_same_function_as_cross_entropy(tmp_path: Path) -> None:
    histories = [
        training(strategy_of("finetune", epochs=2, loss=loss), tmp_path / loss)[1].history
        for loss in ("cross_entropy", "nll")
    ]
    for first, second in zip(*histories, strict=True):
        assert first["train_loss"] == pytest.approx(second["train_loss"], rel=1e-5)


# ---------------------------------------------------------------- the average of trained and
# starting weights


def averaged(shares: tuple[float, ...], folder: Path) -> tuple[nn.Sequential, Progress]:
    return training(
        strategy_of("finetune", epochs=3, lr=0.3, schedule="constant", interpolate=shares), folder
    )


@pytest.mark.slow
def test_whole_share_is_the_trained_model_and_none_is_the_start(tmp_path: Path) -> None:
    plain, _ = training(
        strategy_of("finetune", epochs=3, lr=0.3, schedule="constant"), tmp_path / "plain"
    )
    assert same(averaged((1.0,), tmp_path / "one")[0].state_dict(), plain.state_dict())
    assert same(averaged((0.0,), tmp_path / "none")[0].state_dict(), model_of().state_dict())


@pytest.mark.slow
def test_share_that_is_kept_validates_best_and_is_the_last_row_of_the_history(
    tmp_path: Path,
) -> None:
    shares = (0.0, 0.25, 0.5, 1.0)
    ends = {share: averaged((share,), tmp_path / str(share))[1] for share in shares}
    ranks = [rank(end.history[-1], "accuracy") for end in ends.values()]
    best = shares[ranks.index(max(ranks))]
    model, done = averaged(shares, tmp_path / "all")
    assert done.history[-1] == ends[best].history[-1]
    assert (done.history[-1]["phase"], done.best_epoch, len(done.history)) == (
        f"share = {best:g}",
        4,
        4,
    )
    assert same(done.best_tensors, ends[best].best_tensors)
    assert same(models.tensors_of(model, PARTS), done.best_tensors)


def test_average_lies_between_both_ends(tmp_path: Path) -> None:
    start, middle = model_of().state_dict(), averaged((0.25,), tmp_path / "middle")[0].state_dict()
    end = averaged((1.0,), tmp_path / "end")[0].state_dict()
    for name, value in middle.items():
        torch.testing.assert_close(value, (0.75 * start[name] + 0.25 * end[name]).to(value.dtype))


@pytest.mark.slow
def test_average_of_a_training_that_was_killed_is_the_same(tmp_path: Path) -> None:
    whole, _ = averaged((0.0, 0.5, 1.0), tmp_path / "whole")
    averaged((0.0, 0.5, 1.0), tmp_path / "again")
    again, done = averaged((0.0, 0.5, 1.0), tmp_path / "again")
    assert same(whole.state_dict(), again.state_dict())
    assert len(done.history) == 4


@pytest.mark.parametrize("clip_norm", [0.001, None])
def test_gradient_is_clipped_over_all_that_trains(clip_norm: float | None, tmp_path: Path) -> None:
    plain = {
        "optimizer": "sgd",
        "momentum": 0.0,
        "nesterov": False,
        "weight_decay": 0.0,
        "warmup": 0.0,
    }
    even = one_phase(
        {"*": 1.0}, epochs=1, lr=1.0, schedule="constant", clip_norm=clip_norm, **plain
    )
    before = model_of().state_dict()
    after, _ = training(even, tmp_path, images=drawn(4))  # six images to fit: one step
    steps = [after.state_dict()[name] - before[name] for name, _ in after.named_parameters()]
    length = float(sum(step.square().sum() for step in steps)) ** 0.5
    assert (length == pytest.approx(0.001, rel=1e-3)) == (clip_norm is not None)


@pytest.mark.slow
def test_training_learns(tmp_path: Path) -> None:
    strategy = strategy_of(
        "scratch", epochs=60, lr=0.01, optimizer="adamw", resolution=1.0, label_smoothing=0.0
    )
    _, done = training(strategy, tmp_path, images=drawn(20))
    assert done.history[-1]["train_loss"] < 0.9 * math.log(2)
    assert all(
        math.isfinite(value)
        for entry in done.history
        for key, value in entry.items()
        if key != "phase"
    )


def test_weight_decay_shrinks_weights_and_not_biases(tmp_path: Path) -> None:
    strategy = one_phase(
        {"head": 1.0, "*": None}, optimizer="adamw", lr=0.1, weight_decay=1.0, schedule="constant"
    )
    model = model_of()
    new_head(model, "random", seed=3)
    (plan,) = strategies.plan(model, strategy, None)
    optimizer = loop.begin_phase(model, plan, strategy, {})
    for parameter in model.get_submodule("head").parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = models.tensors_of(model, ["head"])
    optimizer.step()
    after = models.tensors_of(model, ["head"])
    torch.testing.assert_close(after["head.0.weight"], before["head.0.weight"] * 0.9)
    assert torch.equal(after["head.0.bias"], before["head.0.bias"])


@pytest.mark.parametrize("momentum, nesterov", [(0.9, True), (0.9, False), (0.0, True)])
def test_sgd_takes_momentum_and_nesterov_from_the_strategy(momentum: float, nesterov: bool) -> None:
    strategy = one_phase({"*": 1.0}, optimizer="sgd", momentum=momentum, nesterov=nesterov)
    model = model_of()
    optimizer = loop.begin_phase(model, strategies.plan(model, strategy, None)[0], strategy, {})
    assert optimizer.defaults["momentum"] == momentum
    assert optimizer.defaults["nesterov"] == (nesterov and momentum > 0)
    assert all(parameter.requires_grad for parameter in model.parameters())


# ---------------------------------------------------------------- what a strategy may ask for


def test_norm_layers_of_a_frozen_network_move_only_where_they_see_the_batch_everywhere(
    tmp_path: Path,
) -> None:
    before = models.tensors_of(model_of(), PARTS)
    strategy = one_phase({"head": 1.0, "*": None}, norm_statistics="everywhere")
    model, done = training(strategy, tmp_path)
    touched = changed(before, model.state_dict())
    statistics = {name for name in before if "running" in name or "num_batches" in name}
    assert touched == statistics | {"head.0.weight", "head.0.bias"}
    assert statistics <= set(done.best_tensors), "else a model on the disk would lack them"


def test_only_norm_layers_and_biases_train_below_the_head(tmp_path: Path) -> None:
    before = models.tensors_of(model_of(), PARTS)
    model, _ = training(one_phase({"*": 1.0}, trains="norms"), tmp_path)
    touched = changed(before, model.state_dict())
    vectors = {name for name, value in model.named_parameters() if value.dim() < 2}
    assert touched == vectors | {"head.0.weight"}


def test_decay_towards_the_start_adds_the_distance_from_it_to_the_gradient() -> None:
    strategy = one_phase({"*": 1.0}, decay_to="start", weight_decay=0.5, optimizer="sgd")
    model = model_of()
    origin = {it: it.detach().clone() for it in model.parameters()}
    plan = strategies.plan(model, strategy, None)[0]
    optimizer = loop.begin_phase(model, plan, strategy, origin)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
            parameter.grad = torch.zeros_like(parameter)
    loop.pull(optimizer)
    for name, parameter in model.named_parameters():
        decays = parameter.dim() >= 2 and not name.startswith("head.")
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, torch.full_like(parameter, 0.5 * decays))
    kept = {group["weight_decay"] for group in optimizer.param_groups if "start" in group}
    assert kept == {0.0}


@pytest.mark.slow
def test_strong_decay_towards_the_start_ends_nearer_to_it(tmp_path: Path) -> None:
    before = models.tensors_of(model_of(), ("stem", "stage4"))
    apart = {}
    for decay in (0.0, 30.0):
        strategy = one_phase({"*": 1.0}, decay_to="start", weight_decay=decay, select_by="last")
        model, _ = training(strategy, tmp_path / str(decay))
        now = model.state_dict()
        apart[decay] = sum(
            float((now[name] - value).square().sum())
            for name, value in before.items()
            if value.dim() >= 2
        )
    assert apart[30.0] < apart[0.0]


def test_last_epoch_is_kept_where_nothing_selects(tmp_path: Path) -> None:
    model, done = training(one_phase({"*": 1.0}, select_by="last"), tmp_path)
    assert done.best_epoch == len(done.history) == 3
    assert same(done.best_tensors, models.tensors_of(model, PARTS))


def test_every_strategy_has_its_own_size_of_batches_and_its_own_views() -> None:
    params = small_params()
    own = replace(params.train.augment, flip=0.0)
    recipe = recipe_of(
        replace(params, strategies={"it": strategy_of("finetune", augment=own)}), "it"
    )
    assert setup_for(recipe, setup_of(params).compute).augment == own
    assert recipe_of(params, "finetune").augment == params.train.augment


def test_norm_of_the_gradient_is_that_before_clipping(tmp_path: Path) -> None:
    rows = {}
    for clip in (None, 1e-9):
        strategy = one_phase({"*": 1.0}, clip_norm=clip, epochs=1, warmup=0.0)
        images = drawn()
        _, done = training(strategy, tmp_path / str(clip), images=images)
        rows[clip] = done.history[0]
    assert rows[None]["gradient_norm"] > 0
    # a step that is clipped to nothing leaves the next gradient to be that of the start
    assert rows[1e-9]["gradient_norm"] != rows[None]["gradient_norm"]
    assert rows[1e-9]["gradient_norm"] > 1e-9


# ---------------------------------------------------------------- an auxiliary classifier


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest network has one, too."""
    monkeypatch.setattr(auxiliary, "NETWORK", "tiny")
    monkeypatch.setattr(auxiliary, "CHANNELS", 96)


def test_auxiliary_classifier_trains_the_stages_below_it_and_is_gone_afterwards(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    strategy = strategy_of("finetune", epochs=1, head_start="random")
    without, alone = training(strategy, tmp_path / "without")
    request.getfixturevalue("beside")
    model, done = training(strategy, tmp_path / "with")
    assert model.state_dict().keys() == without.state_dict().keys()
    touched = changed(without.state_dict(), model.state_dict())
    assert {name.split(".")[0] for name in touched} == set(PARTS)
    own = done.best_tensors.keys() - alone.best_tensors.keys()
    assert {"stage3.3.classify.fc.weight", "stage3.3.classify.fc.bias"} < own
    assert all(name.startswith("stage3.3.classify.") for name in own)


@pytest.mark.parametrize(
    "rates, trains",
    [({"head": 1.0, "stage4": 1.0, "*": None}, "all"), ({"*": 1.0}, "norms")],
    ids=["partial", "norm layers"],
)
def test_auxiliary_classifier_waits_where_the_part_it_hangs_on_does_not_train(
    rates: dict[str, float | None], trains: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    strategy = one_phase(rates, epochs=1, trains=trains)
    _, alone = training(strategy, tmp_path / "without")
    request.getfixturevalue("beside")
    _, done = training(strategy, tmp_path / "with")
    assert same(done.best_tensors, alone.best_tensors)


@pytest.mark.slow
@pytest.mark.usefixtures("beside")
def test_training_beside_an_auxiliary_classifier_is_killed_and_goes_on(tmp_path: Path) -> None:
    strategy = strategy_of("progressive", epochs=3, lr=0.05)  # at first only the head trains
    model, done = training(strategy, tmp_path / "undisturbed")
    with pytest.raises(Killed):
        training(strategy, tmp_path / "killed", log=kill_at(3))
    resumed, again = training(strategy, tmp_path / "killed")
    assert same(resumed.state_dict(), model.state_dict())
    assert again.history == done.history
