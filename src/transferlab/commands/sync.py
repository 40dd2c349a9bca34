"""The command that brings MLflow up to date with the files."""

import logging
import sys

from ..params.reading import load_params
from ..params.record import plain
from ..pipeline.places import checkout
from ..pipeline.terminal import printable


def sync() -> None:
    """Bring MLflow up to date with the results of this checkout; nothing is sent twice.

    Raises:
        ValueError: The parameters are wrong, or tracking is off.
        SystemExit: 1: something did not arrive; a line says what.
    """
    from ..tracking import sync as syncing
    from ..tracking.sender import enabled

    if not enabled():
        raise ValueError(
            "TRANSFERLAB_TRACKING: expected tracking to be on, got off. Unset it to send results."
        )
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    root = checkout()
    said = syncing.sync(root, plain(load_params(root / "params.yaml")))
    if said is None:
        raise SystemExit(1)
    print(printable(said))
