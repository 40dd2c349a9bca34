"""The `transferlab` command: what `make` and people call around DVC."""

import argparse
import os
import sys
from collections.abc import Sequence

from .demo import demo
from .parameters import check, compose_params, preview
from .ui import ui


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run one command; problems are lines on stderr and exit code 1."""
    parser = argparse.ArgumentParser(prog="transferlab", description=__doc__)
    commands = parser.add_subparsers(metavar="command", required=True)
    for name, run in {
        "compose": compose_params,
        "preview": preview,
        "check": check,
        "demo": demo,
        "ui": ui,
    }.items():
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
