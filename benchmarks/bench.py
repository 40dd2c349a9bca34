"""The engine against the tutorial's loop: same data, backbone, weights and threads, alternating in
one process tree.

Every run is a process of its own. Interpreter, imports, downloads and reading `conf/` are not
counted; decoding is. The baseline is timed over some of its 25 epochs and extrapolated, unless
--full.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import yaml

from transferlab.data.archive import bring
from transferlab.data.chance import stratified_split
from transferlab.data.images import load_images
from transferlab.data.ingest.pixels import preprocess
from transferlab.experiments import precision
from transferlab.params.reading import parse
from transferlab.params.whole import Params
from transferlab.pipeline import files, places
from transferlab.settings import compose
from transferlab.weights.start import official, own, write_start

HERE = Path(__file__).resolve().parent
EPOCHS = 25  # of the tutorial
REPEATS, SHORT = 3, 20.0  # a run of ours below so many seconds counts by the median of three
TEN = f"seeds={list(range(10))}".replace(" ", "")
DRAWN = "stripes,grid,dots,noise,blobs,bricks,checks,crosses,rays,waves"
Run = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A line of the table: what of ours is held against which loop.

    Args:
        title: Of the line.
        baseline: What the tutorial's loop trains.
        strategy: Ours.
        settings: Beyond its defaults and one seed.
        fresh: Whether images are decoded and frozen layers evaluated within the time.
    """

    title: str
    baseline: str
    strategy: str
    settings: tuple[str, ...] = ("seeds=[0]",)
    fresh: bool = True


ROWS = [
    Row("probe", "frozen", "probe"),
    Row("probe, features cached", "frozen", "probe", fresh=False),
    Row("probe, ten seeds", "frozen", "probe", (TEN,)),
    Row("frozen", "frozen", "frozen"),
    Row("frozen, features cached", "frozen", "frozen", fresh=False),
    Row("partial", "partial", "partial"),
    Row("partial, features cached", "partial", "partial", fresh=False),
    Row("finetune", "finetune", "finetune"),
    Row("brief", "finetune", "brief"),
    Row("progressive", "finetune", "progressive"),
    Row("scratch", "finetune", "scratch"),
]


def _ours(strategy: str, epochs: int, **more: float) -> Row:
    """A strategy for so many epochs, and with other values of its own."""
    values = {"epochs": epochs, **more}
    settings = [f"strategies.{strategy}.{key}={value}" for key, value in values.items()]
    return Row("", "", strategy, ("seeds=[0]", *settings))


TWELVE = ("12 epochs, each stage with a rate of its own", Row("", "", "finetune"))
LOOP: list[tuple[str, list[str] | Row]] = [
    ("the tutorial's loop", []),
    ("every image decoded once", ["--decoded"]),
    ("batches of 32", ["--batch", "32"]),
    ("freed memory kept", ["--keep-memory"]),
    ("channels last", ["--channels-last"]),
]
LADDERS: dict[str, list[tuple[str, list[str] | Row]]] = {
    "frozen": [
        *LOOP,
        (
            (
                "engine: frozen layers once per view, 25 views; 49 validation instead of 153 test "
                "images"
            ),
            _ours("frozen", 25, views=25),
        ),
        ("views: auto, used in turn for 100 epochs", Row("", "", "frozen")),
        ("one view and a convex problem: the probe", Row("", "", "probe")),
        ("ten seeds of it at once, each", Row("", "", "probe", (TEN,))),
    ],
    "finetune": [
        *LOOP,
        (
            "engine: norm layers within the convolutions, 49 validation images",
            _ours("finetune", 25),
        ),
        TWELVE,
    ],
    "finetune-less": [
        LOOP[0],
        TWELVE,
        ("crops of 160 px", _ours("finetune", 12, resolution=0.7143)),
        ("6 epochs", _ours("finetune", 6)),
        ("crops of 128 px: the strategy brief", Row("", "", "brief")),
        ("2 epochs of it", _ours("brief", 2)),
    ],
}
"""Steps of the loop, and of ours; the loop trains what the first word names."""


