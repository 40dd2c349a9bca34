"""The command that shows MLflow's pages."""

import errno
import os
import socket
import sys

HOST = "127.0.0.1"


def ui(port: int) -> None:
    """Show the local tracking store in MLflow's pages, on this machine only.

    Raises:
        ValueError: Another program has the port.
    """
    from ..tracking import address, store

    uri = address.tracking_uri()
    if uri.startswith("http"):
        print(address.without_password(f"MLflow: {uri}, as MLFLOW_TRACKING_URI says"))
        return
    expect_free(port)
    store.prepare_store()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        uri,
        "--host",
        HOST,
        "--workers",
        "1",
    ]
    print(f"MLflow: http://{HOST}:{port}", flush=True)
    os.execvp(command[0], [*command, "--port", str(port)])


def expect_free(port: int) -> None:
    """Refuse a port that is taken, and name one that is not; MLflow would tell it in a traceback.

    Raises:
        ValueError: It is taken, or may not be had.
    """
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
    except OverflowError:
        raise ValueError(f"port {port}: expected 1 to 65535") from None


def _bind(port: int) -> int:
    """Bind a port for a moment; 0 is any that is free. A server's last connections do not count."""
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((HOST, port))
        return int(made.getsockname()[1])
