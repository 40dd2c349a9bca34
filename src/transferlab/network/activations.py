"""What frozen layers compute, evaluated once per view and kept: in memory for a run, on disk for
the next one.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..data.images import in_order
from ..pipeline.files import content_hash, file_hash
from ..pipeline.places import cache_folder
from .device import Compute, describe
from .kept import keep_table, read_table
from .models import tensors_sha256
from .views import Views

IMAGES_A_PASS = 64  # images per pass through frozen layers

# Modules of the package that what is kept on disk depends on.
CODE = (
    "data/chance",
    "data/images",
    "network/activations",
    "network/augment",
    "network/backbones",
    "network/neighbours",
    "network/timm_parts",
    "network/torchvision_parts",
    "network/views",
)


@dataclass(kw_only=True)
class Shared:
    """What sources have in common: seconds of tables on disk, the last table of a test view, the
    last frozen parts.

    Args:
        only_full_tables: Keep only tables of all images on disk, where those of some are not asked
            for again.
        seconds: Of every table that was used, by its name, from when it was made.
        table: Name and content of the last table of a test view, which the next seed may read
            again.
    """

    only_full_tables: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    table: tuple[str, Tensor] | None = None
    _parts: tuple[list[Tensor], list[tuple[int, int]], list[str]] | None = None

    def digests(self, parts: nn.Sequential) -> list[str]:
        """What the parts hold, and what they are; hashed once while nobody writes to their tensors.

        Hashing takes as long as some passes. Torch counts the writes to a tensor; the tensors are
        held here, so that no others take their addresses.
        """
        tensors = list(parts.state_dict().values())
        state = [(tensor.data_ptr(), tensor._version) for tensor in tensors]
        if self._parts is None or self._parts[1] != state:
            self._parts = tensors, state, [tensors_sha256(parts.state_dict()), str(parts)]
        return self._parts[2]


class Activations:
    """What enters the layers that train: pixels, or what the frozen layers below make of them.

    Args:
        prefix: The frozen leading parts, possibly none.
        views: How the images are seen.
        rows: Indices of the images seen in random views, and of those seen in the test view; the
            latter for as many sources as possible the same, since they share a table with the same
            rows.
        count: Number of random views used in turn; None: a fresh one every epoch.
        compute: Where the arithmetic runs, and how.
        memory_mb: What the kept results may occupy.
        shared: With other sources; tables are kept on disk then. None: none is.
    """

    def __init__(
        self,
        prefix: nn.Sequential,
        views: Views,
        rows: tuple[np.ndarray, np.ndarray],
        *,
        count: int | None,
        compute: Compute,
        memory_mb: int,
        shared: Shared | None,
    ):
        self.prefix, self.views, self.count = prefix.eval(), views, count
        self.compute, self.memory_mb, self.shared = compute, memory_mb, shared
        self.rows = np.sort(rows[0]), np.sort(rows[1])
        self.kept: dict[int | None, Tensor] = {}
        self.ahead = compute.device.type == "cuda" and isinstance(views.images.pixels, np.ndarray)
        """Whether crops are made on the cores while a device computes; without one, the cores are
        busy already.
        """
        self.shared_seconds = 0.0
        """Seconds spent here on tables whose cost stands in `shared`."""
        if (
            shared is not None
            and shared.table is not None
            and shared.table[0] == self._path(None).stem
        ):
            self.kept[None] = shared.table[1]

    def train(self, batches: Sequence[np.ndarray], epoch: int) -> Iterator[Tensor]:
        """Activations [B, ...] of random views, batch after batch.

        Args:
            batches: Rows of each.
            epoch: From 0; chooses the view.
        """
        view = epoch if self.count is None else epoch % self.count
        if self.ahead and not self._keeps(view):
            with ThreadPoolExecutor(1) as pool:
                ready = in_order(
                    pool,
                    lambda rows: self.views.crops(rows.tolist(), view).pin_memory(),
                    batches,
                    2,
                )
                yield from (
                    self._pass(rows, view, crops)
                    for rows, crops in zip(batches, ready, strict=True)
                )
        else:
            yield from (self._batch(rows, view) for rows in batches)

    def test(self, rows: np.ndarray) -> Tensor:
        """Activations [B, ...] of the test view."""
        return self._batch(rows, None)

    def _batch(self, rows: np.ndarray, view: int | None) -> Tensor:
        if view not in self.kept:
            if not self._keeps(view):
                return self._pass(rows, view)
            self.kept[view] = self._table(view)
        places = np.searchsorted(self.rows[view is None], rows)
        return self.kept[view][torch.from_numpy(places).to(self.compute.device)]

    def _keeps(self, view: int | None) -> bool:
        """Whether a view is used again and all of them fit."""
        return (view is None or self.count is not None) and self._table_mb <= self.memory_mb

    @cached_property
    def _table_mb(self) -> float:
        """What the tables of all views occupy; measured on one image."""
        one = self._pass(np.zeros(1, dtype=np.int64), None)
        images = len(self.rows[0]) * (self.count or 0) + len(self.rows[1])
        return one.numel() * one.element_size() * images / 1e6

    def _table(self, view: int | None) -> Tensor:
        """The activations of all rows for one view [N, ...], from the disk when they are there."""
        some = len(self.rows[view is None]) < len(self.views.images)
        if self.shared is None or (self.shared.only_full_tables and some):
            return self._all(view)
        started, path = time.perf_counter(), self._path(view)
        found = read_table(path)
        if found is None:
            computed = self._all(view).cpu()  # waits for the device
            found = computed, time.perf_counter() - started
            keep_table(*found, path)
        table = found[0].to(self.compute.device)
        if table.dim() == 4:  # a file knows no memory format
            table = table.contiguous(memory_format=self.compute.layout)
        self.shared.seconds[path.stem] = found[1]
        if view is None:
            self.shared.table = path.stem, table
        self.shared_seconds += time.perf_counter() - started
        return table

    def _all(self, view: int | None) -> Tensor:
        rows = self.rows[view is None]
        passes = np.split(rows, range(IMAGES_A_PASS, len(rows), IMAGES_A_PASS))
        return torch.cat([self._pass(some, view) for some in passes])

    @torch.no_grad()
    def _pass(self, rows: np.ndarray, view: int | None, crops: Tensor | None = None) -> Tensor:
        seen = rows.tolist()
        crops = self.views.crops(seen, view) if crops is None else crops
        pixels = self.views.finish(crops, seen, view, self.compute.device).contiguous(
            memory_format=self.compute.layout
        )
        with self.compute.autocast():
            out: Tensor = self.prefix(pixels)
        return out

    def _path(self, view: int | None) -> Path:
        """Named by everything that the bytes depend on, down to the rows that share a pass."""
        assert self.shared is not None
        views = self.views
        random = view is not None and [view, views.seed, views.side, repr(views.ranges)]
        seen = [
            views.images.digest,
            repr(views.preprocessing),
            random,
            self.rows[view is None].tolist(),
        ]
        code = [file_hash(Path(__file__).parents[1] / f"{name}.py") for name in CODE]
        how = [
            self.compute.precision,
            self.compute.memory_format,
            isinstance(views.images.pixels, np.ndarray),
        ]
        machine = [
            describe(self.compute.device),
            *how,
            torch.get_num_threads(),
            torch.__version__,
            version("torchvision"),
        ]
        name = content_hash([*self.shared.digests(self.prefix), *seen, *code, *machine])
        return cache_folder("features") / f"{name}.safetensors"
