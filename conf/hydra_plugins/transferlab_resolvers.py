"""Hydra loads this file while it composes, inside DVC too: the resolvers and the check of the
checkout it stands in.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from transferlab.settings import between_stages, inside_dvc

inside_dvc.register()
between_stages.speak()
