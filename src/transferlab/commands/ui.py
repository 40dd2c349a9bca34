"""The command that shows MLflow's pages."""

import errno
import os
import socket
import sys
from argparse import ArgumentParser

from ..params.reading import load_params
from ..pipeline.places import checkout
from ..pipeline.terminal import printable
from ..tracking.shown import VIEW

HOST = "127.0.0.1"
TRAINING = f"runs?workflowType=machine_learning&viewStateShareKey={VIEW}"
"""The page of an experiment's runs, in the frame that MLflow calls model training: without the
parameter it shows the one of language models, whatever the experiment's tags say.
"""


def ui_arguments(parser: ArgumentParser) -> None:
    """What `transferlab ui` takes."""
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument(
        "--experiment", metavar="NAME", help="MLflow's; else that of the data set of params.yaml"
    )


def ui(port: int, experiment: str | None) -> None:
    """Show the runs in MLflow's pages; a local store on this machine only.

    Args:
        port: Of the pages of a local store.
        experiment: Whose runs; None: that of the data set of `params.yaml`.

    Raises:
        ValueError: Another program has the port, there is no such experiment, or the store cannot
            be used.
    """
    from ..tracking import address, store

    uri = address.tracking_uri()
    remote = uri.startswith("http")
    if not remote:
        expect_free(port)
    dataset = load_params(checkout() / "params.yaml").dataset.name
    number = store.number_of(experiment, dataset)
    base = address.without_password(uri).rstrip("/") if remote else f"http://{HOST}:{port}"
    print(printable(f"MLflow: {base}/#/experiments/{number}/{TRAINING}"), flush=True)
    if remote:
        return
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--host", HOST, "--port", str(port), "--workers", "1"]
    os.execvp(command[0], command)


def expect_free(port: int) -> None:
    """Refuse a port that is taken, and name one that is not; MLflow would tell it in a traceback.

    Raises:
        ValueError: It is taken, or may not be had.
    """
    if not 0 < port < 65536:
        raise ValueError(f"--port: expected 1 to 65535, got {port}. Run: transferlab ui")
    try:
        _bind(port)
    except OSError as error:
        reason = (
            "is taken by another program" if error.errno == errno.EADDRINUSE else error.strerror
        )
        free = _bind(0)
        raise ValueError(
            f"port {port}: expected a free one, but it {reason}. Run: make ui PORT={free}, or "
            f"transferlab ui --port {free}"
        ) from error


def _bind(port: int) -> int:
    """Bind a port for a moment; 0 is any that is free. A server's last connections do not count."""
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((HOST, port))
        return int(made.getsockname()[1])
