"""The `transferlab` command: what `make` and people call around DVC."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from . import compose, params
from .files import checkout, home, write_text


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run one command; problems are lines on stderr and exit code 1."""
    parser = argparse.ArgumentParser(prog="transferlab", description=__doc__)
    commands = parser.add_subparsers(metavar="command", required=True)
    for name, run in {"compose": compose_params, "preview": preview, "check": check, "demo": demo, "ui": ui}.items():
        command = commands.add_parser(name, help=str(run.__doc__).splitlines()[0])
        command.set_defaults(run=run)
        if name in ("compose", "preview"):
            command.add_argument("settings", nargs="*", metavar="key=value")
        if name == "ui":
            command.add_argument("--port", type=int, default=5000)
    given = vars(parser.parse_args(arguments))
    try:
        given.pop("run")(**given)
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except (ValueError, OSError) as error:
        if os.environ.get("TRANSFERLAB_TRACEBACK"):
            raise
        sys.exit(f"error: {error}")


def compose_params(settings: Sequence[str] = ()) -> None:
    """Compose conf/ into params.yaml, saying what changes and what the run will take."""
    path = checkout() / "params.yaml"
    text = compose.compose(settings)
    show(current(path), yaml.safe_load(text))
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def preview(settings: Sequence[str] = ()) -> None:
    """Say what `dvc exp run -S ...` changes in params.yaml, and which edits of that file it replaces."""
    old, new = current(checkout() / "params.yaml"), yaml.safe_load(compose.compose(settings))
    show(old, new)
    replaced = {key for key, _, _ in compose.differences(old, new)}
    edits = [change for change in compose.differences(old, yaml.safe_load(compose.compose())) if change[0] in replaced]
    if old and edits:
        print(f"params.yaml differs from conf/ in {in_words(edits)}; that is replaced. Edit conf/ instead.")


def check() -> None:
    """Check params.yaml by itself and, as data, against what conf/ composes to."""
    path = checkout() / "params.yaml"
    params.load(path)
    if changes := list(compose.differences(params.read(path), yaml.safe_load(compose.compose()))):
        raise ValueError(
            f"params.yaml: expected what conf/ composes to, got other values of {in_words(changes)}. "
            f"Run: make repro, or dvc exp run with these settings"
        )
    print("params.yaml is what conf/ composes to")


def current(path: Path) -> Any:
    """The params file as it is; nothing where it is not there or cannot be read, since it is about to be replaced."""
    try:
        return params.read(path)
    except ValueError:
        return {}


def show(old: Any, new: Any) -> None:
    """Print every key that changes, and what to expect of a run."""
    for change in compose.differences(old, new):
        print(f"params.yaml: {in_words([change])}")
    print(expectation(params.parse(new, "conf")))


def in_words(changes: Sequence[tuple[str, Any, Any]]) -> str:
    """Keys with their old and new values, at most five of them."""
    words = [f"{key} ({short(before)} -> {short(after)})" for key, before, after in changes[:5]]
    return ", ".join(words) + (f" and {len(changes) - 5} more" if len(changes) > 5 else "")


def short(value: Any) -> str:
    """A value in one line of at most 60 characters."""
    text = "none" if value is None else f"{{{', '.join(value)}}}" if isinstance(value, dict) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


COST = {
    "tiny": (3000, 1),
    "resnet18": (35, 47),
    "resnet50": (15, 102),
    "mobilenet_v2": (75, 14),
    "mobilenet_v3_small": (200, 10),
    "efficientnet_b0": (40, 21),
    "efficientnet_b4": (7, 78),
    "convnext_tiny": (18, 114),
    "densenet121": (16, 32),
    "vgg16_bn": (9, 553),
    "vit_b_16": (8, 346),
}
"""Images per second forward on two cores, roughly, and megabytes of one model."""


def expectation(values: params.Params) -> str:
    """What a run takes, to an order of magnitude: minutes on two cores, and space."""
    strategies, seeds, source = values.strategies.values(), len(values.seeds), values.backbone.source
    speed, megabytes = COST[values.backbone.name]
    images = training_images(values.dataset)
    work = sum(passes(strategy, values.train.max_epochs) for strategy in strategies) * seeds * (images or 1000)
    if source is not None and values.backbone.weights == "source":
        work += passes(source.strategy, values.train.max_epochs) * (training_images(source.dataset) or 1000)
    minutes = 1 + len(strategies) / 2 + work / speed / 60  # a stage starts up and evaluates in a quarter of a minute
    gigabytes = 0.3 + len(strategies) * seeds * megabytes * 3 / 1000  # the file, DVC's copy and MLflow's
    return (
        f"{len(strategies)} strategies x {seeds} seeds of {values.backbone.name} on {values.dataset.name}: "
        f"about {minutes:.0f} minutes on 2 CPU cores{'' if images else ' per 1000 images'}, "
        f"less on a GPU and where results are cached; up to {gigabytes:.1f} GB in {home()}"
    )


def passes(strategy: params.Strategy, max_epochs: int | None) -> float:
    """Forward passes of each image through the whole network per seed; a backward pass costs two."""
    if isinstance(strategy, params.LogisticStrategy):
        return 1
    epochs = min(strategy.epochs, max_epochs or strategy.epochs)
    whole = sum(phase.share for phase in strategy.phases.values() if all(phase.rates.values()))
    whole /= sum(phase.share for phase in strategy.phases.values())
    # What is frozen is passed once per view.
    return strategy.resolution**2 * (3 * epochs * whole + min(strategy.views or epochs, epochs) * (1 - whole))


def training_images(dataset: params.Dataset) -> int | None:
    """How many there are, where that is known without looking."""
    if dataset.textures is not None:
        return len(dataset.textures.classes) * dataset.textures.train_per_class
    return {"hymenoptera": 244}.get(dataset.name)


def demo() -> None:
    """Run the whole pipeline without a network, on drawn textures, in the ignored copy `.demo`."""
    root, copy = checkout(), checkout() / ".demo"
    for name in ("conf", "src", "stages", ".dvc/plots"):
        shutil.rmtree(copy / name, ignore_errors=True)
        shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("dvc.yaml", ".dvcignore", ".dvc/config"):
        shutil.copyfile(root / name, copy / name)
    write_text(copy / ".dvc/config.local", "[core]\n    no_scm = true\n")
    others = ("DVC_", "TRANSFERLAB_MIRROR", "MLFLOW_TRACKING_", "MLFLOW_REGISTRY_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(others)}
    environment["PYTHONPATH"] = str(copy / "src")
    # The stages call `python`: it must be this one, also where .venv is not activated.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    for command in (["transferlab.cli", "compose", "preset=demo"], ["dvc", "repro"]):
        if subprocess.run([sys.executable, "-m", *command], cwd=copy, env=environment, check=False).returncode:
            raise ValueError(f"demo: expected every stage to end well; one failed, see above. Its files are in {copy}.")
    print(f"The report is at {copy / 'reports/report.md'}")


def ui(port: int) -> None:
    """Show the local tracking store in MLflow's pages, on this machine only."""
    from . import tracking

    uri = tracking.tracking_uri()
    if uri.startswith("http"):
        print(f"MLflow: {uri}, as MLFLOW_TRACKING_URI says")
        return
    tracking.prepare_store()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        uri,
        "--host",
        "127.0.0.1",
        "--workers",
        "1",
    ]
    print(f"MLflow: http://127.0.0.1:{port}")
    os.execvp(command[0], [*command, "--port", str(port)])


if __name__ == "__main__":
    main()
