"""The `transferlab` command: what `make` and people call around DVC."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..pipeline import heartbeat
from ..pipeline.places import checkout
from ..pipeline.terminal import message
from .cluster.train import train, train_arguments
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
from .verify import verify, verify_arguments
from .zoo.show import parts, zoo, zoo_arguments


@dataclass(frozen=True)
class Command:
    """A word after `transferlab`.

    Args:
        run: Called with what the arguments give; the first paragraph of its docstring is the help.
        example: Shown below the help.
        arguments: Adds what the command takes.
        speaks: Whether it always says something itself, or waits for a person.
    """

    run: Callable[..., None]
    example: str
    arguments: Callable[[ArgumentParser], None] | None = None
    speaks: bool = False


def _settings(parser: ArgumentParser) -> None:
    parser.add_argument("settings", nargs="*", metavar="key=value")


def _deep(parser: ArgumentParser) -> None:
    parser.add_argument("--deep", action="store_true", help="read the cache, too")


COMMANDS = {
    "init": Command(init, "init ../photos", init_arguments),
    "compose": Command(compose_params, "compose backbone=mobilenet_v2", _settings),
    "preview": Command(preview, "preview strategy=frozen strategies.frozen.lr=0.02", _settings),
    "check": Command(check, "check"),
    "repro": Command(repro, "repro"),
    "experiment": Command(experiment, "experiment strategy=frozen preset=quick", _settings),
    "train": Command(train, "train --on ray --cpus 2", train_arguments),
    "predict": Command(predict, "predict photos --csv answers.csv", predict_arguments, speaks=True),
    "export": Command(export, "export --format onnx --out model.onnx", export_arguments),
    "compare": Command(compare, "compare main mobilenet workspace", compare_arguments),
    "verify": Command(
        verify,
        "verify reports/examples/textures-tiny --strategy probe",
        verify_arguments,
        speaks=True,
    ),
    "zoo": Command(zoo, "zoo resnet18 mobilenet_v2 --out zoo", zoo_arguments, speaks=True),
    "parts": Command(parts, "parts backbone=mobilenet_v2 strategy=progressive", _settings),
    "demo": Command(demo, "demo", speaks=True),
    "doctor": Command(doctor, "doctor --deep", _deep),
    "sync": Command(sync, "sync"),
    "ui": Command(ui, "ui --port 5001", ui_arguments, speaks=True),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run one command; problems are lines on stderr and exit code 1."""
    given = vars(_parser().parse_args(arguments))
    name = given.pop("command")
    command = COMMANDS[name]
    try:
        expect_own_checkout()
        if command.speaks:
            command.run(**given)
            return
        with heartbeat.beating(f"transferlab {name}", _on_stderr):
            command.run(**given)
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except (ValueError, OSError) as error:
        if os.environ.get("TRANSFERLAB_TRACEBACK"):
            raise
        sys.exit(f"error: {message(error)}")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="transferlab", description=__doc__)
    commands = parser.add_subparsers(metavar="command", dest="command", required=True)
    for name, command in COMMANDS.items():
        said = " ".join(str(command.run.__doc__).partition("\n\n")[0].split())
        example = f"for example: transferlab {command.example}"
        one = commands.add_parser(name, help=said, description=said, epilog=example)
        if command.arguments is not None:
            command.arguments(one)
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
