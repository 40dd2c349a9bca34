"""The trainings that `params.yaml` asks for, and those of them that are not done."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...data.divisions import division_of, named, read_divisions
from ...experiments.trainer import Trainer
from ...experiments.trainings import Trainings
from ...experiments.trials import variants
from ...network.setup import images_of, settled_compute
from ...params.learning.recipe import Recipe, recipe_of
from ...params.learning.strategies import GradientStrategy
from ...params.whole import Params
from ...pipeline.stage import code_digest
from ...training.checkpoint import checkpoint_of


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training, a pure function of files.

    Args:
        stage: That asks for it.
        strategy: Its name.
        title: Which of the stage's trainings, such as `seed=0` or `repeat=0 fold=3`.
        key: Names the training for ever.
        code: Digest of the code that trains.
    """

    stage: str
    strategy: str
    title: str
    key: str
    code: str

    def __str__(self) -> str:
        """As `train@frozen seed=3`."""
        return f"{self.stage}@{self.strategy} {self.title}"

    @property
    def done(self) -> bool:
        """Whether it ended, here or elsewhere: then its stage only collects it."""
        return checkpoint_of(self.key, 0).load().status != "running"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What `Trainer.train` takes."""

    recipe: Recipe
    seed: int
    rows: tuple[np.ndarray, np.ndarray]


def trainings_of(
    root: Path, params: Params, stage: str, name: str, code: str
) -> tuple[Trainer, dict[str, Asked]]:
    """What trains for a stage and a strategy, and all that the stage asks of it, by title."""
    recipe = recipe_of(params, name)
    if stage == "train":
        images = images_of(root, "train", settled_compute(root, recipe.engine))
        split = len(images)
        trainer = Trainer(root=root, recipe=recipe, images=images, split=split, code=code)
        return trainer, dict(_of_seeds(root, trainer, params))
    trainings = Trainings(root, recipe, code, lambda row: None)
    folds = stage == "cross_validate"
    ids = trainings.images.ids if folds else trainings.images.first.ids
    divisions = read_divisions(root / f"data/splits/{'folds' if folds else 'parts'}.csv", ids)
    drawn = "repeat" if folds else "seed"
    return trainings.trainer, {
        column: Asked(recipe=recipe, seed=int(named(column)[drawn]), rows=division.training)
        for column, division in divisions.items()
    }


def _of_seeds(root: Path, trainer: Trainer, params: Params) -> Iterator[tuple[str, Asked]]:
    table, ids = root / "data/splits/validation.csv", trainer.images.ids
    for seed in params.seeds:
        rows = division_of(table, ids, seed).training
        tried = variants(trainer.recipe, params.tuning, seed)
        for trial, recipe in enumerate(tried):
            title = f"seed={seed}" + (f" trial={trial}" if len(tried) > 1 else "")
            yield title, Asked(recipe=recipe, seed=seed, rows=rows)


def jobs_of(root: Path, params: Params, stages: Sequence[tuple[str, str]]) -> list[Job]:
    """The trainings of these stages.

    What is solved for without a loop is left to its stage: it takes seconds, and is not kept.

    Args:
        root: The checkout.
        params: All parameters.
        stages: Each with its strategy.
    """
    found = []
    for stage, name in stages:
        if isinstance(params.strategies[name], GradientStrategy):
            code = code_digest(root, stage)
            trainer, asked = trainings_of(root, params, stage, name, code)
            for title, one in asked.items():
                key = trainer.key(one.recipe, one.seed, one.rows)
                found.append(Job(stage=stage, strategy=name, title=title, key=key, code=code))
    return found


def outdated(root: Path, params: Params) -> list[tuple[str, str]]:
    """Stages that train and that DVC would run, each with its strategy.

    Raises:
        ValueError: DVC would run a stage before them.
    """
    asked = {
        "train": list(params.strategies),
        "cross_validate": params.cross_validation.strategies,
        "learning_curve": params.learning_curve.strategies,
    }
    instances = {f"{stage}@{name}": (stage, name) for stage in asked for name in asked[stage]}
    changed = _status(root, list(instances))
    before = [name for name in changed if name not in instances and not name.startswith("watch@")]
    if before:
        raise ValueError(
            f"train: expected all that trainings start from, but {', '.join(before)} would run "
            "first. Run: dvc repro split weights precision"
        )
    return [asked for name, asked in instances.items() if name in changed]


def _status(root: Path, targets: Sequence[str]) -> Mapping[str, Any]:
    """What DVC would run of these stages and those before them."""
    command = [sys.executable, "-m", "dvc", "status", "--json", "--with-deps", *targets]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"dvc status: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