def drawn(images: int | None) -> list[str]:
    """Settings of so many drawn images of 256 px, of which three tenths are for the test; none
    where the photographs are meant.
    """
    if images is None:
        return []
    each = images // (DRAWN.count(",") + 1)
    values = {
        "px": 256,
        "classes": f"[{DRAWN}]",
        "train_per_class": each * 7 // 10,
        "test_per_class": each - each * 7 // 10,
    }
    textures = [f"dataset.textures.{key}={value}" for key, value in values.items()]
    return ["dataset=textures", "dataset.store_px=256", f"dataset.classes=[{DRAWN}]", *textures]


class Bench:
    """Prepared data and weights, and the runs on them.

    Args:
        given: The command line.
        folder: Receives everything; temporary.
    """

    def __init__(self, given: argparse.Namespace, folder: Path):
        self.given, self.folder = given, folder
        if (mirror := places.mirror()) is not None:
            os.environ["TRANSFERLAB_MIRROR"] = (
                mirror  # absolute: relative ones count from the next line's folder
            )
        os.environ["DVC_ROOT"] = str(folder)
        self.settings = [
            f"backbone={given.backbone}",
            f"backbone.weights={given.weights}",
            *drawn(given.drawn),
        ]
        values = parse(yaml.safe_load(compose.compose(["strategy=probe", *self.settings])))
        bring.bring(values.dataset, folder / "data/raw")
        start = {"train": values.train, "engine": values.engine, "code": "", "log": print}
        write_start(folder, values.backbone, **start)
        preprocess(folder / "data/raw/archive.zip", values.dataset, folder / "data/processed")
        backbone = values.backbone
        precision.decide(folder, backbone.name, backbone.preprocessing, values.engine)
        self.options = ["--backbone", given.backbone]
        if given.weights != "none":
            found = official(backbone) if given.weights == "official" else own(backbone)
            self.options += ["--weights", str(found.path)]
        self.unpack(values)
        self.options += ["--workers", str(self.workers())]

    def unpack(self, values: Params) -> None:
        """The folders the baseline reads: all images, and the split of seed 0 for the comparison at
        equal passes.
        """
        with zipfile.ZipFile(self.folder / "data/raw/archive.zip") as file:
            file.extractall(self.folder / "tutorial")
        self.all = next((self.folder / "tutorial").rglob("train")).parent
        if (tested := self.all / "test").exists():
            tested.rename(self.all / "val")
        known = files.read_json(self.folder / "data/processed/classes.json")
        images = load_images(self.folder / "data/processed/train", known["classes"])
        split = stratified_split(images.labels, values.train.validation_fraction, 0, "validation")
        self.equal = self.folder / "equal"
        for name, rows in zip(("train", "val"), split, strict=True):
            for row in rows:
                found = self.all / images.ids[row]
                place = self.equal / name / found.parent.name / found.name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(found)

    def workers(self) -> int:
        """The number of loader processes with which an epoch of the baseline is shortest."""
        counts = range(len(os.sched_getaffinity(0)) + 1)
        seconds = {
            n: self.tutorial("frozen", 1, "--workers", str(n))["epochs"][0]["seconds"]
            for n in counts
        }
        print(f"an epoch of the baseline by number of workers: {seconds}", file=sys.stderr)
        return min(seconds, key=lambda count: seconds[count])

    def tutorial(self, strategy: str, epochs: int, *options: str, equal: bool = False) -> Run:
        """Some epochs of the baseline; `seconds` for all 25."""
        where = self.equal if equal else self.all
        words = [
            str(where),
            "--strategy",
            strategy,
            "--epochs",
            str(epochs),
            *self.options,
            *options,
        ]
        run = self.child("tutorial.py", words)
        epoch = mean(row["seconds"] for row in run["epochs"])
        return {**run, "epoch": epoch, "seconds": run["prepared_seconds"] + EPOCHS * epoch}

    def engine(self, row: Row, *options: str) -> Run:
        """Ours; `seconds` is the sum of its parts, in a short run their median over some."""
        runs = [self.run(row, *options)]
        if runs[0]["seconds"] < SHORT:
            runs += [self.run(row, *options) for _ in range(REPEATS - 1)]
        return sorted(runs, key=lambda run: run["seconds"])[len(runs) // 2]

    def run(self, row: Row, *options: str) -> Run:
        """One run of ours."""
        for place in (
            ".cache/transferlab/resume",
            *([".cache/transferlab/features"] if row.fresh else []),
        ):
            shutil.rmtree(self.folder / place, ignore_errors=True)
        decode = ["--decode"] if row.fresh else []
        words = [str(self.folder), row.strategy, *decode, *options, *self.settings, *row.settings]
        run = self.child("engine.py", words)
        return {**run, "parts": run["seconds"], "seconds": sum(run["seconds"].values())}

    def child(self, script: str, words: Sequence[str]) -> Run:
        """Run a script of this folder; its last line is its result."""
        print(f"{script} {' '.join(words[1:])}", file=sys.stderr)
        command = [sys.executable, str(HERE / script), *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found: Run = json.loads(done.stdout.splitlines()[-1])
        return found

    def compare(self) -> list[Run]:
        """The rows of the table; medians over the rounds."""
        found: dict[str, list[Run]] = {}
        for _ in range(self.given.rounds):
            for strategy in self.given.loops:
                theirs = self.tutorial(strategy, EPOCHS if self.given.full else self.given.epochs)
                for row in (row for row in ROWS if row.baseline == strategy):
                    found.setdefault(row.title, []).append(
                        {"tutorial": theirs, "engine": self.engine(row)}
                    )
            if "finetune" not in self.given.loops:
                continue
            theirs = self.tutorial("finetune", self.given.epochs, equal=True)
            settings = ("seeds=[0]", f"strategies.finetune.epochs={self.given.epochs}")
            ours = self.engine(Row("", "", "finetune", settings, fresh=False), "--no-test")
            ours["seconds"] *= EPOCHS / self.given.epochs
            title = f"finetune, {EPOCHS} epochs, equal passes"
            found.setdefault(title, []).append({"tutorial": theirs, "engine": ours})
        return [
            {
                "title": title,
                "tutorial_seconds": median(run["tutorial"]["seconds"] for run in runs),
                "engine_seconds": median(run["engine"]["seconds"] for run in runs),
                "ratio": median(
                    run["tutorial"]["seconds"] / run["engine"]["seconds"] for run in runs
                ),
                "rounds": runs,
            }
            for title, runs in found.items()
        ]

    def formats(self) -> list[Run]:
        """Seconds and agreement of every precision and memory format, as `auto` would measure
        them.
        """
        open_ = [
            "strategy=probe",
            *self.settings,
            "engine.precision=auto",
            "engine.memory_format=auto",
        ]
        values = parse(yaml.safe_load(compose.compose(open_)))
        backbone = values.backbone
        return precision.measure(self.folder, backbone.name, backbone.preprocessing, values.engine)

    def ladders(self) -> dict[str, list[Run]]:
        """What each step gives: cumulative, except that the engine's steps do without the loop's
        options.
        """
        found: dict[str, list[Run]] = {}
        for strategy, steps in ((name, LADDERS[name]) for name in self.given.ladder):
            options: list[str] = []
            for title, step in steps:
                if isinstance(step, Row):
                    seconds = self.engine(step)["seconds"] / (10 if TEN in step.settings else 1)
                else:
                    options += step
                    trained = strategy.partition("-")[0]
                    seconds = self.tutorial(trained, self.given.epochs, *options)["seconds"]
                found.setdefault(strategy, []).append({"title": title, "seconds": seconds})
        return found


def machine() -> str:
    """The processor, its cores and the version of torch."""
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    import torch

    kind = torch.backends.cpu.get_cpu_capability()
    return (
        f"{len(os.sched_getaffinity(0))} cores of {names[0]} ({kind}), {platform.system()}, "
        f"torch {torch.__version__}"
    )


def table(result: Run) -> str:
    """The result as Markdown."""
    given = result["command"]
    counted = f"{given['epochs']} epochs, extrapolated to {EPOCHS}"
    if given["full"]:
        counted = f"all {EPOCHS} epochs"
    images = f", {given['drawn']} drawn images" if given.get("drawn") else ""
    lines = [
        f"# {given['backbone']}, weights {given['weights']}{images}: the tutorial's loop and the "
        "engine",
        "",
        f"{result['machine']}; {given['rounds']} round(s). The loop was timed over {counted}; one "
        "seed of ours against one run of it unless the line says otherwise. Where ours took less "
        "than 20 s it is the median of three. Interpreter, imports and downloads are not counted. "
        "Memory is the peak of the main process. Made by `make bench`; every run stands in the "
        "JSON file beside this one.",
        "",
        *_comparison(result["rows"]),
        "One pass forward and one forward and backward, eight real images, against the first line:",
        "",
        "| precision | memory format | seconds | smallest cosine | same largest logit |",
        "| --- | --- | --: | --: | --- |",
        *(_format(trial) for trial in result["formats"]),
    ]
    for strategy, steps in result["ladders"].items():
        lines += _ladder(strategy, steps)
    return "\n".join(lines) + "\n"


def _comparison(rows: list[Run]) -> list[str]:
    """The table of strategies; none where only steps were asked for."""
    if not rows:
        return []
    return [
        "| | loop, s | engine, s | ratio | passes | decodes | test accuracy: loop last (best) "
        "| engine | peak MB |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: |",
        *map(_compared, rows),
        "",
    ]


def _compared(row: Run) -> str:
    """The line of one strategy, by the first of its rounds but for the seconds."""
    theirs, ours = row["rounds"][0]["tutorial"], row["rounds"][0]["engine"]
    last = theirs["epochs"][-1]
    passes = EPOCHS * (last["train_passes"] + last["val_passes"])
    reached = "not run to the end"
    if len(theirs["epochs"]) == EPOCHS:
        best = max(epoch["val_accuracy"] for epoch in theirs["epochs"])
        reached = f"{last['val_accuracy']:.3f} ({best:.3f})"
    accuracy = ", ".join(f"{value:.3f}" for value in (ours["accuracy"] or {}).values()) or "-"
    return (
        f"| {row['title']} | {row['tutorial_seconds']:.1f} | {row['engine_seconds']:.2f} | "
        f"**{row['ratio']:.1f}x** "
        f"| {passes} / {ours['passes']} | {passes} / {ours['decodes']} | {reached} | "
        f"{accuracy} "
        f"| {theirs['peak_memory_mb']:.0f} / {ours['peak_memory_mb']:.0f} |"
    )


def _format(trial: Run) -> str:
    agrees = "yes" if trial["agrees"] else "no, or cosine < 0.999"
    return (
        f"| {trial['precision']} | {trial['memory_format']} | {trial['seconds']:.3f} | "
        f"{trial['cosine']:.5f} | {agrees} |"
    )


def _ladder(strategy: str, steps: list[Run]) -> list[str]:
    loop = steps[0]["seconds"]
    return [
        "",
        f"What each step gives, {strategy}:",
        "",
        "| step | seconds | times faster than the loop |",
        "| --- | --: | --: |",
        *(
            f"| {step['title']} | {step['seconds']:.2f} | {loop / step['seconds']:.1f} |"
            for step in steps
        ),
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument(
        "--weights", default="official", help="as backbone.weights: official, none, or a file"
    )
    parser.add_argument(
        "--drawn",
        type=int,
        metavar="IMAGES",
        help="so many drawn ones of ten classes in place of the photographs",
    )
    parser.add_argument(
        "--epochs", type=int, default=3, help="of the baseline that are timed, 3 or more"
    )
    parser.add_argument(
        "--full", action="store_true", help="run all 25 epochs of the baseline, for its accuracy"
    )
    parser.add_argument("--rounds", type=int, default=1)
    loops = list(dict.fromkeys(row.baseline for row in ROWS))
    parser.add_argument(
        "--loops", nargs="*", choices=loops, default=loops, help="what of the baseline is run"
    )
    parser.add_argument(
        "--ladder",
        nargs="*",
        choices=LADDERS,
        default=list(LADDERS),
        help="what each step gives, for",
    )
    parser.add_argument(
        "--out", type=Path, default=HERE / "results", help="folder for the table and the JSON file"
    )
    given = parser.parse_args()
    if given.epochs < 3:
        parser.error("--epochs: expected 3 or more, or one slow epoch is the result.")
    return given


def main() -> None:
    """Run everything and write the table."""
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="transferlab-bench-") as name:
        bench = Bench(given, Path(name))
        result = {
            "machine": machine(),
            "command": {key: value for key, value in vars(given).items() if key != "out"},
            "formats": bench.formats(),
            "rows": bench.compare(),
            "ladders": bench.ladders(),
        }
    text = table(result)
    images = f"-{given.drawn}" if given.drawn else ""
    write = given.out / f"{given.backbone}{images}.json"
    files.write_json(write, result)
    files.write_text(write.with_suffix(".md"), text)
    print(text)


if __name__ == "__main__":
    main()
