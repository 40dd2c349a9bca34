"""What frozen layers compute is the same from memory, from the disk and computed anew, and is named
by its causes.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small import RANGES

from transferlab.data.archive import textures
from transferlab.data.chance import named_generator
from transferlab.data.images import Images
from transferlab.network import activations, backbones, kept, models
from transferlab.network.activations import Activations, Shared
from transferlab.network.device import Compute
from transferlab.network.kept import read_table
from transferlab.network.views import Views
from transferlab.params.learning.network import Preprocessing
from transferlab.pipeline.places import cache_folder

CPU = torch.device("cpu")
PLACE = Compute(device=CPU, precision="fp32", memory_format="channels_last")
WEIGHTS = Preprocessing(
    resize_px=32,
    crop_px=32,
    resize="shorter",
    interpolation="bilinear",
    mean=(0.5,) * 3,
    std=(0.25,) * 3,
)
ROWS = np.array([0, 2, 3, 5, 6, 9]), np.array([1, 4, 7, 8])


def drawn(count: int = 10, px: int = 32) -> Images:
    pixels = [
        textures.draw("dots", px, 0.1, named_generator(0, f"image {i}")) for i in range(count)
    ]
    return Images(
        ids=tuple(f"train/dots/{i}" for i in range(count)),
        labels=np.zeros(count, dtype=np.int64),
        classes=("dots", "grid"),
        digest="drawn",
        pixels=np.concatenate([image.ravel() for image in pixels]),
        places=np.array([[i * px * px * 3, px, px] for i in range(count)]),
    )


def views(**changes: Any) -> Views:
    return replace(
        Views(images=drawn(), preprocessing=WEIGHTS, ranges=RANGES, seed=0, side=32), **changes
    )


def source(cut: int = 5, seen: Views | None = None, **changes: Any) -> Activations:
    model = backbones.build("tiny", 2)
    settings = {"count": 2, "compute": PLACE, "memory_mb": 100, "shared": None, **changes}
    return Activations(
        backbones.below(model, cut), seen or views(), settings.pop("rows", ROWS), **settings
    )


def one(source: Activations, rows: np.ndarray, epoch: int) -> torch.Tensor:
    (found,) = source.train([rows], epoch)
    return found


def whole(seen: Views, rows: np.ndarray, view: int | None) -> torch.Tensor:
    return seen.finish(seen.crops(rows.tolist(), view), rows.tolist(), view, CPU)


def kept_files() -> list[Path]:
    return sorted(cache_folder("features").iterdir())


@pytest.mark.parametrize("cut", [0, 1, 4, 5])
def test_source_gives_what_the_frozen_parts_make_of_the_views(cut: int) -> None:
    prefix, seen = backbones.below(backbones.build("tiny", 2), cut), views()
    found = source(cut, seen)
    rows = np.array([9, 0, 3])
    for epoch, view in ((0, 0), (1, 1), (2, 0), (5, 1)):
        pixels = whole(seen, rows, view)
        torch.testing.assert_close(one(found, rows, epoch), prefix(pixels))
    pixels = whole(seen, ROWS[1][::-1], None)
    torch.testing.assert_close(found.test(ROWS[1][::-1]), prefix(pixels))


@pytest.mark.parametrize("disk", [False, True])
def test_above_the_memory_limit_the_same_is_computed_anew(disk: bool) -> None:
    kept, anew = (source(memory_mb=limit, shared=Shared() if disk else None) for limit in (100, 0))
    for rows, epoch in ((np.array([3, 0, 9]), 0), (np.array([5]), 1), (np.array([0, 2]), 2)):
        torch.testing.assert_close(one(kept, rows, epoch), one(anew, rows, epoch))
    torch.testing.assert_close(kept.test(ROWS[1]), anew.test(ROWS[1]))
    assert kept.kept.keys() == {0, 1, None}
    assert not anew.kept


def test_limit_counts_every_view_of_every_image() -> None:
    width = 128 * 4 / 1e6
    assert source(count=2)._table_mb == pytest.approx(width * (6 * 2 + 4))
    assert source(count=None)._table_mb == pytest.approx(width * 4)


def test_a_view_is_computed_once_however_often_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    found, passes = source(), 0
    compute: Callable[..., torch.Tensor] = found._all

    def counted(view: int | None) -> torch.Tensor:
        nonlocal passes
        passes += 1
        return compute(view)

    monkeypatch.setattr(found, "_all", counted)
    for epoch in range(6):
        one(found, ROWS[0], epoch)
        found.test(ROWS[1])
    assert passes == 3


def test_crops_made_ahead_are_the_same_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)
    plain, ahead = source(count=None), source(count=None)
    ahead.ahead = True
    batches = [ROWS[0][i : i + 2] for i in (4, 0, 2)]
    for found, expected in zip(ahead.train(batches, 1), plain.train(batches, 1), strict=True):
        assert torch.equal(found, expected)


def test_without_a_number_of_views_every_epoch_sees_a_fresh_one() -> None:
    found, rows = source(count=None), ROWS[0]
    seen = [one(found, rows, epoch) for epoch in range(3)]
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])
    fixed = source(count=3)
    for epoch in range(3):
        torch.testing.assert_close(seen[epoch], one(fixed, rows, epoch))


@pytest.mark.parametrize("cut", [1, 4, 5])
def test_disk_gives_the_bits_that_memory_had_and_is_not_computed_again(
    cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, alone = source(cut, shared=Shared()), source(cut)
    trained, tested = one(first, ROWS[0], 1), first.test(ROWS[1])
    assert torch.equal(trained, one(alone, ROWS[0], 1)) and torch.equal(tested, alone.test(ROWS[1]))
    assert len(kept_files()) == 2
    second = source(cut, shared=Shared())
    monkeypatch.setattr(second, "_all", lambda view: pytest.fail("computed again"))
    read = one(second, ROWS[0], 1)
    assert torch.equal(read, trained) and read.stride() == trained.stride()
    assert second.kept[1].stride() == first.kept[1].stride()
    assert torch.equal(second.test(ROWS[1]), tested)


def test_seeds_that_share_a_table_read_it_once() -> None:
    shared, everything = Shared(), np.arange(10)
    expected = source(shared=shared, rows=(ROWS[0], everything)).test(ROWS[1])
    for path in kept_files():
        path.unlink()
    second = source(shared=shared, rows=(ROWS[1], everything))
    assert torch.equal(second.test(ROWS[1]), expected)
    assert not kept_files() and second.shared_seconds == 0
    for other in (source(4, shared=shared, rows=(ROWS[0], everything)), source(shared=shared)):
        assert not other.kept


def test_tables_unused_for_longest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    found = source(shared=Shared(), count=4)
    for view in range(3):
        one(found, ROWS[0], view)
        os.utime(found._path(view), (view, view))
    assert len(kept_files()) == 3
    one(source(shared=Shared()), ROWS[0], 0)  # used again
    monkeypatch.setattr(kept, "DISK_MB", 3.5 * found._path(0).stat().st_size / 1e6)
    one(found, ROWS[0], 3)
    assert kept_files() == sorted(found._path(view) for view in (0, 2, 3))


@pytest.mark.parametrize("limit", ["DISK_MB", "free"])
def test_table_larger_than_its_room_is_not_kept_and_costs_no_other(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one(source(shared=Shared()), ROWS[0], 0)
    (small,) = kept_files()
    if limit == "DISK_MB":
        monkeypatch.setattr(kept, "DISK_MB", 2 * small.stat().st_size / 1e6)
    else:
        monkeypatch.setattr(
            shutil, "disk_usage", lambda folder: SimpleNamespace(free=small.stat().st_size)
        )
    one(source(1, shared=Shared()), ROWS[0], 0)
    assert kept_files() == [small]


def test_where_only_whole_tables_are_kept_those_of_some_images_are_not() -> None:
    found = source(shared=Shared(only_full_tables=True))
    one(found, ROWS[0], 0)
    found.test(ROWS[1])
    assert not kept_files()
    source(shared=Shared(only_full_tables=True), rows=(ROWS[0], np.arange(10))).test(ROWS[1])
    assert len(kept_files()) == 1


def test_without_room_on_the_disk_nothing_is_kept_and_the_training_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*given: object) -> str:
        raise OSError("no space left")

    monkeypatch.setattr(kept, "save", full)
    assert torch.equal(one(source(shared=Shared()), ROWS[0], 0), one(source(), ROWS[0], 0))
    assert not kept_files()
    assert "not kept for the next time: no space left" in caplog.text


def test_frozen_parts_are_hashed_once_until_somebody_writes_to_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashed = 0

    def counted(tensors: Mapping[str, torch.Tensor]) -> str:
        nonlocal hashed
        hashed += 1
        return models.tensors_sha256(tensors)

    monkeypatch.setattr(activations, "tensors_sha256", counted)
    model, shared = backbones.build("tiny", 2), Shared()
    first = shared.digests(backbones.below(model, 5))
    models.overlay(model, models.tensors_of(model, ["head"]))
    assert shared.digests(backbones.below(model, 5)) == first and hashed == 1
    models.overlay(model, models.tensors_of(model, ["stage1"]))
    assert shared.digests(backbones.below(model, 5)) == first and hashed == 2
    model.train()(torch.randn(2, 3, 32, 32))
    moved = shared.digests(backbones.below(model, 5))
    assert moved != first and hashed == 3
    assert shared.digests(backbones.below(model, 4)) != moved
    other = backbones.build("tiny", 2, seed=1)
    assert shared.digests(backbones.below(other, 5)) not in (first, moved)


@pytest.mark.parametrize(
    "damage", ["flipped bit", "truncated", "empty", "text", "another file", "no facts"]
)
def test_damaged_file_counts_as_absent(damage: str) -> None:
    everything = np.arange(10)
    expected = source(shared=Shared(), rows=(ROWS[0], everything)).test(everything)
    (path,) = kept_files()
    content = path.read_bytes()
    if damage == "another file":
        save_file({"other": torch.zeros(1)}, path)
    elif damage == "no facts":
        save_file({"table": torch.zeros(10, 128)}, path)
    else:
        flipped = content[:-1] + bytes([content[-1] ^ 1])
        path.write_bytes(
            {"flipped bit": flipped, "truncated": content[:-9], "empty": b"", "text": b"x"}[damage]
        )
    assert torch.equal(
        source(shared=Shared(), rows=(ROWS[0], everything)).test(everything), expected
    )
    table, _ = read_table(path) or pytest.fail("not written anew")
    assert torch.equal(table, expected)


def other_weights() -> Activations:
    found = source(shared=Shared())
    with torch.no_grad():
        found.prefix.get_parameter("stage2.0.weight")[0, 0, 0, 0] += 1e-6
    return found


def other_statistics() -> Activations:
    found = source(shared=Shared())
    found.prefix.get_buffer("stem.1.running_mean")[0] += 1e-6
    return found


CHANGES: dict[str, Callable[[], Activations]] = {
    "weights": other_weights,
    "buffers": other_statistics,
    "cut": lambda: source(4, shared=Shared()),
    "precision": lambda: source(compute=replace(PLACE, precision="bf16"), shared=Shared()),
    "memory format": lambda: source(
        compute=replace(PLACE, memory_format="contiguous"), shared=Shared()
    ),
    "images": lambda: source(seen=views(images=replace(drawn(), digest="others")), shared=Shared()),
    "preprocessing": lambda: source(
        seen=views(preprocessing=replace(WEIGHTS, mean=(0.4,) * 3)), shared=Shared()
    ),
}
RANDOM: dict[str, Callable[[], Activations]] = {
    "seed": lambda: source(seen=views(seed=1), shared=Shared()),
    "side": lambda: source(seen=views(side=24), shared=Shared()),
    "ranges": lambda: source(seen=views(ranges=replace(RANGES, flip=0.0)), shared=Shared()),
    "rows": lambda: source(rows=(ROWS[0][1:], ROWS[1]), shared=Shared()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_name_changes_with_what_every_view_depends_on(change: str) -> None:
    for view in (None, 0):
        assert CHANGES[change]()._path(view) != source(shared=Shared())._path(view)


@pytest.mark.parametrize("change", RANDOM)
def test_only_names_of_random_views_change_with_their_chance(change: str) -> None:
    assert RANDOM[change]()._path(0) != source(shared=Shared())._path(0)
    assert RANDOM[change]()._path(None) == source(shared=Shared())._path(None)


def test_name_of_the_test_view_changes_with_its_rows() -> None:
    other = source(shared=Shared(), rows=(ROWS[0], ROWS[1][1:]))
    assert other._path(None) != source(shared=Shared())._path(None)
    assert other._path(0) == source(shared=Shared())._path(0)


def test_name_tells_views_apart_and_not_strategies() -> None:
    paths = {source(shared=Shared())._path(view) for view in (None, 0, 1, 2)}
    assert len(paths) == 4
    assert source(shared=Shared(), count=100)._path(1) == source(
        shared=Shared(), count=2, memory_mb=7
    )._path(1)


def test_name_changes_with_the_code_and_the_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = source(shared=Shared())._path(0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    other_threads = source(shared=Shared())._path(0)
    monkeypatch.setattr(
        activations, "file_hash", lambda path: "edited" if path.stem == "augment" else ""
    )
    assert len({before, other_threads, source(shared=Shared())._path(0)}) == 3


def test_seconds_of_a_kept_table_are_those_it_took_at_first_and_stand_aside() -> None:
    first, second = source(shared=Shared()), source(shared=Shared())
    one(first, ROWS[0], 0)
    one(second, ROWS[0], 0)
    one(second, ROWS[0], 2)
    assert first.shared is not None and second.shared is not None
    assert first.shared.seconds == second.shared.seconds
    (seconds,) = first.shared.seconds.values()
    assert first.shared_seconds >= seconds > 0
    assert source().shared_seconds == 0
