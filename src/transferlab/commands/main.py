"""The `transferlab` command: what `make` and people call around DVC."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..pipeline import heartbeat
from ..pipeline.places import checkout
from ..pipeline.terminal import message
from .compare import compare, compare_arguments
from .demo import demo
from .doctor.examine import doctor
from .export import export, export_arguments
from .init import init, init_arguments
from .parameters import check, compose_params, preview
from .predict import predict, predict_arguments
from .running import experiment, repro
from .sync import sync
from .ui import ui, ui_arguments

SPEAKING = ("demo", "predict", "ui")
"""Commands that always say something themselves, or wait for a person."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run one command; problems are lines on stderr and exit code 1."""
    parser = argparse.ArgumentParser(prog="transferlab", description=__doc__)
    commands = parser.add_subparsers(metavar="command", required=True)
    for name, run in {
        "init": init,
        "compose": compose_params,
        "preview": preview,
        "check": check,
        "repro": repro,
        "experiment": experiment,
        "predict": predict,
        "export": export,
        "compare": compare,
        "demo": demo,
        "doctor": doctor,
        "sync": sync,
        "ui": ui,
    }.items():
        command = commands.add_parser(name, help=str(run.__doc__).splitlines()[0])
        command.set_defaults(run=run, name_of_command=name)
        if name in ("compose", "preview", "experiment"):
            command.add_argument("settings", nargs="*", metavar="key=value")
        if name == "doctor":
            command.add_argument("--deep", action="store_true", help="read the cache, too")
        if name == "init":
            init_arguments(command)
        if name == "predict":
            predict_arguments(command)
        if name == "export":
            export_arguments(command)
        if name == "compare":
            compare_arguments(command)
        if name == "ui":
            ui_arguments(command)
    given = vars(parser.parse_args(arguments))
    try:
        expect_own_checkout()
        run, name = given.pop("run"), given.pop("name_of_command")
        if name in SPEAKING:
            run(**given)
            return
        with heartbeat.beating(f"transferlab {name}", _on_stderr):
            run(**given)
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except (ValueError, OSError) as error:
        if os.environ.get("TRANSFERLAB_TRACEBACK"):
            raise
        sys.exit(f"error: {message(error)}")


def _on_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def expect_own_checkout() -> None:
    """Refuse to work on another checkout than the one that the caller stands in.

    Raises:
        ValueError: This command was installed from elsewhere, as after a checkout was copied.
    """
    here = Path.cwd()
    marks = ("dvc.yaml", "src/transferlab/__init__.py")
    around = [it for it in (here, *here.parents) if all((it / mark).is_file() for mark in marks)]
    if around and around[0] != checkout():
        raise ValueError(
            f"{around[0]}: expected this checkout's own transferlab, got that of {checkout()}. "
            "Run: rm -rf .venv && make setup. Or set PYTHONPATH=src."
        )
