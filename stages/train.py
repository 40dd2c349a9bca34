"""Train one strategy with every seed. The test images are not among this stage's dependencies."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.pipeline import beginning

if __name__ == "__main__":
    beginning.begin()

from transferlab.experiments import runs
from transferlab.params.learning.recipe import recipe_of
from transferlab.params.whole import Params
from transferlab.pipeline import stage
from transferlab.pipeline.files import file_hash
from transferlab.tracking import sender
from transferlab.training import progress


class Watch:
    """Passes what happens on to the person at the terminal and to MLflow."""

    def __init__(self, bar: progress.Bar, tracking: sender.Tracker, parent: Mapping[str, str]):
        self.bar, self.tracking, self.parent = bar, tracking, parent
        self.epochs: dict[int, str] = {}  # of the seed, what was measured

    def start(self, key: str, seed: int, facts: Mapping[str, Any]) -> None:
        """One seed begins."""
        self.epochs.clear()
        tags = {name: facts[name] for name in ("strategy", "backbone", "learner", "dataset")} | {
            "seed": str(seed)
        }
        self.tracking.start(key, facts["params"], tags, self.parent)

    def log(self, key: str, seed: int, row: Mapping[str, Any]) -> None:
        """One epoch is done."""
        self.bar.step(row)
        self.epochs[row["epoch"]] = progress.in_words(row)
        numbers = {name: value for name, value in row.items() if name not in ("phase", "epoch")}
        self.tracking.log(key, row["epoch"], numbers)

    def end(self, key: str, seed: int, outcome: Mapping[str, Any]) -> None:
        """One seed is done."""
        epoch, kept = outcome["best_epoch"], ""
        if epoch is not None:
            kept = f", kept epoch {epoch}" if epoch else ""  # what is solved has none
            # a training that was resumed told its earlier epochs before
            kept += f": {self.epochs[epoch]}" if epoch in self.epochs else ""
        self.bar.line(f"seed {seed} {outcome['status']}{kept}")
        self.tracking.end(key, "FINISHED")  # a diverged training is a result, not a failure


def work(root: Path, params: Params, strategy: str) -> None:
    """Write models/<strategy> and runs/<strategy>."""
    recipe = recipe_of(params, strategy)
    parent = sender.parent_identity(file_hash(root / "params.yaml"))
    # The next stage need not wait until MLflow has everything: `track` does, and sends what is
    # missing.
    with progress.Bar(strategy, None) as bar, sender.Tracker(patience=0) as tracking:
        watch = Watch(bar, tracking, parent)
        runs.run(root, recipe, params.tuning, stage.code_digest(root, "train"), watch)


if __name__ == "__main__":
    stage.main("train", work)
