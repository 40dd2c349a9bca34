"""The command that shows MLflow's pages."""

import os
import sys


def ui(port: int) -> None:
    """Show the local tracking store in MLflow's pages, on this machine only."""
    from ..tracking import address, store

    uri = address.tracking_uri()
    if uri.startswith("http"):
        print(f"MLflow: {uri}, as MLFLOW_TRACKING_URI says")
        return
    store.prepare_store()
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
