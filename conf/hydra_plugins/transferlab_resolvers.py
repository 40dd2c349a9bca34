"""Hydra loads this file while it composes, inside DVC too: the resolvers and the check of the checkout it stands in."""

import sys
from pathlib import Path

source = str(Path(__file__).resolve().parents[2] / "src")
if source not in sys.path:
    sys.path.insert(0, source)

from transferlab import compose  # noqa: E402

compose.register()
