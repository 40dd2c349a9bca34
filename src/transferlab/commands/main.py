"""The `transferlab` command: what `make` and people call around DVC."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
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

Parser = argparse.ArgumentParser


def _none(command: Parser) -> None:
    """A command without arguments."""


def _settings(command: Parser) -> None:
    command.add_argument("settings", nargs="*", metavar="key=value")


def _deep(command: Parser) -> None:
    command.add_argument("--deep", action="store_true", help="read the cache, too")


COMMANDS: dict[str, tuple[Callable[..., object], Callable[[Parser], object]]] = {
    "init": (init, init_arguments),
    "compose": (compose_params, _settings),
    "preview": (preview, _settings),
    "check": (check, _none),
    "repro": (repro, _none),
    "experiment": (experiment, _settings),
    "predict": (predict, predict_arguments),
    "export": (export, export_arguments),
    "compare": (compare, compare_arguments),
    "demo": (demo, _none),
    "doctor": (doctor, _deep),
    "sync": (sync, _none),
    "ui": (ui, ui_arguments),
}
"""What each command runs, and what adds its arguments; they are the function's own."""

SPEAKING = ("demo", "predict", "ui")
"""Commands that always say something themselves, or wait for a person."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run one command; problems are lines on stderr and exit code 1."""
    given = vars(_parser().parse_args(arguments))
    try:
        expect_own_checkout()
        name = given.pop("name_of_command")
        run, _ = COMMANDS[name]
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


def _parser() -> Parser:
    parser = Parser(prog="transferlab", description=__doc__)
    commands = parser.add_subparsers(metavar="command", required=True)
    for name, (run, add_arguments) in COMMANDS.items():
        command = commands.add_parser(name, help=str(run.__doc__).splitlines()[0])
        command.set_defaults(name_of_command=name)
        add_arguments(command)
    return parser


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
