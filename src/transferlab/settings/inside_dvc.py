"""The check of a configuration that DVC composes: ours, and what only such a run must hold."""

import logging
import sys
from typing import Any

from ..pipeline.places import checkout
from . import at_work, compose, composed

ELSEWHERE = ("--temp", "--queue", "--dry")
"""Options of `dvc exp run` that put `params.yaml` back as it was: the stages run in a copy."""


def register() -> None:
    """Make the resolvers known to OmegaConf, the check among them with what it does inside DVC."""
    from omegaconf import OmegaConf

    compose.register()
    logging.getLogger("dvc_data.index.checkout").addFilter(_says_more_than_not_yet_there)
    OmegaConf.register_new_resolver("transferlab.check", check, replace=True)


def check(*, _root_: Any) -> bool:
    """Resolver: refuse beside another run in this workspace; check all; note what was composed."""
    if not runs_in_a_copy(sys.argv):
        at_work.expect_nobody_else(checkout())
    composed.note(compose.checked_values(_root_), checkout())
    return True


def _says_more_than_not_yet_there(record: logging.LogRecord) -> bool:
    """Whether a warning of DVC's is more than that an output of a stage is not there yet.

    `dvc exp run` checks all outputs out before it runs a stage, and warns of each that no stage has
    made: thirty lines at a first run, about files that it is about to make.
    """
    return not str(record.msg).startswith("No file hash info found")


def runs_in_a_copy(arguments: list[str]) -> bool:
    """Whether a command line of DVC, whose options may be shortened, runs stages in a copy."""
    return any(
        len(word) > len("--") and option.startswith(word)
        for word in arguments
        for option in ELSEWHERE
    )
