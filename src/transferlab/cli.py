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
    """Parse the command line and run one command; problems are one line on stderr and exit code 1."""
    parser = argparse.ArgumentParser(prog="transferlab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("compose", help="compose conf/ into params.yaml, saying what changes").add_argument("set", nargs="*")
    commands.add_parser("preview", help="say what `dvc exp run -S ...` would change").add_argument("set", nargs="*")
    commands.add_parser("check", help="check params.yaml, also against conf/")
    commands.add_parser("demo", help="the whole pipeline without a network, in an ignored copy")
    commands.add_parser("ui", help="MLflow's pages for the local store").add_argument("--port", type=int, default=5000)
    given = parser.parse_args(arguments)
    run = {"compose": compose_params, "preview": preview, "check": check, "demo": demo, "ui": ui}[given.command]
    try:
        run(**{name: value for name, value in vars(given).items() if name != "command"})
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except Exception as error:
        if os.environ.get("TRANSFERLAB_TRACEBACK"):
            raise
        sys.exit(f"error: {reason(error)}")


def reason(error: BaseException) -> str:
    """What went wrong, without Hydra's and OmegaConf's wrapping."""
    inner = error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    return str(inner if isinstance(inner, ValueError) else error).split("\n    full_key:")[0].strip()


def compose_params(set: Sequence[str] = ()) -> None:
    """Write params.yaml, print every key that changes, and what the run will take."""
    path = checkout() / "params.yaml"
    text = compose.compose(set)
    print_changes(path, yaml.safe_load(text))
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    print(expectation(params.load(path)))


def preview(set: Sequence[str] = ()) -> None:
    """Print what an experiment changes in params.yaml; hand edits of it are named before they are replaced."""
    composed = yaml.safe_load(compose.compose(set))
    print_changes(checkout() / "params.yaml", composed)
    print(expectation(params.parse(composed, "conf")))


def print_changes(path: Path, new: Any) -> None:
    """One line for each key of params.yaml that composition changes."""
    if not path.is_file():
        print(f"{path.name}: written for the first time")
        return
    try:
        old = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError:
        print(f"{path.name}: not readable; composed anew")
        return
    for key, before, after in compose.differences(old, new):
        print(f"{path.name}: {key}: {short(before)} -> {short(after)}")


def short(value: Any) -> str:
    """A value in one line of at most 60 characters."""
    if isinstance(value, dict):
        return "{" + ", ".join(value) + "}" if len(value) < 6 else f"{{{len(value)} keys}}"
    text = "(absent)" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def expectation(values: params.Params) -> str:
    """Time and disk space that a run takes, from what was measured on two cores (see README)."""
    images = 195 if values.dataset.name == "hymenoptera" else 100
    passes = 0.0
    for strategy in values.strategies.values():
        if isinstance(strategy, params.GradientStrategy):
            epochs = min(strategy.epochs, values.train.max_epochs or strategy.epochs)
            full = sum(p.share for p in strategy.phases.values() if all(p.rates.values()))
            share = full / sum(p.share for p in strategy.phases.values())
            # A pass backward costs twice a pass forward; frozen layers are passed once per view.
            passes += images * strategy.resolution**2 * epochs * 3 * share
            passes += images * min(strategy.views or epochs, epochs) * (1 - share)
    seconds = passes * len(values.seeds) / SPEED.get(values.backbone.name, 25)
    minutes = seconds / 60 + 0.6 * len(values.strategies) + 1
    megabytes = 300 + SIZE.get(values.backbone.name, 100) * 3 * len(values.seeds) * len(values.strategies)
    return (
        f"{len(values.strategies)} strategies x {len(values.seeds)} seeds of {values.backbone.name} on "
        f"{values.dataset.name}: about {minutes:.0f} minutes on 2 CPU cores, less with a GPU or what is cached; "
        f"up to {megabytes / 1000:.1f} GB in {home()}"
    )


SPEED = {"tiny": 3000, "mobilenet_v2": 75, "resnet18": 35, "mobilenet_v3_small": 200, "efficientnet_b0": 40}
"""Images per second forward on two cores of 2024, fp32."""

SIZE = {"tiny": 1, "mobilenet_v2": 9, "resnet18": 45, "resnet50": 94, "vgg16_bn": 540, "vit_b_16": 340}
"""MB of one model."""


def check() -> None:
    """Check params.yaml by itself and, as data, against what conf/ composes to."""
    path = checkout() / "params.yaml"
    params.load(path)
    old, new = yaml.safe_load(path.read_text(encoding="utf-8")), yaml.safe_load(compose.compose())
    changes = [f"{key} ({short(a)} -> {short(b)})" for key, a, b in compose.differences(old, new)]
    if changes:
        raise ValueError(
            f"params.yaml: expected what conf/ composes to, got other values of {', '.join(changes)}. "
            f"Run: make repro, or dvc exp run with these settings"
        )
    print("params.yaml is what conf/ composes to")


def demo() -> None:
    """Run the pipeline on drawn textures in `.demo`, a copy of the checkout; nothing else is touched."""
    root = checkout()
    copy = root / ".demo"
    shutil.rmtree(copy / "src", ignore_errors=True)
    for name in ("dvc.yaml", ".dvcignore", "conf", "src", "stages"):
        source = root / name
        if source.is_dir():
            shutil.rmtree(copy / name, ignore_errors=True)
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            copy.mkdir(exist_ok=True)
            shutil.copyfile(source, copy / name)
    (copy / ".dvc").mkdir(exist_ok=True)
    shutil.copyfile(root / ".dvc/config", copy / ".dvc/config")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "TRANSFERLAB_MIRROR"))}
    environment["PYTHONPATH"] = str(copy / "src")
    command = [sys.executable, "-m", "transferlab.cli", "compose", "preset=demo"]
    subprocess.run(command, cwd=copy, env=environment, check=True)
    no_git = ["dvc", "config", "--local", "core.no_scm", "true"]
    subprocess.run(no_git, cwd=copy, env=environment, check=True)
    done = subprocess.run(["dvc", "repro"], cwd=copy, env=environment, check=False)
    if done.returncode:
        raise ValueError(f"demo: a stage failed, see above. Its files are in {copy}")
    print(f"The report is at {copy / 'reports/report.md'}")


def ui(port: int) -> None:
    """Show the local tracking store in MLflow's pages, on this machine only."""
    from . import tracking

    uri = tracking.tracking_uri()
    tracking.prepare_store()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    print(f"MLflow: http://127.0.0.1:{port}")
    os.execvp(command[0], [*command, "--port", str(port)])


if __name__ == "__main__":
    main()
